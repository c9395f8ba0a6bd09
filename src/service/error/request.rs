//! Errors of the values in a request.

use thiserror::Error;

use crate::domain::{
    arn::KmsKeyId,
    association::{Location, LogGroupName, UnresolvedLocation},
    aws::Region,
    reason::Reason,
};

/// Why the request names nothing that the call can use.
#[derive(Debug, Error)]
pub enum RequestError {
    /// A field has an invalid value, and only the use case could detect it.
    #[error("{field} {problem}")]
    Invalid {
        /// The field of the request.
        field: &'static str,
        /// The problem, worded to follow the field's name.
        problem: String,
    },
    /// The key is in a different Region than the target.
    #[error("the key is in {key}, but the target is in {target}")]
    KeyRegionMismatch {
        /// The key's Region.
        key: Region,
        /// The target's Region.
        target: Region,
    },
    /// AWS reserves log groups with this name.
    #[error("log group {0} is reserved for AWS")]
    LogGroupReserved(LogGroupName),
    /// The tenant has no grant that covers this account and Region.
    #[error("the tenant has no such account or Region")]
    AccountNotFound(UnresolvedLocation),
    /// The log group does not exist, or the tenant may not see it.
    #[error("log group {name} was not found")]
    LogGroupNotFound {
        /// The name of the log group.
        name: LogGroupName,
        /// The account and Region of the lookup.
        location: Location,
    },
    /// The key does not exist, or the tenant may not use it.
    #[error("key {key} was not found")]
    KeyNotFound {
        /// The key as the caller named it.
        key: KmsKeyId,
        /// The account and Region of the lookup.
        location: Location,
    },
    /// The encryption rule does not exist, or the tenant may not see it.
    #[error("encryption rule {0} was not found")]
    RuleNotFound(Box<str>),
}

// === impl RequestError ===

impl RequestError {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Invalid { .. } => Reason::FieldInvalid,
            Self::KeyRegionMismatch { .. } => Reason::KeyRegionMismatch,
            Self::LogGroupReserved(_) => Reason::LogGroupReserved,
            Self::AccountNotFound(_) => Reason::AccountNotFound,
            Self::LogGroupNotFound { .. } => Reason::LogGroupNotFound,
            Self::KeyNotFound { .. } => Reason::KeyNotFound,
            Self::RuleNotFound(_) => Reason::EncryptionRuleNotFound,
        }
    }
}
