//! `AssumeRole`: sends the request with its external id, tag and session policy, and validates the response.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use aws_sdk_sts::{
    Client,
    config::{Credentials, http::HttpResponse},
    error::SdkError,
    operation::{
        RequestId,
        assume_role::{AssumeRoleError, AssumeRoleOutput},
    },
    types::Tag,
};
use tokio::time::timeout;

use super::{
    assume_role::{AssumeRole, AssumeRoleInput, AssumedSession},
    refusal::{self, Requested},
    session_error::SessionError,
};
use crate::{
    aws::{
        call_budget::{BudgetRate, CallBudget},
        error,
        service_health::ServiceHealth,
    },
    domain::{
        association::Location,
        aws::{AccountId, Region, RoleArn},
        refusal::ServiceFault,
        tenant::TenantId,
    },
    ports::{Clock, aws::UpstreamError, limit::AcquireError},
    spans,
};

/// The maximum number of attempts to get one session.
const ATTEMPTS: u32 = 3;
/// The longest delay before the second attempt; the delay before the third is twice as long.
const BACKOFF: Duration = Duration::from_millis(200);

/// The budget of `AssumeRole` calls of one tenant. STS allows the service's account 600 calls a second in a
/// Region (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>).
const OF_TENANT: BudgetRate = BudgetRate::new(20, 200);
/// The budget of all tenants.
const IN_ALL: BudgetRate = BudgetRate::new(200, 400);

/// The client of STS.
pub(in crate::aws) struct Sts {
    client: Client,
    clock: Arc<dyn Clock>,
    health: Arc<ServiceHealth>,
    /// The Region of the STS endpoint.
    region: Region,
    duration: Duration,
    timeout: Duration,
    budget: CallBudget,
}

/// The settings of the client of STS.
pub(in crate::aws) struct StsConfig {
    /// The Region of the STS endpoint.
    pub(in crate::aws) region: Region,
    /// How long a session lasts.
    pub(in crate::aws) duration: Duration,
    /// The longest wait for a session, retries included.
    pub(in crate::aws) timeout: Duration,
}

// === impl Sts ===

impl Sts {
    /// Uses a client that does not retry.
    pub(in crate::aws) fn new(
        client: Client,
        clock: Arc<dyn Clock>,
        health: Arc<ServiceHealth>,
        config: StsConfig,
    ) -> Self {
        let StsConfig { region, duration, timeout } = config;
        Self {
            client,
            clock,
            health,
            region,
            duration,
            timeout,
            budget: CallBudget::new("sts", OF_TENANT, IN_ALL),
        }
    }

    /// Waits until the tenant may send an `AssumeRole`.
    ///
    /// # Errors
    ///
    /// At once, if that is after the deadline.
    pub(in crate::aws) async fn acquire(
        &self,
        tenant: &TenantId,
        deadline: Instant,
    ) -> Result<(), AcquireError> {
        self.budget.acquire(tenant, deadline).await
    }

    /// Requests a session with the narrowest policy. If the policy is too large together with the tags of the
    /// service's own session, requests one with the shortest policy.
    async fn request(&self, input: &AssumeRoleInput) -> Result<AssumedSession, SessionError> {
        let answer = self.retry(input, &input.policy).await;
        let too_large = ServiceFault::SessionPolicyTooLarge;
        match &answer {
            Err(SessionError::Misconfigured { fault, answer: refused }) if *fault == too_large => {
                tracing::warn!(
                    tenant = %input.tenant,
                    aws.role = %input.role,
                    aws.message = &*refused.message,
                    "the session policy does not fit beside the tags of this service's own session, so the session is wider than the grant",
                );
                self.retry(input, &input.short_policy).await
            }
            _ => answer,
        }
    }

