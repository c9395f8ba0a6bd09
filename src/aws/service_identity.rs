//! The service's own AWS identity: whose credentials it has, and whether AWS accepts them.

use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use super::{
    client::Aws,
    error,
    sts::refusal::{credentials_error, identity_fault},
};
use crate::{
    domain::refusal::ServiceFault,
    ports::aws::{AwsErrorDetails, UpstreamError},
};

/// The timeout of a check.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Aws {
    /// Checks whether AWS accepts the service's own credentials. The result is in [`Aws::problem`], in the
    /// metrics and in the log. `GetCallerIdentity` needs no permission.
    pub async fn check_credentials(&self) {
        // The check has reported the error.
        drop(self.caller_identity(Instant::now() + TIMEOUT).await);
    }

    /// What is wrong with the service's own access to AWS, and what the operator should do. `None` if nothing
    /// is known to be wrong.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.health.problem()
    }

    /// The ARN of the caller that AWS sees.
    pub(super) async fn caller_identity(&self, deadline: Instant) -> Result<Box<str>, UpstreamError> {
        let call = self.sts.get_caller_identity().send();
        let answer = match timeout_at(deadline.into(), call).await {
            Ok(answer) => answer.map_err(|error| self.reported(error::upstream(error)))?,
            Err(elapsed) => return Err(UpstreamError::NotSent(elapsed.into())),
        };
        self.health.accepted();
        let arn = answer.arn().ok_or_else(|| error::unreadable("GetCallerIdentity"))?;
        Ok(arn.into())
    }

    /// The error of a call with the service's own credentials, after it is reported.
    fn reported(&self, error: UpstreamError) -> UpstreamError {
        let misconfigured = |fault: ServiceFault, answer: AwsErrorDetails| {
            self.health.report(fault, Some(&answer), None);
            UpstreamError::ServiceMisconfigured { fault, answer }
        };
        match error {
            UpstreamError::ServiceMisconfigured { fault, answer } => misconfigured(fault, answer),
            UpstreamError::Refused { refusal, answer } => match identity_fault(&answer) {
                Some(fault) => misconfigured(fault, answer),
                None => UpstreamError::Refused { refusal, answer },
            },
            UpstreamError::NotSent(source) | UpstreamError::Unanswered(source) => {
                match credentials_error(&*source) {
                    Some(fault) => {
                        self.health.report(fault, None, Some(&*source));
                        UpstreamError::ServiceMisconfigured { fault, answer: AwsErrorDetails::default() }
                    }
                    None => UpstreamError::NotSent(source),
                }
            }
            error @ (UpstreamError::RoleNotAssumable { .. }
            | UpstreamError::StsThrottled { .. }
            | UpstreamError::Conflict { .. }
            | UpstreamError::Throttled { .. }
            | UpstreamError::Fault { .. }) => error,
        }
    }
}
