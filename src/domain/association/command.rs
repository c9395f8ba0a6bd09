//! The commands that act on associations, and the reason that a caller gives for a change.

use std::str::FromStr;

use thiserror::Error;

use super::resource::{Location, Resource};
use crate::domain::arn::{KmsKeyArn, KmsKeyId};

/// Maximum length of `reason`, in characters.
pub const MAX_REASON: usize = 512;

/// The reason that a caller gives for a change: at most 512 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Justification(Box<str>);

/// A command that sets a key on a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociateKmsKey {
    /// The resource to encrypt.
    pub resource: Resource,
    /// The resolved key.
    pub key: KmsKeyArn,
    /// The key as the caller named it.
    pub requested_key: KmsKeyId,
    /// The caller's reason.
    pub reason: Option<Justification>,
}

/// A command that removes the key of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisassociateKmsKey {
    /// The resource that returns to AWS's default encryption.
    pub resource: Resource,
    /// The caller's reason.
    pub reason: Option<Justification>,
}

/// A command that checks whether a key could be set on a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckKeyAssociation {
    /// The resource that would be encrypted.
    pub resource: Resource,
}

/// A command that reads the association of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetKeyAssociation {
    /// The resource to read.
    pub resource: Resource,
}

/// A command that reads the associations of a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListKeyAssociations {
    /// The location to list.
    pub location: Location,
}

/// A command that tests the role that is installed for a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestAccess {
    /// The location to test.
    pub location: Location,
}

/// A command that finds the uses of a key in a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetKeyUsage {
    /// The location to search.
    pub location: Location,
    /// The key. `None` if KMS has to resolve it first.
    pub key: Option<KmsKeyArn>,
}

/// Which log groups a list contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyFilter {
    /// All log groups.
    #[default]
    Any,
    /// Log groups with the AWS-owned default encryption.
    WithoutKey,
    /// Log groups with a key.
    WithKey,
    /// Log groups whose key is disabled, pending deletion or deleted.
    KeyUnhealthy,
    /// Log groups with another key than this one, or without a key.
    WithOtherKey(KmsKeyId),
}

/// Why a text cannot be the reason of a change. The message follows the name of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidReason {
    /// The text has more than [`MAX_REASON`] characters.
    #[error("is longer than {MAX_REASON} characters")]
    TooLong,
    /// The text contains a control character.
    #[error("contains a control character; expected plain text on one line")]
    Control,
}

// === impl Justification ===

impl Justification {
    /// The caller's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Justification {
    type Err = InvalidReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.chars().nth(MAX_REASON).is_some() {
            Err(InvalidReason::TooLong)
        } else if text.chars().any(char::is_control) {
            Err(InvalidReason::Control)
        } else {
            Ok(Self(text.into()))
        }
    }
}
