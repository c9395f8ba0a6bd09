//! Tells a caller who the service takes it for.

use std::sync::Arc;

use super::{Error, KeyBroker, trail::Trail};
use crate::{
    domain::{authorization::About, call::Call, principal::Principal, tenant::Tenant},
    ports::QuotaState,
};

/// Who the caller is, and what its tenant may do.
#[derive(Clone, Debug)]
pub struct CallerView {
    /// The tenant, with its accounts and limits.
    pub tenant: Arc<Tenant>,
    /// What is left of the limits.
    pub quota: QuotaState,
}

impl KeyBroker {
    /// Who the caller is.
    ///
    /// # Errors
    ///
    /// [`Error::TenantGone`], [`Error::TenantSuspended`], and [`Error::NotAllowed`] where a policy forbids.
    pub fn caller(&self, call: &Call, who: &Principal) -> Result<CallerView, Error> {
        let mut trail = Trail::new(&self.ports, call, who);
        let found = self.tenant(who).and_then(|tenant| {
            self.allow(call, who, &tenant, About::Tenant, &mut trail)?;
            Ok(tenant)
        });
        match found {
            Ok(tenant) => {
                trail.read(&self.ports);
                let quota = self.ports.quota.state(&tenant);
                Ok(CallerView { tenant, quota })
            }
            Err(error) => {
                trail.refused(&self.ports, &error);
                Err(error)
            }
        }
    }
}
