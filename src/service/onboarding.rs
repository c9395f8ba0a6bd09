//! What to install in an account.

use super::{Error, KeyBroker, read::ended, require, trail::Trail};
use crate::domain::{
    association::UnresolvedPlace,
    authorization::About,
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
        who: &Principal,
        account: AccountId,
    ) -> Result<Onboarding, Error> {
        let mut trail = Trail::new(&self.ports, call, who);
        let result = match self.granted(call, who, account, &mut trail) {
            Ok(grant) => {
                let hub = self.ports.roles.hub(call.deadline).await;
                hub.map(|hub| Onboarding::of(&grant, &hub)).map_err(|error| ended(error, call.deadline))
            }
            Err(error) => Err(error),
        };
        match &result {
            Ok(_) => trail.read(&self.ports),
            Err(error) => trail.refused(&self.ports, error),
        }
        result
    }

    fn granted(
        &self,
        call: &Call,
        who: &Principal,
        account: AccountId,
        trail: &mut Trail,
    ) -> Result<AccountGrant, Error> {
        require(who, Scope::Read)?;
        let tenant = self.tenant(who)?;
        let said = UnresolvedPlace { account: Some(account), region: None };
        let grant = tenant.grant(account).ok_or(Error::AccountNotFound(said))?;
        self.allow(call, who, &tenant, About::Account(grant), trail)?;
        Ok((**grant).clone())
    }
}
