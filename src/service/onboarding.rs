//! What to install in an account.

use super::{Error, KeyBroker, audit_context::AuditContext, read::read_error, require_scope};
use crate::domain::{
    association::UnresolvedLocation,
    authorization::ResourceScope,
    aws::AccountId,
    call::Call,
    onboarding::Onboarding,
    principal::{Principal, Scope},
    tenant::AccountGrant,
};

impl KeyBroker {
    /// What to install in an account of the caller's tenant.
    ///
    /// # Errors
    ///
    /// [`Error`], whose variants are every way this can end but success.
    pub async fn onboarding(
        &self,
        call: &Call,
        principal: &Principal,
        account: AccountId,
    ) -> Result<Onboarding, Error> {
        let mut audit = AuditContext::new(&self.ports, call, principal);
        let result = match self.granted_keys(call, principal, account, &mut audit) {
            Ok(grant) => {
                let service_principal = self.ports.roles.service_principal(call.deadline).await;
                service_principal
                    .map(|service_principal| Onboarding::of(&grant, &service_principal))
                    .map_err(|error| read_error(error, call.deadline))
            }
            Err(error) => Err(error),
        };
        match &result {
            Ok(_) => audit.read(&self.ports),
            Err(error) => audit.record_refusal(&self.ports, error),
        }
        result
    }

    fn granted_keys(
        &self,
        call: &Call,
        principal: &Principal,
        account: AccountId,
        audit: &mut AuditContext,
    ) -> Result<AccountGrant, Error> {
        require_scope(principal, Scope::Read)?;
        let tenant = self.tenant(principal)?;
        let unresolved = UnresolvedLocation { account: Some(account), region: None };
        let grant = tenant.grant(account).ok_or(Error::AccountNotFound(unresolved))?;
        self.authorize_scope(call, principal, &tenant, ResourceScope::Account(grant), audit)?;
        Ok((**grant).clone())
    }
}
