//! Returns the caller's tenant and its limits (`GetCaller`).

use std::sync::Arc;

use crate::{
    domain::{authorization::ResourceScope, tenant::Tenant},
    ports::QuotaState,
    service::{context::Context, error::Error},
};

/// The caller's tenant and the state of its quota.
#[derive(Clone, Debug)]
pub struct Whoami {
    /// The tenant, with its accounts and limits.
    pub tenant: Arc<Tenant>,
    /// The current state of the tenant quota.
    pub quota: QuotaState,
}

/// Returns the caller's tenant and the state of its quota.
///
/// # Errors
///
/// [`Error::Access`] if the tenant is removed or suspended, or policy denies the call.
pub fn whoami(mut cx: Context) -> Result<Whoami, Error> {
    let found = cx.tenant().and_then(|tenant| {
        cx.authorize_scope(&tenant, ResourceScope::Tenant)?;
        Ok(tenant)
    });
    let tenant = cx.record_read(found)?;
    let quota = cx.ports().quota.state(&tenant);
    Ok(Whoami { tenant, quota })
}
