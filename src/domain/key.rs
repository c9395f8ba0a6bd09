//! The metadata, tags, state and health of a KMS key.

use super::{arn::KmsKeyArn, time::Timestamp};

/// The metadata that `DescribeKey` returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMetadata {
    /// The ARN of the key, even if the request named an alias.
    pub arn: KmsKeyArn,
    /// The key's state.
    pub state: KeyState,
    /// Whether the key is a symmetric encryption key (`SYMMETRIC_DEFAULT`). `None` if KMS does not say.
    pub symmetric: Option<bool>,
    /// Whether the key is for encryption (`ENCRYPT_DECRYPT`). `None` if KMS does not say.
    pub encrypts: Option<bool>,
    /// Whether a customer manages the key, rather than AWS. `None` if KMS does not say.
    pub customer_managed: Option<bool>,
    /// When KMS will delete the key, if its deletion is scheduled.
    pub deletion: Option<Timestamp>,
}

/// The tags of a key as `ListResourceTags` returns them: at most 50 (KMS quotas, "Tags per KMS key").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyTags(Vec<(Box<str>, Box<str>)>);

/// `KeyState` of the KMS API reference (`KeyMetadata`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// The key can be used.
    Enabled,
    /// The key is disabled.
    Disabled,
    /// The deletion of the key or of the replica is scheduled.
    PendingDeletion,
    /// KMS does not say the state.
    Unknown,
    /// Another state, as AWS names it: `Creating`, `PendingImport`, `Unavailable`, `Updating`, …
    Other(Box<str>),
}

/// Whether a key can be used, as far as the service knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHealth {
    /// The key is enabled.
    Usable,
    /// The key is disabled, or in another state in which it cannot be used.
    Disabled,
    /// The deletion of the key is scheduled.
    PendingDeletion,
    /// KMS has no such key.
    NotFound,
    /// The service did not read the key, or may not read it.
    NotChecked,
}

// === impl KeyTags ===

impl KeyTags {
    /// The tags as pairs of tag and value.
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
    /// Whether a key in this state can be used.
    #[must_use]
    pub fn health(&self) -> KeyHealth {
        match self {
            Self::Enabled => KeyHealth::Usable,
            Self::PendingDeletion => KeyHealth::PendingDeletion,
            Self::Other(word) if &**word == "Updating" => KeyHealth::Usable,
            Self::Unknown => KeyHealth::NotChecked,
            Self::Disabled | Self::Other(_) => KeyHealth::Disabled,
        }
    }
}
