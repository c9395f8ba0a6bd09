//! Commands that ask about every account and Region of the tenant. One that fails does not hide the others.

use super::shared::LocationArgs;
use crate::{
    failure::Failure,
    proto::{GetCallerRequest, tenant_service_client::TenantServiceClient},
    session::Session,
};

/// An account and a Region.
#[derive(Clone, Debug)]
pub(super) struct Location {
    pub(super) account_id: String,
    pub(super) region: String,
}

/// Every location of the tenant.
pub(super) async fn of_tenant(session: &Session) -> Result<Vec<Location>, Failure> {
    let caller = session.call(GetCallerRequest {}, async |channel, request| {
        TenantServiceClient::new(channel).get_caller(request).await
    });
    let accounts = caller.await?.accounts.into_iter();
    let locations = accounts.flat_map(|account| {
        let account_id = account.account_id;
        account.regions.into_iter().map(move |region| Location { account_id: account_id.clone(), region })
    });
    Ok(locations.collect())
}

/// Fails if a location failed.
pub(super) fn all_answered(failed: Vec<Failure>) -> Result<(), Failure> {
    if failed.is_empty() { Ok(()) } else { Err(Failure::Several(failed)) }
}

impl Location {
    pub(super) fn args(&self) -> LocationArgs {
        LocationArgs { account: Some(self.account_id.clone()), region: Some(self.region.clone()) }
    }

    /// The failure of a call about this location.
    pub(super) fn failed(&self, failure: Failure) -> Failure {
        let context = format!("{} {}", self.account_id, self.region);
        Failure::In { context, failure: Box::new(failure) }
    }
}
