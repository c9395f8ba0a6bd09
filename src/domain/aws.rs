//! AWS account ids, Regions, partitions, role ARNs and external ids, checked when they are parsed.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, LazyLock},
};

use thiserror::Error;

/// Minimum length of an external id (`ExternalId` in the STS API reference, `AssumeRole`).
const MIN_EXTERNAL_ID: usize = 2;
/// Maximum length of an external id (same source).
const MAX_EXTERNAL_ID: usize = 1224;
/// Maximum length of a role ARN (`RoleArn` in the STS API reference, `AssumeRole`).
const MAX_ROLE_ARN: usize = 2048;
/// Maximum length of a Region name. AWS's names have at most 15 characters today.
const MAX_REGION: usize = 32;

/// AWS's partitions. The embedded AWS reads the same table.
static PARTITIONS: LazyLock<Vec<PartitionData>> = LazyLock::new(|| {
    let text = include_str!("../../data/aws-partitions.txt");
    text.lines().filter(|line| !line.starts_with('#')).filter_map(PartitionData::parse).collect()
});
/// The commercial partition, for a Region that the table does not assign. A test holds it against the table.
static COMMERCIAL: PartitionData =
    PartitionData { name: "aws", region_prefix: "-", service_suffix: "amazonaws.com" };

/// A twelve-digit AWS account number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId([u8; 12]);

/// An AWS Region, such as `eu-west-1`. It is cheap to clone, because many values hold one of a few Regions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Region(Arc<str>);

/// An AWS partition: a group of Regions with separate accounts, such as `aws-cn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Partition(&'static PartitionData);

/// One line of the table of partitions.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PartitionData {
    name: &'static str,
    region_prefix: &'static str,
    service_suffix: &'static str,
}

/// The ARN of an IAM role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoleArn {
    text: Box<str>,
    account: AccountId,
    partition: Partition,
}

/// The value that a role's trust policy requires from the service. It is a secret: `Debug` hides it, and
/// there is no `Display`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ExternalId(Box<str>);

/// The text is not twelve ASCII digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an AWS account id; expected twelve digits")]
pub struct InvalidAccountId;

/// The text does not have the form of a Region name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an AWS Region; expected a name such as eu-west-1")]
pub struct InvalidRegion;

/// The text is not the name of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not an AWS partition; expected aws, aws-cn, aws-us-gov, aws-eusc or one of aws-iso")]
pub struct InvalidPartition;

/// The text is not the ARN of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "not the ARN of an IAM role; expected arn:PARTITION:iam::ACCOUNT:role/NAME, with a partition such as aws"
)]
pub struct InvalidRoleArn;

/// The text is not an external id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "not an external id; expected {MIN_EXTERNAL_ID} to {MAX_EXTERNAL_ID} characters of A-Z a-z 0-9 _ + = , . @ : / -"
)]
pub struct InvalidExternalId;

// === impl AccountId ===

impl AccountId {
    /// The id as twelve digits.
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
    /// The Region's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Region {
    type Err = InvalidRegion;

    /// Accepts every text with the form of a Region name: lower-case letters, digits and at least two dashes,
    /// with a digit at the end. A new Region therefore needs no release.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_well_formed = text.len() <= MAX_REGION
            && text.bytes().all(is_allowed)
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.ends_with(|c: char| c.is_ascii_digit())
            && text.bytes().filter(|b| *b == b'-').count() >= 2;
        if is_well_formed { Ok(Self(text.into())) } else { Err(InvalidRegion) }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Partition ===

impl Partition {
    /// Every partition.
    pub fn all() -> impl Iterator<Item = Self> {
        PARTITIONS.iter().map(Self)
    }

    /// The name as ARNs contain it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0.name
    }

    /// The suffix of service principals, as in `logs.eu-west-1.amazonaws.com`.
    #[must_use]
    pub fn service_suffix(self) -> &'static str {
        self.0.service_suffix
    }

    /// The partition of a Region, which its prefix determines.
    #[must_use]
    pub fn of(region: &Region) -> Self {
        Self::all().find(|it| region.as_str().starts_with(it.0.region_prefix)).unwrap_or(Self(&COMMERCIAL))
    }
}

impl FromStr for Partition {
    type Err = InvalidPartition;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::all().find(|it| it.as_str() == text).ok_or(InvalidPartition)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl PartitionData ===

impl PartitionData {
    fn parse(line: &'static str) -> Option<Self> {
        let mut columns = line.split_whitespace();
        Some(Self { name: columns.next()?, region_prefix: columns.next()?, service_suffix: columns.next()? })
    }
}

// === impl RoleArn ===

impl RoleArn {
    /// The complete ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The account of the role.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The partition of the role.
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
    /// The external id in plain text. Use it only to send it to AWS or to print a trust policy.
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
    fn regions_of_every_partition_are_recognized() {
        for text in ["us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1", "ap-southeast-12"] {
            assert!(text.parse::<Region>().is_ok(), "{text}");
        }
        for text in ["", "useast1", "us-east", "US-EAST-1", "us east 1", "-us-east-1", "eu-west-1\n"] {
            assert_eq!(text.parse::<Region>(), Err(InvalidRegion), "{text:?}");
        }
    }

    #[test]
    fn every_partition_has_its_regions_and_its_service_suffix() {
        let table: Vec<_> = Partition::all().map(|it| (it.as_str(), it.service_suffix())).collect();
        // "service principals" in the AWS documentation of each partition; see the table's sources.
        let expected = [
            ("us-east-1", "aws", "amazonaws.com"),
            ("cn-northwest-1", "aws-cn", "amazonaws.com.cn"),
            ("us-gov-east-1", "aws-us-gov", "amazonaws.com"),
            ("eusc-de-east-1", "aws-eusc", "amazonaws.eu"),
            ("us-iso-west-1", "aws-iso", "c2s.ic.gov"),
            ("us-isob-west-1", "aws-iso-b", "sc2s.sgov.gov"),
            ("eu-isoe-west-1", "aws-iso-e", "cloud.adc-e.uk"),
            ("us-isof-south-1", "aws-iso-f", "csp.hci.ic.gov"),
        ];
        assert_eq!(table, expected.map(|(_, name, suffix)| (name, suffix)));
        for (region, name, _) in expected.into_iter().chain([("xx-future-9", "aws", "")]) {
            let region: Region = region.parse().unwrap();
            assert_eq!(Partition::of(&region).as_str(), name, "{region}");
            let role = format!("arn:{name}:iam::111122223333:role/LogKey").parse::<RoleArn>().unwrap();
            assert_eq!(role.partition(), Partition::of(&region));
        }
        assert_eq!(PARTITIONS.first(), Some(&COMMERCIAL));
    }

    #[test]
    fn a_role_arn_has_an_account_and_other_arns_are_rejected() {
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
    fn debug_output_hides_an_external_id() {
        let id: ExternalId = "very-secret".parse().unwrap();
        assert_eq!(format!("{id:?}"), "ExternalId(…)");
        for text in ["x", "a b", "ü-umlaut", ""] {
            assert_eq!(text.parse::<ExternalId>(), Err(InvalidExternalId), "{text:?}");
        }
    }
}
