//! Builds a snapshot of tenants, policies and issuers from the settings, and drops a replaced one.

use std::{sync::Arc, thread};

use super::snapshot::{Snapshot, SnapshotTenants};
use crate::{
    auth::{CedarPolicy, Config, JwtAuthn},
    config::Policy,
    domain::tenant::Tenants,
    ports::Clock,
};

/// The problems of settings that appear only when a snapshot is built, one text each.
#[derive(Debug)]
pub(super) struct BuildError(pub(super) Vec<String>);

/// Builds the snapshot that the service starts with.
pub(super) fn build(
    auth: Config,
    tenants: Arc<Tenants>,
    policy: &Policy,
    clock: Arc<dyn Clock>,
) -> Result<Snapshot, BuildError> {
    let (tenants, policy) = tenants_and_policy(tenants, policy, Arc::clone(&clock))?;
    let authn =
        JwtAuthn::new(auth, tenants.clone(), clock).map_err(|diagnostics| into_error(&diagnostics))?;
    Ok(Snapshot { tenants, policy, authn })
}

/// Builds the snapshot that replaces `previous`. The keys of unchanged issuers stay in use.
pub(super) fn rebuild(
    auth: Config,
    tenants: Arc<Tenants>,
    policy: &Policy,
    previous: &Snapshot,
    clock: Arc<dyn Clock>,
) -> Result<Snapshot, BuildError> {
    let (tenants, policy) = tenants_and_policy(tenants, policy, clock)?;
    let authn =
        previous.authn.with_config(auth, tenants.clone()).map_err(|diagnostics| into_error(&diagnostics))?;
    Ok(Snapshot { tenants, policy, authn })
}

fn tenants_and_policy(
    tenants: Arc<Tenants>,
    policy: &Policy,
    clock: Arc<dyn Clock>,
) -> Result<(Arc<SnapshotTenants>, CedarPolicy), BuildError> {
    let policy = CedarPolicy::load(Arc::clone(&tenants), &policy.files, clock);
    Ok((Arc::new(SnapshotTenants(tenants)), policy.map_err(|diagnostics| into_error(&diagnostics))?))
}

/// How many tenants are dropped between two yields; that takes a small part of a millisecond.
const DROP_BATCH: usize = 64;

/// Drops a replaced snapshot, some tenants at a time, and yields in between.
pub(super) fn drop_incrementally(old: Arc<Snapshot>) {
    let Some(Snapshot { tenants, policy, authn }) = Arc::into_inner(old) else { return };
    drop((policy, authn));
    let tenants = Arc::into_inner(tenants).and_then(|directory| Arc::into_inner(directory.0));
    for (nth, tenant) in tenants.into_iter().flat_map(Tenants::drain).enumerate() {
        drop(tenant);
        if nth.is_multiple_of(DROP_BATCH) {
            thread::yield_now();
        }
    }
}

fn into_error<F: ToString>(diagnostics: &[F]) -> BuildError {
    BuildError(diagnostics.iter().map(ToString::to_string).collect())
}
