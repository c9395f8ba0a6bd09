//! What policy is told beyond the command itself.

use std::sync::Arc;

use crate::domain::{arn::KmsKeyArn, key::KeyTags};

/// What is known beyond the command itself: looked up only where a policy asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFacts {
    /// The key's tags; none where they were not looked up.
    pub key_tags: Option<KeyTags>,
    /// The key in force before the change.
    pub previous_key: PreviousKey,
}

/// The key in force before a change, as far as it was looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PreviousKey {
    /// It was not looked up.
    #[default]
    Unknown,
    /// There is none: the AWS-owned default.
    Nothing,
    /// This one.
    Key(KmsKeyArn),
}

/// What policy has to be told before it can answer: for each fact the policies that ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequiredFacts {
    /// The tags of the key.
    pub key_tags: Vec<Arc<str>>,
    /// The key in force before the change.
    pub previous_key: Vec<Arc<str>>,
}

// === impl Wants ===

impl RequiredFacts {
    /// Whether nothing is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.key_tags.is_empty() && self.previous_key.is_empty()
    }
}