    /// Retries transient failures. Each session has its own number of attempts, so a failing account does not
    /// use up the retries of another.
    async fn retry(&self, input: &AssumeRoleInput, policy: &str) -> Result<AssumedSession, SessionError> {
        let mut attempt = 1;
        loop {
            let now = tokio::time::Instant::now().into_std();
            if self.acquire(&input.tenant, now + self.timeout).await.is_err() {
                return Err(SessionError::TooLate);
            }
            let answer = self.send(input, policy).await;
            let is_transient = matches!(
                answer,
                Err(SessionError::Throttled(_) | SessionError::Fault(_) | SessionError::Unreachable(_))
            );
            if !is_transient || attempt == ATTEMPTS {
                return answer;
            }
            let wait = BACKOFF.saturating_mul(attempt).mul_f64(rand::random_range(0.5..1.0));
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    fn read(
        &self,
        input: &AssumeRoleInput,
        answer: &AssumeRoleOutput,
    ) -> Result<AssumedSession, SessionError> {
        let user = answer.assumed_role_user().ok_or(SessionError::Incomplete("AssumedRoleUser"))?;
        let account = account_of(user.arn()).ok_or(SessionError::Incomplete("an account in the ARN"))?;
        if account != input.role.account() {
            return Err(SessionError::WrongAccount(account));
        }
        let issued = answer.credentials().ok_or(SessionError::Incomplete("Credentials"))?;
        let now = Duration::from_micros(u64::try_from(self.clock.now().as_micros()).unwrap_or_default());
        let end = Duration::from_secs(u64::try_from(issued.expiration().secs()).unwrap_or_default());
        let lifetime = end.saturating_sub(now).min(self.duration);
        if lifetime.is_zero() {
            return Err(SessionError::Expired);
        }
        let credentials = Credentials::new(
            issued.access_key_id(),
            issued.secret_access_key(),
            Some(issued.session_token().to_owned()),
            None,
            "logkey",
        );
        Ok(AssumedSession { credentials, lifetime })
    }
}

#[async_trait]
impl AssumeRole for Sts {
    async fn assume(&self, input: &AssumeRoleInput) -> Result<AssumedSession, SessionError> {
        let answer = match timeout(self.timeout, self.request(input)).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(SessionError::Unreachable(Arc::new(elapsed))),
        };
        self.report(&answer);
        answer
    }
}

impl Sts {
    /// Reports what the answer shows about the service's own credentials.
    fn report(&self, answer: &Result<AssumedSession, SessionError>) {
        match answer {
            Err(SessionError::Misconfigured { fault, answer }) => {
                if !fault.concerns_every_role() {
                    self.health.accepted();
                }
                self.health.report(*fault, Some(answer), None);
            }
            Err(SessionError::NoCredentials { fault, source }) => {
                self.health.report(*fault, None, Some(&**source));
            }
            Ok(_) | Err(SessionError::Refused { .. }) => self.health.accepted(),
            Err(
                SessionError::Throttled(_)
                | SessionError::Fault(_)
                | SessionError::WrongAccount(_)
                | SessionError::Expired
                | SessionError::Incomplete(_)
                | SessionError::Unreachable(_)
                | SessionError::TooLate,
            ) => {}
        }
    }

    async fn send(&self, input: &AssumeRoleInput, policy: &str) -> Result<AssumedSession, SessionError> {
        let tag = Tag::builder().key("tenant").value(input.tenant.as_str()).build();
        let tag = tag.map_err(|invalid| SessionError::Unreachable(Arc::new(invalid)))?;
        let location = || Location { account: input.role.account(), region: self.region.clone() };
        let request = self
            .client
            .assume_role()
            .role_arn(input.role.as_str())
            .external_id(input.external_id.expose())
            .role_session_name(input.name.as_str())
            .set_source_identity(input.attributed.then(|| input.name.as_str().to_owned()))
            .policy(policy)
            .duration_seconds(i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX))
            .tags(tag);
        let answer = spans::with_location(location, request.send()).await;
        let answer = answer.map_err(|error| self.failure(error, &input.role))?;
        tracing::debug!(
            tenant = %input.tenant,
            aws.role = %input.role,
            aws.session = %input.name,
            aws.request_id = answer.request_id().unwrap_or_default(),
            "assumed a role",
        );
        self.read(input, &answer)
    }

    /// Classifies the failure of a call.
    pub(in crate::aws) fn failure(
        &self,
        error: SdkError<AssumeRoleError, HttpResponse>,
        role: &RoleArn,
    ) -> SessionError {
        match error::upstream(error) {
            UpstreamError::Throttled { answer } | UpstreamError::StsThrottled { answer } => {
                SessionError::Throttled(answer)
            }
            UpstreamError::Fault { answer } => SessionError::Fault(answer),
            UpstreamError::Refused { answer, .. }
            | UpstreamError::RoleNotAssumable { answer, .. }
            | UpstreamError::ServiceMisconfigured { answer, .. }
            | UpstreamError::Conflict { answer } => {
                let (region, duration) = (&self.region, self.duration);
                refusal::session_error(answer, Requested { role, region, duration })
            }
            UpstreamError::NotSent(source) | UpstreamError::Unanswered(source) => refusal::not_sent(source),
        }
    }
}

/// The account in `arn:aws:sts::ACCOUNT:assumed-role/…`.
fn account_of(arn: &str) -> Option<AccountId> {
    let mut parts = arn.split(':');
    let account = parts.nth(4)?;
    parts.next()?.starts_with("assumed-role/").then(|| account.parse().ok())?
}

impl fmt::Debug for Sts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sts").field("duration", &self.duration).finish_non_exhaustive()
    }
}
