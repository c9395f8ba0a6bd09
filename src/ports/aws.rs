//! The calls of this service to AWS. The methods for tenant accounts take an [`Authorized`] command or its
//! [`Access`], which only a policy decision gives.

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
    refusal::{AccessDenial, AssumeRoleRefusal, ServiceFault},
    tenant::TenantId,
    time::Timestamp,
};

/// Sets and removes keys.
#[async_trait]
pub trait KeyAssociations: Send + Sync + 'static {
    /// Sets a key with one attempt, which ends by `deadline`.
    async fn associate(
        &self,
        authorized: &Authorized<AssociateKmsKey>,
        deadline: Instant,
    ) -> AwsResponse<Acknowledgement>;

    /// Removes a key with one attempt, which ends by `deadline`.
    async fn disassociate(
        &self,
        authorized: &Authorized<DisassociateKmsKey>,
        deadline: Instant,
    ) -> AwsResponse<Acknowledgement>;
}

/// Reads log groups.
#[async_trait]
pub trait LogGroups: Send + Sync + 'static {
    /// The log group with exactly this name. `None` if there is none.
    async fn find(
        &self,
        access: &Access,
        name: &LogGroupName,
        deadline: Instant,
    ) -> AwsResponse<Option<LogGroup>>;

    /// The log groups with these names, at most 50. One that does not exist is omitted. Not every AWS emulator
    /// supports this read, so a missing log group may exist.
    async fn find_many(
        &self,
        access: &Access,
        names: &[LogGroupName],
        deadline: Instant,
    ) -> AwsResponse<Vec<LogGroup>>;

    /// A page of the log groups whose names start with `prefix`, in the order of their names.
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
    /// The key's metadata in the location of `access`. `None` if there is no such key.
    async fn describe(
        &self,
        access: &Access,
        key: &KmsKeyId,
        deadline: Instant,
    ) -> AwsResponse<Option<KeyMetadata>>;

    /// The key's policy as JSON. `None` if there is no such key. KMS returns it only to the key's own
    /// account.
    async fn policy(
        &self,
        access: &Access,
        key: &KmsKeyArn,
        deadline: Instant,
    ) -> AwsResponse<Option<Box<str>>>;

    /// The key's tags, which may come from a short-lived cache. `None` if there is no such key. KMS returns
    /// them only to the key's own account.
    async fn tags(&self, access: &Access, key: &KmsKeyArn, deadline: Instant)
    -> AwsResponse<Option<KeyTags>>;
}

/// Reads the service identity and the roles' policies, for onboarding and diagnosis.
#[async_trait]
pub trait Roles: Send + Sync + 'static {
    /// The ARN of the service identity, a role or a user, which a tenant role's trust policy has to name.
    ///
    /// # Errors
    ///
    /// [`UpstreamError`] if AWS does not return it.
    async fn service_principal(
        &self,
        tenant: &TenantId,
        deadline: Instant,
    ) -> Result<Box<str>, UpstreamError>;

    /// Whether the role can be assumed without its external id. It must not.
    async fn trusts_without_external_id(&self, access: &Access, deadline: Instant) -> AwsResponse<bool>;

    /// The simulation of the role's own policies. AWS refuses it if the role may not simulate them.
    async fn simulate(
        &self,
        access: &Access,
        simulation: &SimulationRequest,
        deadline: Instant,
    ) -> AwsResponse<Vec<SimulationResult>>;
}

/// The result of calls to AWS, with the record of the calls.
#[derive(Debug)]
pub struct AwsResponse<T> {
    /// The role, session and request ids, for the audit log.
    pub via: AwsCallRecord,
    /// The result, or AWS's error.
    pub result: Result<T, UpstreamError>,
}

impl<T> AwsResponse<T> {
    /// The same response with its result mapped.
    #[must_use]
    pub fn map<U>(self, to: impl FnOnce(T) -> U) -> AwsResponse<U> {
        AwsResponse { via: self.via, result: self.result.map(to) }
    }

    /// The same response with its result converted by a function that can fail.
    #[must_use]
    pub fn and_then<U>(self, to: impl FnOnce(T) -> Result<U, UpstreamError>) -> AwsResponse<U> {
        AwsResponse { via: self.via, result: self.result.and_then(to) }
    }

