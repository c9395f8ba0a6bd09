//! Calls to AWS within their quota: acquires a permit, sends, and reports the outcome to the limiter.

use std::time::Instant;

use crate::{
    domain::authorization::Access,
    ports::{
        AwsResponse, UpstreamError,
        limit::{AcquireError, Operation, Priority, QuotaKey, UpstreamOutcome},
    },
    service::{
        context::Context,
        error::{AwsCallError, Error},
    },
};

/// The retry delay that a caller gets if AWS throttled the last attempt before the deadline.
const RETRY_AFTER_THROTTLE: std::time::Duration = std::time::Duration::from_secs(1);

/// Why a call to AWS failed.
#[derive(Debug)]
pub(in crate::service) enum CallError {
    /// The limiter has no permit before the deadline. Nothing was sent.
    NoPermit(AcquireError),
    /// AWS refused the call, or did not respond.
    Failed(UpstreamError),
}

/// Sends once. Polls `send` only with a permit.
pub(in crate::service) async fn attempt<T>(
    cx: &Context,
    access: &Access,
    operation: Operation,
    deadline: Instant,
    send: impl Future<Output = AwsResponse<T>>,
) -> Result<AwsResponse<T>, AcquireError> {
    let quota_key = QuotaKey { location: access.location().clone(), operation };
    let (limiter, tenant) = (&cx.ports().limiter, &access.tenant().id);
    let permit = match cx.priority() {
        Priority::Interactive => limiter.acquire(&quota_key, tenant, deadline).await?,
        Priority::Bulk => limiter.acquire_bulk(&quota_key, tenant, deadline).await?,
    };
    let response = send.await;
    permit.used(outcome_of(&response.result));
    Ok(response)
}

/// Sends a read, and sends it again while AWS throttles it. Records each call in the audit context.
pub(in crate::service) async fn read<T, F: Future<Output = AwsResponse<T>>>(
    cx: &mut Context,
    access: &Access,
    operation: Operation,
    deadline: Instant,
    send: impl Fn() -> F,
) -> Result<T, CallError> {
    loop {
        let response = attempt(cx, access, operation, deadline, send()).await;
        let AwsResponse { via, result } = response.map_err(CallError::NoPermit)?;
        cx.audit.record_aws_call(via);
        match result {
            Ok(answer) => return Ok(answer),
            // No wait here: the limiter issues the next permit when the quota has room.
            Err(UpstreamError::Throttled { .. }) => {}
            Err(error) => return Err(CallError::Failed(error)),
        }
    }
}

/// The outcome of a call, for the limiter.
fn outcome_of<T>(result: &Result<T, UpstreamError>) -> UpstreamOutcome {
    match result {
        Err(UpstreamError::Throttled { .. }) => UpstreamOutcome::Throttled,
        Err(UpstreamError::NotSent(_) | UpstreamError::RoleNotAssumable { .. }) => UpstreamOutcome::NotSent,
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
        UpstreamError::RoleNotAssumable { answer } => Error::Aws(AwsCallError::RoleNotAssumable { answer }),
        UpstreamError::Conflict { answer } => Error::Aws(AwsCallError::Conflict { answer }),
        UpstreamError::Throttled { answer } => {
            Error::Aws(AwsCallError::Throttled { retry_after: RETRY_AFTER_THROTTLE, answer })
        }
        UpstreamError::Fault { answer } => {
            Error::Aws(AwsCallError::Unavailable { answer: Some(answer), source: None })
        }
        UpstreamError::NotSent(source) | UpstreamError::Unanswered(source) => {
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
            Self::Failed(error) => read_error(error, deadline),
        }
    }
}

impl From<AcquireError> for Error {
    fn from(rejection: AcquireError) -> Self {
        Self::Aws(AwsCallError::BudgetExhausted { retry_after: rejection.retry_after })
    }
}
