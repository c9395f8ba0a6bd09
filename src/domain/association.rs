//! Resources, the commands that act on them, and the associations that the service returns.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use thiserror::Error;

use super::{
    arn::{KmsKeyArn, KmsKeyId, ResourceArn},
    aws::{AccountId, Partition, Region},
    history::FormerKey,
    key::KeyHealth,
    time::Timestamp,
};

/// Maximum length of a log group name (`LogGroupName` in the `CloudWatch` Logs service model).
pub const MAX_LOG_GROUP_NAME: usize = 512;
/// Maximum length of `reason`, in characters.
pub const MAX_REASON: usize = 512;
/// The maximum time until a change takes effect in AWS (`AssociateKmsKey` in the API reference).
pub const PROPAGATION_DELAY: Duration = Duration::from_mins(5);

/// A log group name: 1 to 512 characters of `.-_/#A-Za-z0-9`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogGroupName(Box<str>);

/// The part of a resource that a key is set on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The events that one log group ingests after the change.
    LogGroup(LogGroupName),
    /// The stored results of every later query in the account and Region.
    QueryResults,
}

/// An AWS account and a Region.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The AWS account.
    pub account: AccountId,
    /// The Region within the account's partition.
    pub region: Region,
}

/// A target in a location.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// The account and Region of the target.
    pub location: Location,
    /// The log group, or the query results.
    pub target: Target,
}

/// A location as the caller gave it. The service finds an omitted part in the tenant's grants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnresolvedLocation {
    /// The account, if the caller gave it.
    pub account: Option<AccountId>,
    /// The Region, if the caller gave it.
    pub region: Option<Region>,
}

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
    /// AWS accepted it less than [`PROPAGATION_DELAY`] ago.
    Settling,
    /// AWS encrypts new data with the key.
    InForce,
    /// No customer key is set.
    DefaultEncryption,
    /// The state cannot be determined.
    Unknown,
}

/// The source of the information in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Read from AWS for this response.
    Live,
    /// Taken from the service's own record.
    Recorded,
}

/// Which log groups a list contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
}

/// Information that the caller needs although the call succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// A stable name for programs.
    pub code: Cow<'static, str>,
    /// A sentence for people.
    pub message: String,
}

/// The last change of a resource that was made through this service, according to its own record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAssociation {
    /// The changed resource.
    pub resource: Resource,
    /// The key. `None` means that it was removed.
    pub key: Option<KmsKeyArn>,
    /// The key before the change, if it was known.
    pub previous_key: Option<KmsKeyArn>,
    /// When AWS accepted the change.
    pub accepted: Timestamp,
}

/// Why a text is not a log group name. The message follows the name of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidLogGroupName {
    /// The text is empty.
    #[error("is required; expected a log group's name, such as /app/web")]
    Empty,
    /// The text has more than [`MAX_LOG_GROUP_NAME`] bytes.
    #[error("is longer than {MAX_LOG_GROUP_NAME} characters")]
    TooLong,
    /// The text contains a character other than `.-_/#A-Za-z0-9`.
    #[error("contains a character that a log group name cannot have; expected only A-Z a-z 0-9 . - _ / #")]
    Character,
    /// The text starts like an ARN.
    #[error("is an ARN; use resource_identifier for it, or give only the name")]
    Arn,
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

// === impl LogGroupName ===

impl LogGroupName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether AWS reserves the name: `aws/…` in upper or lower case, without a leading slash.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        self.0.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws/"))
    }

    /// Whether the name can be part of a `resourceIdentifier`, where AWS does not accept `#`.
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
