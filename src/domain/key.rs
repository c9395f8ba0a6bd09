//! What KMS tells of a key.

use super::{arn::KmsKeyArn, time::Timestamp};

/// A key as `DescribeKey` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMetadata {
    /// The key's own ARN, also where an alias was asked for.
    pub arn: KmsKeyArn,
    /// Whether it can be used.
    pub state: KeyState,
    /// Whether it is a symmetric encryption key (`SYMMETRIC_DEFAULT`).
    pub symmetric: bool,
    /// Whether it is for encryption (`ENCRYPT_DECRYPT`).
    pub encrypts: bool,
    /// Whether a customer manages it, rather than AWS.
    pub customer_managed: bool,
    /// When it will be deleted, where that is scheduled.
    pub deletion: Option<Timestamp>,
}

/// A key's tags, as `ListResourceTags` shows them: at most 50 (KMS quotas, "Tags per KMS key").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTags(Vec<(Box<str>, Box<str>)>);

/// `KeyState` of the KMS API reference (`KeyMetadata`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It can be used.
    Enabled,
    /// It was switched off.
    Disabled,
    /// Its deletion is scheduled, as a key or as a replica.
    PendingDeletion,
    /// Anything else, in AWS's own word: `Creating`, `PendingImport`, `Unavailable`, `Updating`, …
    Other(Box<str>),
}

/// Whether a key can be used, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHealth {
    /// It is enabled.
    Usable,
    /// It is disabled, or in a state in which KMS does not use it.
    Disabled,
    /// Its deletion is scheduled.
    PendingDeletion,
    /// KMS has no such key.
    NotFound,
    /// It was not looked at, or may not be.
    NotChecked,
}

// === impl KeyTags ===

impl KeyTags {
    /// Each tag with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(tag, value)| (&**tag, &**value))
    }
}

impl FromIterator<(Box<str>, Box<str>)> for KeyTags {
    fn from_iter<I: IntoIterator<Item = (Box<str>, Box<str>)>>(tags: I) -> Self {
        Self(tags.into_iter().collect())
    }
}

// === impl KeyState ===

impl KeyState {
    /// What the state means for whoever depends on the key.
    #[must_use]
    pub fn health(&self) -> KeyHealth {
        match self {
            Self::Enabled => KeyHealth::Usable,
            Self::PendingDeletion => KeyHealth::PendingDeletion,
            Self::Other(word) if &**word == "Updating" => KeyHealth::Usable,
            Self::Disabled | Self::Other(_) => KeyHealth::Disabled,
        }
    }
}
