//! Log groups, query results and their locations.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::domain::aws::{AccountId, Region};

/// Maximum length of a log group name (`LogGroupName` in the `CloudWatch` Logs service model).
pub const MAX_LOG_GROUP_NAME: usize = 512;

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
