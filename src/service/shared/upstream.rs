//! Calls to AWS within their quota: acquires a permit, sends, and reports the outcome to the limiter.

use std::time::{Duration, Instant};

use tracing::Instrument as _;

use crate::{
    domain::{authorization::Access, fleet::Refused},
    ports::{
        AwsResponse, UpstreamError,
        aws::AwsErrorDetails,
        limit::{AcquireError, Operation, Priority, QuotaKey, UpstreamOutcome, UpstreamPermit},
    },
    service::{
        context::Context,
        error::{AwsCallError, Error},
    },
    spans,
};

/// The retry delay that a caller gets if AWS throttled the last attempt before the deadline.
const RETRY_AFTER_THROTTLE: Duration = Duration::from_secs(1);

/// Why a call to AWS failed.
#[derive(Debug)]
pub(in crate::service) enum CallError {
    /// The limiter has no permit before the deadline. Nothing was sent.
    NoPermit(AcquireError),
    /// AWS throttled the call, and the limiter has no further permit before the deadline.
    Throttled {
        /// AWS's error.
        answer: AwsErrorDetails,
        /// The time after which the limiter has a permit.
        retry_after: Duration,
    },
    /// AWS refused the call, or did not respond.
    Failed(UpstreamError),
}

/// Why a change was not sent.
#[derive(Debug)]
pub(in crate::service) enum Unsent {
    /// The limiter has no permit before the deadline.
    NoPermit(AcquireError),
    /// The bulk job stopped before the change had its permit.
    JobStopped(Refused),
}

/// Sends a change once, unless its bulk job stops before. Polls `send` only with a permit.
pub(in crate::service) async fn attempt_change<T>(
    cx: &Context,
    access: &Access,
    operation: Operation,
    deadline: Instant,
    send: impl Future<Output = AwsResponse<T>>,
) -> Result<AwsResponse<T>, Unsent> {
    let acquiring = acquire(cx, access, operation, deadline);
    let permit = match cx.gate() {
        None => acquiring.await?,
        Some(gate) => {
            let permit = tokio::select! {
                biased;
                stopped = gate.closed() => return Err(Unsent::JobStopped(stopped)),
                permit = acquiring => permit?,
            };
            gate.check().map_err(Unsent::JobStopped)?;
            permit
        }
    };
    Ok(sent(permit, send).await)
}

/// Sends once. Polls `send` only with a permit.
pub(in crate::service) async fn attempt<T>(
    cx: &Context,
    access: &Access,
    operation: Operation,
    deadline: Instant,
    send: impl Future<Output = AwsResponse<T>>,
) -> Result<AwsResponse<T>, AcquireError> {
    let permit = acquire(cx, access, operation, deadline).await?;
    Ok(sent(permit, send).await)
}

async fn acquire(
    cx: &Context,
    access: &Access,
    operation: Operation,
    deadline: Instant,
) -> Result<UpstreamPermit, AcquireError> {
    let quota_key = QuotaKey { location: access.location().clone(), operation };
    let (limiter, tenant) = (&cx.ports().limiter, &access.tenant().id);
    let asked = now();
    let acquiring = match cx.priority() {
        Priority::Interactive => limiter.acquire(&quota_key, tenant, deadline),
        Priority::Bulk => limiter.acquire_bulk(&quota_key, tenant, deadline),
    };
    let acquired = acquiring.instrument(spans::step("permit")).await;
    cx.call.summary.add_quota_wait(now() - asked);
    acquired
}

async fn sent<T>(permit: UpstreamPermit, send: impl Future<Output = AwsResponse<T>>) -> AwsResponse<T> {
    let response = send.await;
    permit.used(outcome_of(&response.result));
    response
}

