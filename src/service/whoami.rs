//! Tells a caller who the service takes it for.

use std::sync::Arc;

use super::{Error, KeyBroker, audit_context::AuditContext};
use crate::{
    domain::{authorization::ResourceScope, call::Call, principal::Principal, tenant::Tenant},
    ports::QuotaState,
};

/// Who the caller is, and what its tenant may do.
#[derive(Clone, Debug)]
pub struct Whoami {
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
    pub fn whoami(&self, call: &Call, principal: &Principal) -> Result<Whoami, Error> {
        let mut audit = AuditContext::new(&self.ports, call, principal);
        let found = self.tenant(principal).and_then(|tenant| {
            self.authorize_scope(call, principal, &tenant, ResourceScope::Tenant, &mut audit)?;
            Ok(tenant)
        });
        match found {
            Ok(tenant) => {
                audit.read(&self.ports);
                let quota = self.ports.quota.state(&tenant);
                Ok(Whoami { tenant, quota })
            }
            Err(error) => {
                audit.record_refusal(&self.ports, &error);
                Err(error)
            }
        }
    }
}
