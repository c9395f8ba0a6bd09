//! The ARNs of log groups and query results.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::parts::Parts;
use crate::domain::{
    association::resource::{LogGroupName, Resource, Target},
    aws::{AccountId, Partition, Region},
};

/// Maximum length of `resourceIdentifier` in bytes (`ResourceIdentifier` in the same model).
pub const MAX_RESOURCE_IDENTIFIER: usize = 2048;

/// A `resourceIdentifier`: a target with its partition, Region and account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceArn {
    /// The partition that the ARN names.
    pub partition: Partition,
    /// The Region that the ARN names.
    pub region: Region,
    /// The account that the ARN names.
    pub account: AccountId,
    /// The log group, or the query results.
    pub target: Target,
}

/// Why a text is not a resource identifier. The message follows the name of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidResourceArn {
    /// The text is empty.
    #[error("is required; expected a log group's ARN, or arn:aws:logs:REGION:ACCOUNT:query-result:*")]
    Empty,
    /// The text has more than [`MAX_RESOURCE_IDENTIFIER`] bytes.
    #[error("is longer than {MAX_RESOURCE_IDENTIFIER} characters")]
    TooLong,
    /// The text ends in `:*`, the form that IAM policies use.
    #[error("ends in ':*'; remove it, because this field accepts a log group's ARN only without it")]
    TrailingStar,
    /// The text contains `#`. A log group's name may contain it, but AWS does not accept it in this field.
    #[error("contains '#', which AWS accepts only in log_group_name; use that field instead")]
    HashInArn,
    /// The text is malformed in any other way.
    #[error(
        "is malformed; expected arn:aws:logs:REGION:ACCOUNT:log-group:NAME or arn:aws:logs:REGION:ACCOUNT:query-result:*"
    )]
    Malformed,
}

// === impl ResourceArn ===

impl FromStr for ResourceArn {
    type Err = InvalidResourceArn;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidResourceArn::Empty);
        }
        if text.len() > MAX_RESOURCE_IDENTIFIER {
            return Err(InvalidResourceArn::TooLong);
        }
        let Parts { partition, region, account, resource } =
            Parts::of(text, "logs").ok_or(InvalidResourceArn::Malformed)?;
        let target = match (resource, resource.strip_prefix("log-group:")) {
            ("query-result:*", _) => Target::QueryResults,
            (_, Some(name)) if name.ends_with(":*") => return Err(InvalidResourceArn::TrailingStar),
            (_, Some(name)) if name.contains('#') => return Err(InvalidResourceArn::HashInArn),
            (_, Some(name)) => {
                let name = name.parse::<LogGroupName>();
                Target::LogGroup(name.map_err(|_invalid| InvalidResourceArn::Malformed)?)
            }
            (_, None) => return Err(InvalidResourceArn::Malformed),
        };
        Ok(Self { partition, region, account, target })
    }
}

impl fmt::Display for ResourceArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, region, account, target } = self;
        write!(f, "arn:{partition}:logs:{region}:{account}:")?;
        match target {
            Target::LogGroup(name) => write!(f, "log-group:{name}"),
            Target::QueryResults => f.write_str("query-result:*"),
        }
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
