//! `AssumeRole`: who asks, with what, and whether the answer can be believed.

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

/// How often STS is asked for one session before it counts as failed.
const ATTEMPTS: u32 = 3;
/// Longest wait before the second of them; twice that before the third.
const BACKOFF: Duration = Duration::from_millis(200);

/// Codes that tell of the hub's own credentials rather than of the role.
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
    /// Asks for one session, within bounds of its own.
    async fn assume(&self, input: &AssumeRoleInput) -> Result<AssumedSession, SessionError>;
}

/// The session to ask for.
#[derive(Debug)]
pub(super) struct AssumeRoleInput {
    pub(super) tenant: TenantId,
    pub(super) role: RoleArn,
    pub(super) external_id: ExternalId,
    pub(super) name: SessionName,
    /// Whether the name is also the `SourceIdentity`.
    pub(super) attributed: bool,
    /// What narrows the role, as JSON.
    pub(super) policy: Box<str>,
}

/// A session that STS gave.
pub(super) struct AssumedSession {
    pub(super) credentials: Credentials,
    /// How long it lasts from now.
    pub(super) lifetime: Duration,
}

/// Why there is no session.
#[derive(Clone, Debug, Error)]
pub(super) enum SessionError {
    /// STS said no.
    #[error("STS refused the role")]
    Refused(AwsErrorDetails),
    /// STS throttled us.
    #[error("STS throttled the call")]
    Throttled(AwsErrorDetails),
    /// STS failed.
    #[error("STS answered with a fault")]
    Fault(AwsErrorDetails),
    /// The credentials that assume roles are not valid themselves.
    #[error("the hub credentials were refused with {}", .0.code)]
    ServiceIdentity(AwsErrorDetails),
    /// The session is of another account than the role.
    #[error("STS answered with a session of account {0}")]
    WrongAccount(AccountId),
    /// The session was over before it began.
    #[error("STS answered with credentials that have expired")]
    Expired,
    /// Something is missing in the answer.
    #[error("STS answered without {0}")]
    Incomplete(&'static str),
    /// STS could not be reached, or did not answer.
    #[error("STS did not answer")]
    Unreachable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The caller's deadline came first.
    #[error("the deadline passed while a role was assumed")]
    TooLate,
}

/// The real STS.
pub(super) struct Sts {
    client: Client,
    clock: Arc<dyn Clock>,
    duration: Duration,
    timeout: Duration,
}

// === impl Sts ===

impl Sts {
    /// Over a client that repeats nothing itself. A session lasts `duration`, and is waited for no
    /// longer than `patience`, repetitions included.
    pub(super) fn new(client: Client, clock: Arc<dyn Clock>, duration: Duration, timeout: Duration) -> Self {
        Self { client, clock, duration, timeout }
    }

    /// Asks again where the failure may be gone in a moment. How often that has helped or not is
    /// nobody else's matter: one account that fails uses up no other's repetitions.
    async fn retry(&self, input: &AssumeRoleInput) -> Result<AssumedSession, SessionError> {
        let mut attempt = 1;
        loop {
            let answer = self.send(input).await;
            let passing = matches!(
                answer,
                Err(SessionError::Throttled(_) | SessionError::Fault(_) | SessionError::Unreachable(_))
            );
            if !passing || attempt == ATTEMPTS {
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
        let given = answer.credentials().ok_or(SessionError::Incomplete("Credentials"))?;
        let now = Duration::from_micros(u64::try_from(self.clock.now().as_micros()).unwrap_or_default());
        let end = Duration::from_secs(u64::try_from(given.expiration().secs()).unwrap_or_default());
        let lifetime = end.saturating_sub(now).min(self.duration);
        if lifetime.is_zero() {
            return Err(SessionError::Expired);
        }
        let credentials = Credentials::new(
            given.access_key_id(),
            given.secret_access_key(),
            Some(given.session_token().to_owned()),
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

/// What a failed `AssumeRole` means.
fn failure(error: SdkError<AssumeRoleError, HttpResponse>) -> SessionError {
    let code = error.code().unwrap_or_default();
    if SERVICE_CREDENTIAL_CODES.contains(&code) {
        return SessionError::ServiceIdentity(error::trace_of(&error));
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
    /// AWS's code, where AWS said no.
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

    /// What that means for the call that needed the session, which was not sent.
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

// === impl Granted ===

impl fmt::Debug for AssumedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granted").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl fmt::Debug for Sts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sts").field("duration", &self.duration).finish_non_exhaustive()
    }
}
