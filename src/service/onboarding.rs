//! What to install in an account, and whether what is installed works.

use super::{Error, KeyBroker, diagnose, locate, read::ended, require, trail::Trail};
use crate::{
    domain::{
        association::{ListKeyAssociations, UnresolvedPlace},
        authorization::Authorized,
        aws::AccountId,
        call::Call,
        diagnosis::{Check, Diagnosis, Name},
        onboarding::Onboarding,
        principal::{Principal, Scope},
        reason::Reason,
        tenant::AccountGrant,
    },
    ports::UpstreamError,
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
        let trail = Trail::new(&self.ports, call, who);
        let result = match self.granted(who, account) {
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

    fn granted(&self, who: &Principal, account: AccountId) -> Result<AccountGrant, Error> {
        require(who, Scope::Read)?;
        let tenant = self.tenant(who)?;
        let said = UnresolvedPlace { account: Some(account), region: None };
        tenant.grant(account).map(|grant| (**grant).clone()).ok_or(Error::AccountNotFound(said))
    }

    /// Tries what is installed in an account: the role with its external id and without, and a read.
    ///
    /// # Errors
    ///
    /// [`Error`] where the caller may not ask; what does not work is a check.
    pub async fn test_access(
        &self,
        call: &Call,
        who: &Principal,
        place: UnresolvedPlace,
    ) -> Result<Diagnosis, Error> {
        let mut trail = Trail::new(&self.ports, call, who);
        let result = self.try_access(call, who, &place, &mut trail).await;
        match &result {
            Ok(_) => trail.read(&self.ports),
            Err(error) => trail.refused(&self.ports, error),
        }
        result
    }

    async fn try_access(
        &self,
        call: &Call,
        who: &Principal,
        place: &UnresolvedPlace,
        trail: &mut Trail,
    ) -> Result<Diagnosis, Error> {
        require(who, Scope::Read)?;
        let tenant = self.tenant(who)?;
        let place = locate::place(&tenant, place)?;
        let permit: Authorized<ListKeyAssociations> =
            self.permit(call, who, &tenant, ListKeyAssociations { place }, trail)?;
        let access = permit.access();
        let read = self.ports.log_groups.page(access, None, None, call.deadline).await;
        trail.via(read.via);
        let mut checks = match read.result {
            Ok(_) => vec![
                Check::passed(Name::RoleAssumable, "the account's role can be assumed, with the external id"),
                Check::passed(Name::RoleReadPermission, "the role may list log groups"),
            ],
            Err(UpstreamError::RoleNotAssumable { answer }) => vec![super::check::role_refused(&answer)],
            Err(error) => vec![
                Check::passed(Name::RoleAssumable, "the account's role can be assumed, with the external id"),
                unreadable(&error),
            ],
        };
        let open = self.ports.roles.opens_without_external_id(access, call.deadline).await;
        trail.via(open.via);
        checks.push(match open.result {
            Ok(false) => {
                Check::passed(Name::RoleNeedsExternalId, "the role cannot be assumed without the external id")
            }
            Ok(true) => Check::failed(
                Name::RoleNeedsExternalId,
                Reason::RoleNotAssumable,
                "the role can be assumed without the external id: whoever can make this service call AWS for them could reach your account",
                "put the condition StringEquals sts:ExternalId into the role's trust policy, as GetOnboarding shows it",
            ),
            Err(error) => Check::not_checked(Name::RoleNeedsExternalId, diagnose::why(&error)),
        });
        Ok(Diagnosis { checks, key: None })
    }
}

fn unreadable(error: &UpstreamError) -> Check {
    match error {
        UpstreamError::Refused { answer, .. } => Check::failed(
            Name::RoleReadPermission,
            Reason::RoleLacksLogsPermission,
            format!("the role may not list log groups: AWS said {}", diagnose::words(answer)),
            "allow the role logs:DescribeLogGroups, as GetOnboarding shows it",
        ),
        UpstreamError::RoleNotAssumable { .. }
        | UpstreamError::Conflict { .. }
        | UpstreamError::Throttled { .. }
        | UpstreamError::Fault { .. }
        | UpstreamError::NotSent(_)
        | UpstreamError::Unanswered(_) => Check::not_checked(Name::RoleReadPermission, diagnose::why(error)),
    }
}
