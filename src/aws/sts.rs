//! `AssumeRole`: sends the request with its external id, tag and session policy, and validates the response.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_sts::{
    Client,
    config::{Credentials, http::HttpResponse},
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        RequestId,
        assume_role::{AssumeRoleError, AssumeRoleOutput},
    },
    types::Tag,
};
use thiserror::Error;
use tokio::time::timeout;

use super::{error, session_name::SessionName};
use crate::{
    domain::{
        aws::{AccountId, ExternalId, RoleArn},
        tenant::TenantId,
    },
    ports::{
        Clock,
        aws::{AwsErrorDetails, UpstreamError},
    },
};

/// The maximum number of attempts to get one session.
const ATTEMPTS: u32 = 3;
/// The longest delay before the second attempt; the delay before the third is twice as long.
const BACKOFF: Duration = Duration::from_millis(200);

/// The error codes that concern the service's own credentials, not the role.
const SERVICE_CREDENTIAL_CODES: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// Assumes roles.
#[async_trait]
pub(super) trait AssumeRole: Send + Sync + 'static {
    /// Requests one session, within the implementation's own timeout.
    async fn assume(&self, input: &AssumeRoleInput) -> Result<AssumedSession, SessionError>;
}

/// The input of one `AssumeRole` call.
#[derive(Debug)]
pub(super) struct AssumeRoleInput {
    pub(super) tenant: TenantId,
    pub(super) role: RoleArn,
    pub(super) external_id: ExternalId,
    pub(super) name: SessionName,
    /// Whether the name is also sent as `SourceIdentity`.
    pub(super) attributed: bool,
    /// The session policy, as JSON.
    pub(super) policy: Box<str>,
}

/// A session from STS.
pub(super) struct AssumedSession {
    pub(super) credentials: Credentials,
    /// How long it lasts, counted from now.
    pub(super) lifetime: Duration,
}

/// Why there is no session.
#[derive(Clone, Debug, Error)]
pub(super) enum SessionError {
    /// STS refused the call.
    #[error("STS refused to assume the role")]
    Refused(AwsErrorDetails),
    /// STS throttled the call.
    #[error("STS throttled the call")]
    Throttled(AwsErrorDetails),
    /// STS responded with a server error.
    #[error("STS responded with a server error")]
    Fault(AwsErrorDetails),
    /// The service's own credentials are not valid.
    #[error("STS refused the service's own credentials with {}", .0.code)]
    ServiceIdentity(AwsErrorDetails),
    /// The session belongs to a different account than the role.
    #[error("STS returned a session of account {0}, which is not the role's account")]
    WrongAccount(AccountId),
    /// The session has already expired.
    #[error("STS returned credentials that have already expired")]
    Expired,
    /// The response lacks a required part.
    #[error("the response of STS lacks {0}")]
    Incomplete(&'static str),
    /// STS could not be reached, or did not respond.
    #[error("STS did not respond")]
    Unreachable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The caller's deadline passed first.
    #[error("the deadline passed before STS responded")]
    TooLate,
}

/// The client of STS.
pub(super) struct Sts {
    client: Client,
    clock: Arc<dyn Clock>,
    duration: Duration,
    timeout: Duration,
}

// === impl Sts ===

impl Sts {
    /// Uses a client that does not retry. A session lasts `duration`; `timeout` limits the wait for it,
    /// retries included.
    pub(super) fn new(client: Client, clock: Arc<dyn Clock>, duration: Duration, timeout: Duration) -> Self {
        Self { client, clock, duration, timeout }
    }

    /// Retries transient failures. Each session has its own number of attempts, so a failing account does not
    /// use up the retries of another.
    async fn retry(&self, input: &AssumeRoleInput) -> Result<AssumedSession, SessionError> {
        let mut attempt = 1;
        loop {
            let answer = self.send(input).await;
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
        match timeout(self.timeout, self.retry(input)).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(SessionError::Unreachable(Arc::new(elapsed))),
        }
    }
}

impl Sts {
    async fn send(&self, input: &AssumeRoleInput) -> Result<AssumedSession, SessionError> {
        let tag = Tag::builder().key("tenant").value(input.tenant.as_str()).build();
        let tag = tag.map_err(|invalid| SessionError::Unreachable(Arc::new(invalid)))?;
        let answer = self
            .client
            .assume_role()
            .role_arn(input.role.as_str())
            .external_id(input.external_id.expose())
            .role_session_name(input.name.as_str())
            .set_source_identity(input.attributed.then(|| input.name.as_str().to_owned()))
            .policy(&*input.policy)
            .duration_seconds(i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX))
            .tags(tag)
            .send()
            .await
            .map_err(failure)?;
        tracing::debug!(
            tenant = %input.tenant,
            aws.role = %input.role,
            aws.session = %input.name,
            aws.request_id = answer.request_id().unwrap_or_default(),
            "assumed a role",
        );
        self.read(input, &answer)
    }
}

/// Classifies the failure of an `AssumeRole` call.
fn failure(error: SdkError<AssumeRoleError, HttpResponse>) -> SessionError {
    let code = error.code().unwrap_or_default();
    if SERVICE_CREDENTIAL_CODES.contains(&code) {
        return SessionError::ServiceIdentity(error::error_details(&error));
    }
    match error::upstream(error) {
        UpstreamError::Throttled { answer } => SessionError::Throttled(answer),
        UpstreamError::Fault { answer } => SessionError::Fault(answer),
        UpstreamError::Refused { answer, .. }
        | UpstreamError::RoleNotAssumable { answer }
        | UpstreamError::Conflict { answer } => SessionError::Refused(answer),
        UpstreamError::NotSent(source) | UpstreamError::Unanswered(source) => {
            SessionError::Unreachable(source.into())
        }
    }
}

/// The account in `arn:aws:sts::ACCOUNT:assumed-role/…`.
fn account_of(arn: &str) -> Option<AccountId> {
    let mut parts = arn.split(':');
    let account = parts.nth(4)?;
    parts.next()?.starts_with("assumed-role/").then(|| account.parse().ok())?
}

// === impl SessionError ===

impl SessionError {
    /// AWS's error code, if AWS responded with an error.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Refused(answer)
            | Self::Throttled(answer)
            | Self::Fault(answer)
            | Self::ServiceIdentity(answer) => Some(&answer.code),
            Self::WrongAccount(_)
            | Self::Expired
            | Self::Incomplete(_)
            | Self::Unreachable(_)
            | Self::TooLate => None,
        }
    }

    /// The error of the call that needed the session, which was therefore not sent.
    pub(super) fn upstream(self: Arc<Self>) -> UpstreamError {
        match &*self {
            Self::Refused(answer) => UpstreamError::RoleNotAssumable { answer: answer.clone() },
            Self::Throttled(answer) => UpstreamError::Throttled { answer: answer.clone() },
            Self::Fault(answer) => UpstreamError::Fault { answer: answer.clone() },
            Self::ServiceIdentity(_)
            | Self::WrongAccount(_)
            | Self::Expired
            | Self::Incomplete(_)
            | Self::Unreachable(_)
            | Self::TooLate => UpstreamError::NotSent(Box::new(self)),
        }
    }
}

// === impl AssumedSession ===

impl fmt::Debug for AssumedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssumedSession").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl fmt::Debug for Sts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sts").field("duration", &self.duration).finish_non_exhaustive()
    }
}
