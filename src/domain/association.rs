//! What callers ask for and what they are told, as data.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use thiserror::Error;

use super::{
    arn::{KmsKeyArn, KmsKeyId, ResourceArn},
    aws::{AccountId, Partition, Region},
    history::FormerKey,
    key::KeyHealth,
    time::Timestamp,
};

/// Longest log group name (`LogGroupName` in the `CloudWatch` Logs service model).
pub const MAX_LOG_GROUP_NAME: usize = 512;
/// Longest `reason`, in characters.
pub const MAX_REASON: usize = 512;
/// How long AWS may take to put a change into effect (`AssociateKmsKey` in the API reference).
pub const PROPAGATION_DELAY: Duration = Duration::from_mins(5);

/// A log group name: 1 to 512 of `.-_/#A-Za-z0-9`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogGroupName(Box<str>);

/// What a key is set on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Events that one log group ingests from now on.
    LogGroup(LogGroupName),
    /// Stored results of every later query in the account and Region.
    QueryResults,
}

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The account.
    pub account: AccountId,
    /// The Region.
    pub region: Region,
}

/// A target in its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// Where.
    pub location: Location,
    /// What.
    pub target: Target,
}

/// Where a caller says that something is; what is left away is found from the tenant's grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnresolvedLocation {
    /// The account, if it was said.
    pub account: Option<AccountId>,
    /// The Region, if it was said.
    pub region: Option<Region>,
}

/// Why a change is made, in the caller's words: at most 512 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Justification(Box<str>);

/// Set this key on this resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociateKmsKey {
    /// What to encrypt.
    pub resource: Resource,
    /// With which key.
    pub key: KmsKeyArn,
    /// The key as the caller named it.
    pub requested_key: KmsKeyId,
    /// Why.
    pub reason: Option<Justification>,
}

/// Take the key of this resource away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisassociateKmsKey {
    /// What to set back to the default.
    pub resource: Resource,
    /// Why.
    pub reason: Option<Justification>,
}

/// Diagnose whether a key could be set on this resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckKeyAssociation {
    /// What would be encrypted.
    pub resource: Resource,
}

/// Read the association of this resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetKeyAssociation {
    /// What to look at.
    pub resource: Resource,
}

/// Read the associations of this place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListKeyAssociations {
    /// Where to look.
    pub location: Location,
}

/// Try what is installed for this place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestAccess {
    /// Where to try.
    pub location: Location,
}

/// Tell where a key matters in this place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetKeyUsage {
    /// Where to look.
    pub location: Location,
    /// The key; none where it has to be looked up first.
    pub key: Option<KmsKeyArn>,
}

/// Which key encrypts one resource, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAssociation {
    /// What is encrypted.
    pub resource: Resource,
    /// The key; none means the AWS-owned default.
    pub key: Option<KmsKeyArn>,
    /// The key as the caller named it, in answers to a call that set it.
    pub requested_key: Option<KmsKeyId>,
    /// The key before, where it is known.
    pub previous_key: Option<KmsKeyArn>,
    /// Whether it is in effect.
    pub state: AssociationState,
    /// When AWS accepted it, where it was made through this service.
    pub accepted: Option<Timestamp>,
    /// Whether the key can be used.
    pub health: KeyHealth,
    /// When the key will be deleted, where that is scheduled.
    pub key_deletion: Option<Timestamp>,
    /// The log group's class in AWS's own word.
    pub class: Option<Box<str>>,
    /// How long the log group keeps its events; none means for ever.
    pub retention: Option<Duration>,
    /// The former keys that data still needs, the last one first.
    pub former: Vec<FormerKey>,
    /// What this is based on.
    pub source: Source,
}

/// Whether an association is in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssociationState {
    /// Accepted less than [`SETTLING`] ago.
    Settling,
    /// In force for what is written from now on.
    InForce,
    /// No key of the customer's is set.
    DefaultEncryption,
    /// It cannot be told.
    Unknown,
}

/// What a statement is based on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Read from AWS for this answer.
    Live,
    /// From our own record.
    Recorded,
}

