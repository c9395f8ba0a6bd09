//! From settings to one generation of tenants, policies and issuers.

use std::{sync::Arc, thread};

use super::snapshot::{Snapshot, SnapshotTenants};
use crate::{
    auth::{CedarPolicy, Config, JwtAuthn},
    config::Policy,
    domain::tenant::Tenants,
    ports::Clock,
};

/// Everything that is wrong with settings and shows only when they are put to use.
#[derive(Debug)]
pub(super) struct GenerationError(pub(super) Vec<String>);

/// The generation that a service starts with.
pub(super) fn build(
    auth: Config,
    tenants: Arc<Tenants>,
    policy: &Policy,
    clock: Arc<dyn Clock>,
) -> Result<Snapshot, GenerationError> {
    let (tenants, policy) = rules(tenants, policy, Arc::clone(&clock))?;
    let authn =
        JwtAuthn::new(auth, tenants.clone(), clock).map_err(|diagnostics| into_error(&diagnostics))?;
    Ok(Snapshot { tenants, policy, authn })
}

/// The generation after `before`: keys of issuers that stay the same stay in use.
pub(super) fn rebuild(
    auth: Config,
    tenants: Arc<Tenants>,
    policy: &Policy,
    previous: &Snapshot,
    clock: Arc<dyn Clock>,
) -> Result<Snapshot, GenerationError> {
    let (tenants, policy) = rules(tenants, policy, clock)?;
    let authn =
        previous.authn.with_config(auth, tenants.clone()).map_err(|diagnostics| into_error(&diagnostics))?;
    Ok(Snapshot { tenants, policy, authn })
}

fn rules(
    tenants: Arc<Tenants>,
    policy: &Policy,
    clock: Arc<dyn Clock>,
) -> Result<(Arc<SnapshotTenants>, CedarPolicy), GenerationError> {
    let policy = CedarPolicy::load(Arc::clone(&tenants), &policy.files, clock);
    Ok((Arc::new(SnapshotTenants(tenants)), policy.map_err(|diagnostics| into_error(&diagnostics))?))
}

/// Entries that are taken apart at once, in a small part of a millisecond.
const AT_ONCE: usize = 64;

/// Takes apart what is not in force any more, some tenants at a time, and gives way after these.
pub(super) fn drop_incrementally(old: Arc<Snapshot>) {
    let Some(Snapshot { tenants, policy, authn }) = Arc::into_inner(old) else { return };
    drop((policy, authn));
    let tenants = Arc::into_inner(tenants).and_then(|directory| Arc::into_inner(directory.0));
    for (nth, tenant) in tenants.into_iter().flat_map(Tenants::drain).enumerate() {
        drop(tenant);
        if nth.is_multiple_of(AT_ONCE) {
            thread::yield_now();
        }
    }
}

fn into_error<F: ToString>(diagnostics: &[F]) -> GenerationError {
    GenerationError(diagnostics.iter().map(ToString::to_string).collect())
}
