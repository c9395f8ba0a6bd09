//! The service's own AWS identity: whose credentials it has, and whether AWS accepts them.

use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::provider::ProvideCredentials as _;
use tokio::time::{timeout, timeout_at};

use super::{
    client::Aws,
    error,
    sts::refusal::{credentials_error, credentials_fault, identity_fault},
};
use crate::{
    domain::refusal::ServiceFault,
    ports::aws::{AwsErrorDetails, UpstreamError},
};

/// The timeout of a check.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Aws {
    /// Checks whether the service has credentials, without a call that they sign. The result is in
    /// [`Aws::problem`], in the metrics and in the log.
    pub async fn check_credentials_source(&self) {
        let Some(provider) = &self.credentials else {
            self.health.report(ServiceFault::CredentialsMissing, None, None);
            return;
        };
        match timeout(TIMEOUT, provider.provide_credentials()).await {
            Ok(Ok(credentials)) if self.is_over(credentials.expiry()) => {
                self.health.report(ServiceFault::CredentialsExpired, None, None);
            }
            Ok(Ok(_)) => self.health.provided(),
            Ok(Err(error)) => self.health.report(credentials_fault(&error), None, Some(&error)),
            Err(elapsed) => {
                self.health.report(ServiceFault::CredentialsUnavailable, None, Some(&elapsed));
            }
        }
    }

    /// Checks whether AWS accepts the service's own credentials, unless the last call showed that it does.
    /// `GetCallerIdentity` needs no permission.
    pub async fn check_credentials(&self) {
        if !self.health.is_accepted() {
            // The error is reported.
            drop(self.caller_identity(Instant::now() + TIMEOUT).await);
        }
    }

    /// What is wrong with the service's own access to AWS, and what the operator should do. `None` if nothing
    /// is known to be wrong.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.health.problem()
    }

    fn is_over(&self, expiry: Option<SystemTime>) -> bool {
        let now = u64::try_from(self.clock.now().as_micros()).unwrap_or_default();
        expiry.is_some_and(|end| end <= SystemTime::UNIX_EPOCH + Duration::from_micros(now))
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
