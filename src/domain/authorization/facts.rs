//! The facts beyond the command itself that a policy can use.

use std::sync::Arc;

use crate::domain::{arn::KmsKeyArn, key::KeyTags};

/// Facts beyond the command itself. The service looks them up only if a policy requires them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFacts {
    /// The key's tags. `None` if they were not looked up.
    pub key_tags: Option<KeyTags>,
    /// The key that was set before the change.
    pub previous_key: PreviousKey,
}

/// The key that was set before a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PreviousKey {
    /// The key was not looked up.
    #[default]
    Unknown,
    /// No key was set: AWS encrypted with a key that it owns.
    Nothing,
    /// This key was set.
    Key(KmsKeyArn),
}

/// The facts that policy requires for a decision. Each list holds the ids of the policies that require the
/// fact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequiredFacts {
    /// Policies that require the tags of the key.
    pub key_tags: Vec<Arc<str>>,
    /// Policies that require the key that was set before the change.
    pub previous_key: Vec<Arc<str>>,
}

// === impl RequiredFacts ===

impl RequiredFacts {
    /// Whether no fact is required.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.key_tags.is_empty() && self.previous_key.is_empty()
    }
}
