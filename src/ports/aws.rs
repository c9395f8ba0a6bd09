//! AWS, as far as this service calls it. Every method takes what only a permit gives.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use thiserror::Error;

use crate::domain::{
    arn::{KmsKeyArn, KmsKeyId},
    association::{AssociateKmsKey, DisassociateKmsKey, LogGroupName},
    audit::AwsCallRecord,
    authorization::{Access, Authorized},
    key::{KeyMetadata, KeyTags},
    policy_simulation::{SimulationRequest, SimulationResult},
    time::Timestamp,
};

/// Sets and takes away keys.
#[async_trait]
pub trait KeyAssociations: Send + Sync + 'static {
    /// Sets a key, by one attempt that ends by `deadline`.
    async fn associate(
        &self,
        authorized: &Authorized<AssociateKmsKey>,
        deadline: Instant,
    ) -> AwsResponse<Acknowledgement>;

    /// Takes a key away, by one attempt that ends by `deadline`.
    async fn disassociate(
        &self,
        authorized: &Authorized<DisassociateKmsKey>,
        deadline: Instant,
    ) -> AwsResponse<Acknowledgement>;
}

/// Reads log groups.
#[async_trait]
pub trait LogGroups: Send + Sync + 'static {
    /// The log group with exactly this name.
    async fn find(
        &self,
        access: &Access,
        name: &LogGroupName,
        deadline: Instant,
    ) -> AwsResponse<Option<LogGroup>>;

    /// A page of the log groups whose names begin with `prefix`, in the order of their names.
    async fn page(
        &self,
        access: &Access,
        prefix: Option<&str>,
        token: Option<&str>,
        deadline: Instant,
    ) -> AwsResponse<LogGroupPage>;
}

/// Reads keys.
#[async_trait]
pub trait Keys: Send + Sync + 'static {
    /// The key, as KMS in the place of the permit knows it; none where there is no such key.
    async fn describe(
        &self,
        access: &Access,
        key: &KmsKeyId,
        deadline: Instant,
    ) -> AwsResponse<Option<KeyMetadata>>;

    /// The key's policy, as JSON; none where there is no such key. KMS shows it within the key's own
    /// account only.
    async fn policy(
        &self,
        access: &Access,
        key: &KmsKeyArn,
        deadline: Instant,
    ) -> AwsResponse<Option<Box<str>>>;

    /// The key's tags, as they were a moment ago at the earliest; none where there is no such key. KMS
    /// shows them within the key's own account only.
    async fn tags(&self, access: &Access, key: &KmsKeyArn, deadline: Instant)
    -> AwsResponse<Option<KeyTags>>;
}

/// Knows the roles themselves, for whoever installs them.
#[async_trait]
pub trait Roles: Send + Sync + 'static {
    /// The ARN of this service's own role or user, which a role's trust policy has to name.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] where AWS does not tell.
    async fn service_principal(&self, deadline: Instant) -> Result<Box<str>, UpstreamError>;

    /// Whether the role can be assumed without its external id, which it must not.
    async fn trusts_without_external_id(&self, access: &Access, deadline: Instant) -> AwsResponse<bool>;

    /// What the role's own policies say of this, where the role may have them simulated.
    async fn simulate(
        &self,
        access: &Access,
        simulation: &SimulationRequest,
        deadline: Instant,
    ) -> AwsResponse<Vec<SimulationResult>>;
}

/// What AWS said, and through what it was asked.
#[derive(Debug)]
pub struct AwsResponse<T> {
    /// Role, session and request ids, for the audit log.
    pub via: AwsCallRecord,
    /// What it said.
    pub result: Result<T, UpstreamError>,
}

/// AWS took a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// AWS's id of the call.
    pub aws_request_id: Box<str>,
}

/// A log group as `DescribeLogGroups` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGroup {
    /// Its name.
    pub name: LogGroupName,
    /// Its key; none is the AWS-owned default.
    pub key: Option<KmsKeyArn>,
    /// Its class, in AWS's own word.
    pub class: Option<Box<str>>,
    /// How long it keeps events; none is for ever.
    pub retention: Option<Duration>,
    /// When it was made.
    pub created: Option<Timestamp>,
}

/// Some log groups, and where the rest is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogGroupPage {
    /// The log groups.
    pub groups: Vec<LogGroup>,
    /// AWS's token for the next page.
    pub next: Option<Box<str>>,
}

/// AWS's own words about a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsErrorDetails {
    /// Its error code, such as `AccessDeniedException`.
    pub code: Box<str>,
    /// Its message, unbounded and unescaped: for whoever shows or keeps it to bound.
    pub message: Box<str>,
    /// Its id of the call.
    pub request_id: Option<Box<str>>,
}

/// What AWS's refusal means, as far as code and message tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such log group.
    LogGroupNotFound,
    /// The log group belongs to AWS.
    LogGroupReserved,
    /// "The specified KMS key does not exist or is not allowed to be used with Arn": the key's
    /// policy, or no such key.
    KeyMissingOrNotAllowed,
    /// "The specified KMS Key Id could not be found".
    KeyNotFound,
    /// The key is disabled.
    KeyDisabled,
    /// The key's deletion is scheduled.
    KeyPendingDeletion,
    /// The key is asymmetric.
    KeyNotSymmetric,
    /// The assumed role lacks a KMS action.
    RoleLacksKms,
    /// The assumed role lacks a `CloudWatch` Logs action.
    RoleLacksLogs,
    /// A service control policy or another policy of the organization.
    Organization,
    /// A parameter that we should not have sent, or that AWS newly refuses.
    Parameter,
    /// Anything else.
    Other,
}

/// How AWS answered, when not with success.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// AWS said no, and nothing was changed.
    #[error("AWS refused the call")]
    Refused {
        /// What that means.
        refusal: Refusal,
        /// AWS's words.
        answer: AwsErrorDetails,
    },
    /// The role cannot be assumed; the call itself was not sent.
    #[error("the role cannot be assumed")]
    RoleNotAssumable {
        /// The words of STS.
        answer: AwsErrorDetails,
    },
    /// Another change of the same resource is under way; nothing was changed.
    #[error("a conflicting operation is in progress")]
    Conflict {
        /// AWS's words.
        answer: AwsErrorDetails,
    },
    /// AWS throttled us; nothing was changed.
    #[error("throttled by AWS")]
    Throttled {
        /// AWS's words.
        answer: AwsErrorDetails,
    },
    /// AWS answered with a fault of its own (5xx). Nothing is known to have changed; a repetition is
    /// harmless.
    #[error("AWS answered with a fault")]
    Fault {
        /// AWS's words.
        answer: AwsErrorDetails,
    },
    /// The call was not sent: no connection, no credentials in time.
    #[error("the call could not be sent")]
    NotSent(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The call was sent, at least in part, and no answer came.
    #[error("the call was sent and no answer came")]
    Unanswered(#[source] Box<dyn std::error::Error + Send + Sync>),
}
