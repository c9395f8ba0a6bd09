//! Executes one call to AWS with the session of its grant, within its deadline, and records its request ids.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_sts::{
    config::{SharedCredentialsProvider, http::HttpResponse},
    error::SdkError,
    operation::RequestId,
};
use tokio::time::timeout_at;

use super::{
    call_budget::CallBudget,
    client::Aws,
    error::{self, ServiceError},
    service_health,
    session_policy::SessionScope,
    sessions::{key::SessionKey, session::Session},
};
use crate::{
    domain::{audit::AwsCallRecord, authorization::Access},
    ports::aws::{AwsResponse, UpstreamError},
    spans,
};

/// The maximum number of attempts: a second one follows only if AWS reports that the session has expired or is
/// unknown, which it does before it executes the call.
const ATTEMPTS: u8 = 2;

/// The maximum number of retries of a read that failed with a transient error.
const MAX_RETRIES: u32 = 2;
/// The longest delay before the first retry; the delay before the second is twice as long.
const BACKOFF: Duration = Duration::from_millis(100);

/// Makes the function that sends a call with the credentials of a session, for [`Aws::execute`] and
/// [`Aws::limited_read`]. It is a macro because each SDK crate has separate types for this.
macro_rules! with_credentials {
    ($sdk:ident, $call:expr) => {{
        let call = $call;
        move |credentials| {
            let config = $sdk::config::Builder::new().credentials_provider(credentials);
            call.clone().customize().config_override(config).send()
        }
    }};
}
pub(super) use with_credentials;

impl Aws {
    /// Makes a call that changes nothing within the budget of the tenant, and retries it after a transient
    /// failure.
    pub(super) async fn limited_read<T, E, F>(
        &self,
        budget: &CallBudget,
        access: &Access,
        deadline: Instant,
        send: impl Fn(SharedCredentialsProvider) -> F + Send + Sync,
    ) -> AwsResponse<T>
    where
        T: RequestId + Send,
        E: ServiceError,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    {
        let mut request_ids = Vec::new();
        let mut retries = 0;
        loop {
            // A retry is a call too.
            if let Err(no_budget) = budget.acquire(&access.tenant().id, deadline).await {
                let via = AwsCallRecord { aws_request_ids: request_ids, ..AwsCallRecord::default() };
                return AwsResponse { via, result: Err(UpstreamError::NotSent(Box::new(no_budget))) };
            }
            let AwsResponse { mut via, result } =
                self.execute(access, SessionScope::LogGroups, deadline, &send).await;
            request_ids.append(&mut via.aws_request_ids);
            let wait = BACKOFF.saturating_mul(1 << retries).mul_f64(rand::random());
            let should_retry = retries < MAX_RETRIES && result.as_ref().is_err_and(is_transient);
            if !should_retry || Instant::now() + wait >= deadline {
                via.aws_request_ids = request_ids;
                return AwsResponse { via, result };
            }
            retries += 1;
            tokio::time::sleep(wait).await;
        }
    }

    /// Makes one call with the session for the grant of `access`, narrowed to `scope`.
    pub(super) async fn execute<T, E, F>(
        &self,
        access: &Access,
        scope: SessionScope,
        deadline: Instant,
        send: impl Fn(SharedCredentialsProvider) -> F + Send + Sync,
    ) -> AwsResponse<T>
    where
        T: RequestId + Send,
        E: ServiceError,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
    {
        let key = SessionKey::of(access, scope, self.sessions.attribution());
        let mut via =
            AwsCallRecord { role_arn: Some(access.grant().role.as_str().into()), ..AwsCallRecord::default() };
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            let session = match self.sessions.get(&key, deadline.into()).await {
                Ok(session) => session,
                Err(error) => {
                    let error = error.upstream();
                    via.aws_request_ids.extend(error::request_id(&error).map(Into::into));
                    return AwsResponse { via, result: Err(error) };
                }
            };
            via.session_name = Some(session.name.as_str().into());
            let location = || access.location().clone();
            let sending = with_deadline(deadline, &session, &send);
            let result = spans::with_location(location, sending).await;
            let id = match &result {
                Ok(answer) => answer.request_id(),
                Err(error) => error::request_id(error),
            };
            via.aws_request_ids.extend(id.map(Into::into));
            if let Err(error) = &result {
                report_fault(access, error);
            }
            match &result {
                Err(error) if error::is_session_expired(error) && attempts == 0 => {
                    let error = "AWS considers a new session expired";
                    return AwsResponse { via, result: Err(UpstreamError::NotSent(error.into())) };
                }
                // AWS forgets the sessions of a role that is deleted and created again.
                Err(error)
                    if attempts > 0
                        && (error::is_session_expired(error)
                            || error::is_session_unknown(error) && session.is_old()) =>
                {
                    self.sessions.forget(&key, &session);
                }
                _ => return AwsResponse { via, result },
            }
        }
    }
}

/// Counts and logs a fault of the service itself that a call with a session showed.
fn report_fault(access: &Access, error: &UpstreamError) {
    let Some((fault, answer)) = error::service_fault(error) else { return };
    service_health::count(fault);
    tracing::warn!(
        aws.role = %access.grant().role,
        aws.region = %access.location().region,
        aws.code = &*answer.code,
        aws.message = &*answer.message,
        cause = fault.as_str(),
        remedy = fault.remedy(),
        "{fault}",
    );
}

async fn with_deadline<T, E, F>(
    deadline: Instant,
    session: &Arc<Session>,
    send: &impl Fn(SharedCredentialsProvider) -> F,
) -> Result<T, UpstreamError>
where
    E: ServiceError,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    if Instant::now() >= deadline {
        return Err(UpstreamError::NotSent("the deadline has passed".into()));
    }
    match timeout_at(deadline.into(), send(session.credentials.clone())).await {
        Ok(result) => result.map_err(error::upstream),
        Err(elapsed) => Err(UpstreamError::Unanswered(elapsed.into())),
    }
}

/// Whether a retry can succeed. A role that cannot be assumed is not retried.
fn is_transient(error: &UpstreamError) -> bool {
    matches!(
        error,
        UpstreamError::Throttled { .. }
            | UpstreamError::StsThrottled { .. }
            | UpstreamError::Fault { .. }
            | UpstreamError::Unanswered(_)
    )
}