    /// A call whose response never came.
    #[must_use]
    pub fn lost(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { via: AwsCallRecord::default(), result: Err(UpstreamError::Unanswered(Box::new(error))) }
    }
}

/// AWS accepted a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The request id that AWS returned.
    pub aws_request_id: Box<str>,
}

/// A log group as `DescribeLogGroups` returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGroup {
    /// The log group's name.
    pub name: LogGroupName,
    /// The log group's key. `None` is the AWS-owned default.
    pub key: Option<KmsKeyArn>,
    /// The log group's class, as AWS names it.
    pub class: Option<Box<str>>,
    /// How long the log group keeps its events. `None` means forever.
    pub retention: Option<Duration>,
    /// When AWS created the log group.
    pub created: Option<Timestamp>,
}

/// One page of log groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogGroupPage {
    /// The log groups of the page.
    pub groups: Vec<LogGroup>,
    /// AWS's token for the next page. `None` on the last page.
    pub next: Option<Box<str>>,
}

/// The content of an AWS error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsErrorDetails {
    /// AWS's error code, such as `AccessDeniedException`.
    pub code: Box<str>,
    /// AWS's message, unbounded and unescaped. Bound and escape it before you show or store it.
    pub message: Box<str>,
    /// The request id that AWS returned.
    pub request_id: Option<Box<str>>,
}

/// What a refusal of AWS means, as far as its code and message show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The log group does not exist.
    LogGroupNotFound,
    /// AWS reserves the name of the log group.
    LogGroupReserved,
    /// "The specified KMS key does not exist or is not allowed to be used with Arn": the key's policy does
    /// not allow the use, or the key does not exist.
    KeyMissingOrNotAllowed,
    /// "The specified KMS Key Id could not be found".
    KeyNotFound,
    /// The key is disabled.
    KeyDisabled,
    /// The deletion of the key is scheduled.
    KeyPendingDeletion,
    /// The key is asymmetric.
    KeyNotSymmetric,
    /// A policy denies the assumed role an action.
    Denied(AccessDenial),
    /// "The security token included in the request is invalid": the account has probably not enabled the
    /// Region. The session itself is valid elsewhere.
    RegionNotEnabled,
    /// The account is not signed up for the AWS service, or is suspended.
    AccountNotSubscribed,
    /// AWS does not accept a parameter: a defect of this service, or a change in AWS.
    Parameter,
    /// Any other refusal.
    Other,
}

/// Why a call to AWS did not succeed.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// AWS refused the call and changed nothing.
    #[error("AWS refused the call")]
    Refused {
        /// What the refusal means.
        refusal: Refusal,
        /// AWS's error.
        answer: AwsErrorDetails,
    },
    /// The role cannot be assumed. The call itself was not sent.
    #[error("the role cannot be assumed")]
    RoleNotAssumable {
        /// What the refusal of STS means.
        refusal: AssumeRoleRefusal,
        /// The error of STS.
        answer: AwsErrorDetails,
    },
    /// STS throttled the call that assumes the role. The call itself was not sent.
    #[error("STS throttled the call that assumes the role")]
    StsThrottled {
        /// The error of STS.
        answer: AwsErrorDetails,
    },
    /// AWS does not serve this service itself, and only the operator can change that. AWS changed nothing.
    #[error("{fault}")]
    ServiceMisconfigured {
        /// What is wrong.
        fault: ServiceFault,
        /// AWS's error. Empty if no response came.
        answer: AwsErrorDetails,
    },
    /// Another change of the same resource is in progress. This call changed nothing.
    #[error("a conflicting operation is in progress")]
    Conflict {
        /// AWS's error.
        answer: AwsErrorDetails,
    },
    /// AWS throttled the call and changed nothing.
    #[error("throttled by AWS")]
    Throttled {
        /// AWS's error.
        answer: AwsErrorDetails,
    },
    /// AWS failed with an internal error (5xx). It is not known whether it changed anything; a repetition is
    /// safe.
    #[error("AWS responded with a server error")]
    Fault {
        /// AWS's error.
        answer: AwsErrorDetails,
    },
    /// The call was not sent, for example because there was no connection or there were no credentials in
    /// time.
    #[error("the call could not be sent")]
    NotSent(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The call was sent, at least in part, and AWS did not respond.
    #[error("the call was sent, but AWS did not respond")]
    Unanswered(#[source] Box<dyn std::error::Error + Send + Sync>),
}