/// Which log groups a list holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyFilter {
    /// All of them.
    #[default]
    Any,
    /// Those under the AWS-owned default.
    WithoutKey,
    /// Those with a key.
    WithKey,
    /// Those whose key is disabled, pending deletion or gone.
    KeyUnhealthy,
}

/// Something the caller should know although the call succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// A stable name for programs.
    pub code: Cow<'static, str>,
    /// A sentence for people.
    pub message: String,
}

/// What our own record says was last set on a resource through this service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAssociation {
    /// What.
    pub resource: Resource,
    /// The key; none means it was taken away.
    pub key: Option<KmsKeyArn>,
    /// The key before, where it was known.
    pub previous_key: Option<KmsKeyArn>,
    /// When AWS accepted it.
    pub accepted: Timestamp,
}

/// The text was not a log group name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidLogGroupName {
    /// Nothing was given.
    #[error("is required: a log group's name, such as /app/web")]
    Empty,
    /// Over [`MAX_LOG_GROUP_NAME`] bytes.
    #[error("is longer than {MAX_LOG_GROUP_NAME} characters")]
    TooLong,
    /// Holds something else than `.-_/#A-Za-z0-9`.
    #[error("holds a character that no log group name can hold: only A-Z a-z 0-9 . - _ / # are allowed")]
    Character,
    /// Looks like an ARN.
    #[error("is an ARN: put it into resource_identifier, or give the name alone")]
    Arn,
}

/// The text was too long for a reason, or not printable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidReason {
    /// Over [`MAX_REASON`] characters.
    #[error("is longer than {MAX_REASON} characters")]
    TooLong,
    /// Holds a control character.
    #[error("holds a control character: plain text on one line is expected")]
    Control,
}

// === impl LogGroupName ===

impl LogGroupName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether AWS keeps the name to itself: `aws/…` in any case and without a leading slash.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws/"))
    }

    /// Whether the name can stand in a `resourceIdentifier`; AWS takes no `#` there.
    #[must_use]
    pub fn is_valid_arn(&self) -> bool {
        !self.0.contains('#')
    }
}

impl FromStr for LogGroupName {
    type Err = InvalidLogGroupName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b".-_/#".contains(&b);
        if text.is_empty() {
            Err(InvalidLogGroupName::Empty)
        } else if text.starts_with("arn:") {
            Err(InvalidLogGroupName::Arn)
        } else if text.len() > MAX_LOG_GROUP_NAME {
            Err(InvalidLogGroupName::TooLong)
        } else if text.bytes().all(is_allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidLogGroupName::Character)
        }
    }
}

impl fmt::Display for LogGroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Resource ===

impl Resource {
    /// The resource as an ARN.
    #[must_use]
    pub fn arn(&self) -> ResourceArn {
        ResourceArn {
            partition: Partition::of(&self.location.region),
            region: self.location.region.clone(),
            account: self.location.account,
            target: self.target.clone(),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arn().fmt(f)
    }
}

// === impl Reason ===

impl Justification {
    /// The text.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_group_names_hold_what_aws_allows() {
        use InvalidLogGroupName::{Arn, Character, Empty, TooLong};
        for text in ["/app/web", "a", "with#hash", "A.b-c_d", &"x".repeat(512)] {
            assert!(text.parse::<LogGroupName>().is_ok(), "{text}");
        }
        for (text, reason) in [
            ("", Empty),
            ("a b", Character),
            ("ü", Character),
            ("a:b", Character),
            ("arn:aws:logs:eu-west-1:111122223333:log-group:x", Arn),
            (&*"x".repeat(513), TooLong),
        ] {
            assert_eq!(text.parse::<LogGroupName>(), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn only_names_that_start_with_aws_and_a_slash_are_reserved() {
        let reserved = |text: &str| text.parse::<LogGroupName>().unwrap().is_reserved();
        assert!(reserved("aws/spans"));
        assert!(reserved("AWS/x"));
        assert!(!reserved("/aws/lambda/f"));
        assert!(!reserved("aws-controltower/CloudTrailLogs"));
        assert!(!reserved("aws"));
    }
}
