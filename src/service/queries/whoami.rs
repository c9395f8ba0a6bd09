//! Who the service takes the caller for.

use std::sync::Arc;

use crate::{
    domain::{authorization::ResourceScope, tenant::Tenant},
    ports::QuotaState,
    service::{context::Context, error::Error},
};

/// Who the caller is, and what its tenant may do.
#[derive(Clone, Debug)]
pub struct Whoami {
    /// The tenant, with its accounts and limits.
    pub tenant: Arc<Tenant>,
    /// What is left of the limits.
    pub quota: QuotaState,
}

/// The caller's tenant and limits.
///
/// # Errors
///
/// [`Error::TenantRemoved`], [`Error::TenantSuspended`], and [`Error::NotAllowed`] where a policy forbids.
pub fn whoami(mut cx: Context) -> Result<Whoami, Error> {
    let found = cx.tenant().and_then(|tenant| {
        cx.authorize_scope(&tenant, ResourceScope::Tenant)?;
        Ok(tenant)
    });
    let tenant = cx.record_read(found)?;
    let quota = cx.ports().quota.state(&tenant);
    Ok(Whoami { tenant, quota })
}
