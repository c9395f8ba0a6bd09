//! Returns what to install in an account (`GetOnboarding`).

use crate::{
    domain::{
        association::UnresolvedLocation, authorization::ResourceScope, aws::AccountId,
        onboarding::Onboarding, principal::Scope, tenant::AccountGrant,
    },
    service::{
        context::Context,
        error::{Error, RequestError},
        shared::upstream::read_error,
    },
};

/// Returns the policies to install in an account of the caller's tenant.
///
/// # Errors
///
/// [`Error`], if the tenant has no such account, or if AWS does not return the service identity.
pub async fn onboarding(mut cx: Context, account: AccountId) -> Result<Onboarding, Error> {
    let result = match authorize_grant(&mut cx, account) {
        Ok(grant) => {
            let deadline = cx.call.deadline;
            let service = cx.ports().roles.service_principal(&cx.caller.tenant, deadline).await;
            let service = service.map_err(|error| read_error(error, deadline));
            service.map(|service| Onboarding::of(&grant, &service))
        }
        Err(error) => Err(error),
    };
    cx.record_read(result)
}

fn authorize_grant(cx: &mut Context, account: AccountId) -> Result<AccountGrant, Error> {
    cx.require(Scope::Read)?;
    let tenant = cx.tenant()?;
    let unresolved = UnresolvedLocation { account: Some(account), region: None };
    let grant = tenant.grant(account).ok_or(Error::Request(RequestError::AccountNotFound(unresolved)))?;
    cx.authorize_scope(&tenant, ResourceScope::Account(grant))?;
    Ok((**grant).clone())
}
