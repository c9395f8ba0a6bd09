//! Checks of roles for onboarding: which principal assumes them, and whether they require the external id.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use aws_sdk_sts::operation::RequestId;
use tokio::time::timeout_at;

use super::{
    client::Aws, refusal::ACCESS_DENIED, session_name::SessionName, sts::session_error::SessionError,
};
use crate::{
    domain::{
        audit::AwsCallRecord,
        authorization::Access,
        policy_simulation::{SimulationRequest, SimulationResult},
        refusal::{ServiceFault, trusted_principal},
        tenant::TenantId,
    },
    ports::aws::{AwsResponse, Roles, UpstreamError},
};

/// The shortest session, in seconds: `DurationSeconds` of
/// [`AssumeRole`](https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html).
const MIN_SESSION: i32 = 900;

#[async_trait]
impl Roles for Aws {
    async fn service_principal(
        &self,
        tenant: &TenantId,
        deadline: Instant,
    ) -> Result<Box<str>, UpstreamError> {
        if let Some(known) = self.identity.recent() {
            return Ok(known);
        }
        let acquired = self.assume.acquire(tenant, deadline).await;
        acquired.map_err(|no_budget| UpstreamError::NotSent(Box::new(no_budget)))?;
        let principal: Box<str> = trusted_principal(&self.caller_identity(deadline).await?).into();
        self.identity.remember(&principal);
        Ok(principal)
    }

    /// Sends the only `AssumeRole` without an external id. It should fail; if it succeeds, the session is
    /// discarded at once.
    async fn trusts_without_external_id(&self, access: &Access, deadline: Instant) -> AwsResponse<bool> {
        let role = &access.grant().role;
        if let Err(no_budget) = self.assume.acquire(&access.tenant().id, deadline).await {
            let result = Err(UpstreamError::NotSent(Box::new(no_budget)));
            return AwsResponse { via: AwsCallRecord::default(), result };
        }
        let name = SessionName::of(&access.tenant().id, None);
        let call = self.sts.assume_role().role_arn(role.as_str()).role_session_name(name.as_str());
        let answer = timeout_at(deadline.into(), call.duration_seconds(MIN_SESSION).send()).await;
        let mut via = AwsCallRecord { role_arn: Some(role.as_str().into()), ..AwsCallRecord::default() };
        let result = match answer {
            Ok(Ok(open)) => {
                via.aws_request_ids.extend(open.request_id().map(Into::into));
                Ok(true)
            }
            Ok(Err(failed)) => {
                via.aws_request_ids.extend(failed.request_id().map(Into::into));
                let error = self.assume.failure(failed, role);
                // Any other refusal says nothing about the trust policy.
                // The call with the external id shows whether the role is in another partition.
                let is_about_role = matches!(
                    error,
                    SessionError::Refused { .. }
                        | SessionError::Misconfigured { fault: ServiceFault::Partition, .. }
                );
                if is_about_role && error.code().is_some_and(|code| ACCESS_DENIED.contains(&code)) {
                    Ok(false)
                } else {
                    Err(Arc::new(error).upstream())
                }
            }
            Err(elapsed) => Err(UpstreamError::Unanswered(elapsed.into())),
        };
        AwsResponse { via, result }
    }

    async fn simulate(
        &self,
        access: &Access,
        simulation: &SimulationRequest,
        deadline: Instant,
    ) -> AwsResponse<Vec<SimulationResult>> {
        self.run_simulation(access, simulation, deadline).await
    }
}