/// Sends a read, and sends it again while AWS throttles it. Records each call in the audit context.
pub(in crate::service) async fn read<T, F: Future<Output = AwsResponse<T>>>(
    cx: &mut Context,
    access: &Access,
    operation: Operation,
    deadline: Instant,
    send: impl Fn() -> F,
) -> Result<T, CallError> {
    let mut throttled = None;
    loop {
        let response = match attempt(cx, access, operation, deadline, send()).await {
            Ok(response) => response,
            Err(no_permit) => {
                return Err(match throttled {
                    Some(answer) => CallError::Throttled { answer, retry_after: no_permit.retry_after },
                    None => CallError::NoPermit(no_permit),
                });
            }
        };
        cx.audit.record_aws_call(response.via);
        match response.result {
            Ok(answer) => return Ok(answer),
            // No wait here: the limiter issues the next permit when the quota has room.
            Err(UpstreamError::Throttled { answer }) => throttled = Some(answer),
            Err(error) => return Err(CallError::Failed(error)),
        }
    }
}

/// The outcome of a call, for the limiter.
fn outcome_of<T>(result: &Result<T, UpstreamError>) -> UpstreamOutcome {
    match result {
        Err(UpstreamError::Throttled { .. }) => UpstreamOutcome::Throttled,
        Err(
            UpstreamError::NotSent(_)
            | UpstreamError::RoleNotAssumable { .. }
            | UpstreamError::StsThrottled { .. }
            // AWS refuses such a call before it counts it, if the call reaches AWS at all.
            | UpstreamError::ServiceMisconfigured { .. },
        ) => UpstreamOutcome::NotSent,
        Err(UpstreamError::Unanswered(_)) => UpstreamOutcome::Unanswered,
        Ok(_)
        | Err(UpstreamError::Refused { .. } | UpstreamError::Conflict { .. } | UpstreamError::Fault { .. }) => {
            UpstreamOutcome::Counted
        }
    }
}

/// The error of a call that failed without a change: a read, or a change that AWS did not make.
pub(in crate::service) fn read_error(error: UpstreamError, deadline: Instant) -> Error {
    match error {
        UpstreamError::Refused { refusal, answer } => Error::Aws(AwsCallError::Refused { refusal, answer }),
        UpstreamError::RoleNotAssumable { refusal, answer } => {
            Error::Aws(AwsCallError::RoleNotAssumable { refusal, answer })
        }
        UpstreamError::StsThrottled { answer } => Error::Aws(AwsCallError::StsThrottled { answer }),
        UpstreamError::ServiceMisconfigured { fault, .. } => {
            Error::Aws(AwsCallError::ServiceMisconfigured { fault })
        }
        UpstreamError::Conflict { answer } => Error::Aws(AwsCallError::Conflict { answer }),
        UpstreamError::Throttled { answer } => {
            Error::Aws(AwsCallError::Throttled { retry_after: RETRY_AFTER_THROTTLE, answer })
        }
        UpstreamError::Fault { answer } => {
            Error::Aws(AwsCallError::Unavailable { answer: Some(answer), source: None })
        }
        UpstreamError::NotSent(source) | UpstreamError::Unanswered(source) => {
            if let Some(no_permit) = source.downcast_ref::<AcquireError>() {
                return (*no_permit).into();
            }
            if now() >= deadline {
                Error::Aws(AwsCallError::DeadlineBeforeAws)
            } else {
                Error::Aws(AwsCallError::Unavailable { answer: None, source: Some(source) })
            }
        }
    }
}

/// The time of the runtime's clock, which tests can pause.
pub(in crate::service) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

// === impl CallError ===

impl CallError {
    pub(in crate::service) fn into_error(self, deadline: Instant) -> Error {
        match self {
            Self::NoPermit(rejection) => rejection.into(),
            Self::Throttled { answer, retry_after } => {
                Error::Aws(AwsCallError::Throttled { retry_after, answer })
            }
            Self::Failed(error) => read_error(error, deadline),
        }
    }
}

impl From<AcquireError> for Unsent {
    fn from(rejection: AcquireError) -> Self {
        Self::NoPermit(rejection)
    }
}

impl From<AcquireError> for Error {
    fn from(rejection: AcquireError) -> Self {
        Self::Aws(AwsCallError::BudgetExhausted { retry_after: rejection.retry_after })
    }
}
