//! The names AWS gives to accounts, Regions, roles and what guards them.

use std::{fmt, str::FromStr, sync::Arc};

use thiserror::Error;

/// Shortest external id (`ExternalId` in the STS API reference, `AssumeRole`).
const MIN_EXTERNAL_ID: usize = 2;
/// Longest external id (same source).
const MAX_EXTERNAL_ID: usize = 1224;
/// Longest role ARN (`RoleArn` in the STS API reference, `AssumeRole`).
const MAX_ROLE_ARN: usize = 2048;
/// Longest Region name taken; AWS's own are at most 15 characters today.
const MAX_REGION: usize = 32;

/// A twelve-digit AWS account number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId([u8; 12]);

/// An AWS Region, such as `eu-west-1`. Cheap to clone: there are few, and many who name them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(Arc<str>);

/// A set of Regions with accounts of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Partition {
    /// The commercial Regions.
    Aws,
    /// China.
    AwsCn,
    /// The US government's Regions.
    AwsUsGov,
}

/// The ARN of an IAM role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoleArn {
    text: Box<str>,
    account: AccountId,
    partition: Partition,
}

/// What a role's trust policy asks for besides the caller. A secret between two parties: it has no
/// printing `Debug` and no `Display`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ExternalId(Box<str>);

/// The text was not twelve ASCII digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an AWS account id: twelve digits are expected")]
pub struct InvalidAccountId;

/// The text was not a Region name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an AWS Region: a name such as eu-west-1 is expected")]
pub struct InvalidRegion;

/// The text was none of the known partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an AWS partition: aws, aws-cn or aws-us-gov is expected")]
pub struct InvalidPartition;

/// The text was not a role's ARN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not the ARN of an IAM role: arn:aws:iam::ACCOUNT:role/NAME is expected")]
pub struct InvalidRoleArn;

/// The text was not an external id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "not an external id: {MIN_EXTERNAL_ID} to {MAX_EXTERNAL_ID} characters of A-Z a-z 0-9 _ + = , . @ : / - are expected"
)]
pub struct InvalidExternalId;

// === impl AccountId ===

impl AccountId {
    /// The twelve digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for AccountId {
    type Err = InvalidAccountId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.as_bytes().try_into() {
            Ok(digits) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(Self(digits)),
            _ => Err(InvalidAccountId),
        }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountId({self})")
    }
}

// === impl Region ===

impl Region {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Region {
    type Err = InvalidRegion;

    /// Letters, digits and dashes with at least two dashes and a digit at the end: the shape of
    /// every Region so far, so that a new one needs no release.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let shaped = text.len() <= MAX_REGION
            && text.bytes().all(is_allowed)
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.ends_with(|c: char| c.is_ascii_digit())
            && text.bytes().filter(|b| *b == b'-').count() >= 2;
        if shaped { Ok(Self(text.into())) } else { Err(InvalidRegion) }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Partition ===

impl Partition {
    /// As it stands in an ARN.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::AwsCn => "aws-cn",
            Self::AwsUsGov => "aws-us-gov",
        }
    }

    /// The partition a Region belongs to, by its prefix.
    #[must_use]
    pub fn of(region: &Region) -> Self {
        if region.as_str().starts_with("cn-") {
            Self::AwsCn
        } else if region.as_str().starts_with("us-gov-") {
            Self::AwsUsGov
        } else {
            Self::Aws
        }
    }
}

impl FromStr for Partition {
    type Err = InvalidPartition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "aws" => Ok(Self::Aws),
            "aws-cn" => Ok(Self::AwsCn),
            "aws-us-gov" => Ok(Self::AwsUsGov),
            _ => Err(InvalidPartition),
        }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl RoleArn ===

impl RoleArn {
    /// The whole ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The account the role lives in.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The partition the role lives in.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.partition
    }
}

impl FromStr for RoleArn {
    type Err = InvalidRoleArn;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let (partition, rest) = text.strip_prefix("arn:")?.split_once(":iam::")?;
            let (account, role) = rest.split_once(":role/")?;
            let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_/-".contains(&b);
            (text.len() <= MAX_ROLE_ARN && !role.is_empty() && role.bytes().all(is_allowed)).then_some(())?;
            Some(Self {
                text: text.into(),
                account: account.parse().ok()?,
                partition: partition.parse().ok()?,
            })
        };
        parsed().ok_or(InvalidRoleArn)
    }
}

impl fmt::Display for RoleArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// === impl ExternalId ===

impl ExternalId {
    /// The id itself, for the one call that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for ExternalId {
    type Err = InvalidExternalId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b);
        if (MIN_EXTERNAL_ID..=MAX_EXTERNAL_ID).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidExternalId)
        }
    }
}

impl fmt::Debug for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExternalId(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_ids_are_twelve_digits_and_nothing_else() {
        let id: AccountId = "012345678901".parse().unwrap();
        assert_eq!(id.to_string(), "012345678901");
        for text in ["", "01234567890", "0123456789012", "01234567890x", "٠١٢٣٤٥"] {
            assert_eq!(text.parse::<AccountId>(), Err(InvalidAccountId), "{text:?}");
        }
    }

    #[test]
    fn regions_of_every_partition_are_known_by_their_shape() {
        for text in ["us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1", "ap-southeast-12"] {
            assert!(text.parse::<Region>().is_ok(), "{text}");
        }
        for text in ["", "useast1", "us-east", "US-EAST-1", "us east 1", "-us-east-1", "eu-west-1\n"] {
            assert_eq!(text.parse::<Region>(), Err(InvalidRegion), "{text:?}");
        }
        let partition = |text: &str| Partition::of(&text.parse().unwrap());
        assert_eq!(partition("cn-north-1"), Partition::AwsCn);
        assert_eq!(partition("us-gov-east-1"), Partition::AwsUsGov);
        assert_eq!(partition("eu-central-1"), Partition::Aws);
    }

    #[test]
    fn a_role_arn_yields_its_account_and_refuses_users_and_noise() {
        let arn: RoleArn = "arn:aws:iam::111122223333:role/path/LogKey".parse().unwrap();
        assert_eq!(arn.account().to_string(), "111122223333");
        for text in [
            "arn:aws:iam::111122223333:user/x",
            "arn:aws:iam::1:role/x",
            "arn:aws:iam::111122223333:role/",
            "arn:other:iam::111122223333:role/x",
            "arn:aws:iam::111122223333:role/a b",
            "",
        ] {
            assert_eq!(text.parse::<RoleArn>(), Err(InvalidRoleArn), "{text:?}");
        }
    }

    #[test]
    fn an_external_id_never_prints_itself() {
        let id: ExternalId = "very-secret".parse().unwrap();
        assert_eq!(format!("{id:?}"), "ExternalId(…)");
        for text in ["x", "a b", "ü-umlaut", ""] {
            assert_eq!(text.parse::<ExternalId>(), Err(InvalidExternalId), "{text:?}");
        }
    }
}
