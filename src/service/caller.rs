//! Tells a caller who the service takes it for.

use std::sync::Arc;

use super::{Error, KeyBroker, trail::Trail};
use crate::{
    domain::{call::Call, principal::Principal, tenant::Tenant},
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
    /// [`Error::TenantGone`] and [`Error::TenantSuspended`].
    pub fn caller(&self, call: &Call, who: &Principal) -> Result<CallerView, Error> {
        let trail = Trail::new(&self.ports, call, who);
        match self.tenant(who) {
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
