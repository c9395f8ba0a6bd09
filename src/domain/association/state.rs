//! The associations that the service returns.

use std::{borrow::Cow, time::Duration};

use super::{record::Source, resource::Resource};
use crate::domain::{
    arn::{KmsKeyArn, KmsKeyId},
    history::FormerKey,
    key::KeyHealth,
    time::Timestamp,
};

/// The key that encrypts one resource, as far as the service knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAssociation {
    /// The encrypted resource.
    pub resource: Resource,
    /// The key. `None` is the AWS-owned default.
    pub key: Option<KmsKeyArn>,
    /// The key as the caller named it, in the response to the call that set it.
    pub requested_key: Option<KmsKeyId>,
    /// The key before this one, if it is known.
    pub previous_key: Option<KmsKeyArn>,
    /// Whether the association is in effect.
    pub state: AssociationState,
    /// When AWS accepted the association, if it was made through this service.
    pub accepted: Option<Timestamp>,
    /// Whether the key can be used.
    pub health: KeyHealth,
    /// When KMS will delete the key, if its deletion is scheduled.
    pub key_deletion: Option<Timestamp>,
    /// The log group's class, as AWS names it.
    pub class: Option<Box<str>>,
    /// How long the log group keeps its events. `None` means forever.
    pub retention: Option<Duration>,
    /// The former keys that data still needs, the most recent one first.
    pub former: Vec<FormerKey>,
    /// Where this information comes from.
    pub source: Source,
}

/// Whether AWS already uses the key of an association.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssociationState {
    /// AWS accepted it less than [`PROPAGATION_DELAY`](super::record::PROPAGATION_DELAY) ago.
    Settling,
    /// AWS encrypts new data with the key.
    InForce,
    /// No customer key is set.
    DefaultEncryption,
    /// The state cannot be determined.
    Unknown,
}

/// Information that the caller needs although the call succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// A stable name for programs.
    pub code: Cow<'static, str>,
    /// A sentence for people.
    pub message: String,
}
