//! Amazon Resource Names of keys and of the resources that they encrypt. The values are checked when they are
//! parsed and need no later check.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::{
    association::{LogGroupName, Target},
    aws::{AccountId, Partition, Region},
};

/// Maximum length of `kmsKeyId` in bytes (`KmsKeyId` in the `CloudWatch` Logs service model).
pub const MAX_KMS_KEY_ID: usize = 256;
/// Maximum length of `resourceIdentifier` in bytes (`ResourceIdentifier` in the same model).
pub const MAX_RESOURCE_IDENTIFIER: usize = 2048;

/// The ARN of one KMS key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KmsKeyArn {
    text: Box<str>,
    partition: Partition,
    region: Region,
    account: AccountId,
}

/// A key as a caller names it. The service resolves it to a [`KmsKeyArn`] before it evaluates policies,
/// because an alias can be moved to another key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KmsKeyId {
    /// The key's own ARN.
    Arn(KmsKeyArn),
    /// The ARN of an alias.
    AliasArn {
        /// The complete ARN.
        text: Box<str>,
        /// The Region of the alias.
        region: Region,
        /// The account of the alias.
        account: AccountId,
    },
    /// `alias/NAME`, in the account and Region of the target.
    Alias(Box<str>),
    /// A bare key id, in the account and Region of the target.
    KeyId(Box<str>),
}

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

/// Why a text does not name a KMS key. The message follows the name of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidKmsKeyId {
    /// The text is empty.
    #[error(
        "is required; expected the ARN of a KMS key, such as arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    )]
    Empty,
    /// The text has more than [`MAX_KMS_KEY_ID`] bytes.
    #[error("is longer than {MAX_KMS_KEY_ID} characters")]
    TooLong,
    /// The text is an ARN, but not of a key or an alias.
    #[error("is not the ARN of a KMS key; expected arn:aws:kms:REGION:ACCOUNT:key/KEY-ID")]
    NotAKeyArn,
    /// The text is neither an ARN nor an alias nor a key id.
    #[error("does not name a KMS key; expected a key ARN, an alias ARN, alias/NAME or a key id")]
    Malformed,
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

/// The parts of an ARN whose prefix and service match the expected ones.
struct Parts<'t> {
    partition: Partition,
    region: Region,
    account: AccountId,
    resource: &'t str,
}

// === impl KmsKeyArn ===

impl KmsKeyArn {
    /// The complete ARN.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The account that owns the key.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The Region of the key.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// The partition of the key.
    #[must_use]
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// The part after `key/`. For a multi-Region key it starts with `mrk-`.
    #[must_use]
    pub fn key_id(&self) -> &str {
        self.text.rsplit('/').next().unwrap_or_default()
    }
}

impl FromStr for KmsKeyArn {
    type Err = InvalidKmsKeyId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse()? {
            KmsKeyId::Arn(arn) => Ok(arn),
            KmsKeyId::AliasArn { .. } | KmsKeyId::Alias(_) | KmsKeyId::KeyId(_) => {
                Err(InvalidKmsKeyId::NotAKeyArn)
            }
        }
    }
}

impl fmt::Display for KmsKeyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// === impl KmsKeyId ===

impl FromStr for KmsKeyId {
    type Err = InvalidKmsKeyId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let alias = |text: &str| {
            let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"/_-".contains(&b);
            text.strip_prefix("alias/").is_some_and(|name| !name.is_empty() && name.bytes().all(is_allowed))
        };
        if text.is_empty() {
            return Err(InvalidKmsKeyId::Empty);
        }
        if text.len() > MAX_KMS_KEY_ID {
            return Err(InvalidKmsKeyId::TooLong);
        }
        if text.starts_with("arn:") {
            let Parts { partition, region, account, resource } =
                Parts::of(text, "kms").ok_or(InvalidKmsKeyId::NotAKeyArn)?;
            return match resource.strip_prefix("key/") {
                Some(key) if id(key) => {
                    Ok(Self::Arn(KmsKeyArn { text: text.into(), partition, region, account }))
                }
                None if alias(resource) => Ok(Self::AliasArn { text: text.into(), region, account }),
                _ => Err(InvalidKmsKeyId::NotAKeyArn),
            };
        }
        if alias(text) {
            Ok(Self::Alias(text.into()))
        } else if id(text) {
            Ok(Self::KeyId(text.into()))
        } else {
            Err(InvalidKmsKeyId::Malformed)
        }
    }
}

impl fmt::Display for KmsKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arn(arn) => arn.fmt(f),
            Self::AliasArn { text, .. } | Self::Alias(text) | Self::KeyId(text) => f.write_str(text),
        }
    }
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

// === impl Parts ===

impl<'t> Parts<'t> {
    fn of(text: &'t str, service: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        (parts.next()? == "arn").then_some(())?;
        let partition = parts.next()?.parse().ok()?;
        (parts.next()? == service).then_some(())?;
        let region = parts.next()?.parse().ok()?;
        let account = parts.next()?.parse().ok()?;
        Some(Self { partition, region, account, resource: parts.next()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn a_key_arn_keeps_its_text_and_yields_its_parts() {
        let arn: KmsKeyArn = KEY.parse().unwrap();
        assert_eq!(arn.to_string(), KEY);
        assert_eq!(arn.account().as_str(), "111122223333");
        assert_eq!(arn.region().as_str(), "eu-west-1");
        assert_eq!(arn.key_id(), "1234abcd-12ab-34cd-56ef-1234567890ab");
    }

    #[test]
    fn every_form_of_a_key_id_is_recognized() {
        let form = |text: &str| text.parse::<KmsKeyId>();
        assert!(matches!(form(KEY), Ok(KmsKeyId::Arn(_))));
        assert!(matches!(
            form("arn:aws-cn:kms:cn-north-1:111122223333:alias/team/logs"),
            Ok(KmsKeyId::AliasArn { .. })
        ));
        assert_eq!(form("alias/logs"), Ok(KmsKeyId::Alias("alias/logs".into())));
        assert_eq!(form("mrk-1234"), Ok(KmsKeyId::KeyId("mrk-1234".into())));
    }

    #[test]
    fn an_invalid_key_id_is_rejected_with_the_reason() {
        use InvalidKmsKeyId::{Empty, Malformed, NotAKeyArn, TooLong};
        for (text, reason) in [
            ("", Empty),
            (&*"a".repeat(257), TooLong),
            ("arn:aws:kms:eu-west-1:111122223333", NotAKeyArn),
            ("arn:aws:s3:::key/x", NotAKeyArn),
            ("arn:aws:kms:eu-west-1::key/x", NotAKeyArn),
            ("arn:aws:kms:eu-west-1:111122223333:key/", NotAKeyArn),
            ("arn:aws:kms:eu-west-1:111122223333:key/*", NotAKeyArn),
            ("alias/", Malformed),
            ("two words", Malformed),
        ] {
            assert_eq!(text.parse::<KmsKeyId>(), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn resource_identifiers_round_trip() {
        for text in [
            "arn:aws:logs:eu-west-1:111122223333:log-group:/app/web",
            "arn:aws:logs:eu-west-1:111122223333:query-result:*",
            "arn:aws-us-gov:logs:us-gov-west-1:111122223333:log-group:x",
        ] {
            assert_eq!(text.parse::<ResourceArn>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn resource_identifiers_that_aws_would_refuse_are_rejected() {
        use InvalidResourceArn::{Empty, HashInArn, Malformed, TooLong, TrailingStar};
        let at = |rest: &str| format!("arn:aws:logs:eu-west-1:111122223333:{rest}");
        for (text, reason) in [
            (String::new(), Empty),
            (at(&"x".repeat(2100)), TooLong),
            (at("log-group:/app/web:*"), TrailingStar),
            (at("log-group:/app/#1"), HashInArn),
            (at("log-group:"), Malformed),
            (at("query-result:1"), Malformed),
            (at("destination:x"), Malformed),
            ("arn:aws:kms:eu-west-1:111122223333:log-group:x".into(), Malformed),
            ("/app/web".into(), Malformed),
        ] {
            assert_eq!(text.parse::<ResourceArn>(), Err(reason), "{text:?}");
        }
    }

    /// Texts that are ARNs or resemble them: each part is independently valid or invalid.
    fn nearly_an_arn() -> impl Strategy<Value = String> {
        let partition = prop_oneof!["aws", "aws-cn", "aws-us-gov", "aws-x", ""];
        let service = prop_oneof!["kms", "logs", "s3", ""];
        let region = prop_oneof!["eu-west-1", "cn-north-1", "us-gov-west-1", "[a-z0-9-]{0,12}"];
        let account = prop_oneof!["[0-9]{12}", "[0-9a-z]{0,13}"];
        let resource = prop_oneof![
            "key/[a-z0-9-]{0,36}",
            "alias/[A-Za-z0-9/_-]{0,20}",
            "log-group:[A-Za-z0-9./_#:*-]{0,30}",
            Just("query-result:*".to_owned()),
            "\\PC{0,20}",
        ];
        (partition, service, region, account, resource).prop_map(
            |(partition, service, region, account, resource)| {
                format!("arn:{partition}:{service}:{region}:{account}:{resource}")
            },
        )
    }

    proptest! {
        #[test]
        fn an_accepted_text_round_trips(text in nearly_an_arn()) {
            if let Ok(arn) = text.parse::<ResourceArn>() {
                prop_assert_eq!(arn.to_string(), text.as_str());
                prop_assert_eq!(arn.to_string().parse(), Ok(arn));
            }
            if let Ok(key) = text.parse::<KmsKeyId>() {
                prop_assert_eq!(key.to_string(), text.as_str());
                prop_assert_eq!(key.to_string().parse(), Ok(key));
            }
        }

        #[test]
        fn a_parsed_arn_has_the_parts_of_its_text(text in nearly_an_arn()) {
            let parts: Vec<&str> = text.splitn(6, ':').collect();
            if let Ok(arn) = text.parse::<KmsKeyArn>() {
                let own = [arn.partition().as_str(), "kms", arn.region().as_str(), arn.account().as_str()]
                    .map(str::to_owned);
                prop_assert_eq!(&own[..], &parts[1..5]);
                prop_assert_eq!(format!("key/{}", arn.key_id()), parts[5]);
            }
            if let Ok(ResourceArn { partition, region, account, .. }) = text.parse() {
                let own = [partition.as_str(), "logs", region.as_str(), account.as_str()].map(str::to_owned);
                prop_assert_eq!(&own[..], &parts[1..5]);
            }
        }

        #[test]
        fn no_text_is_both_a_key_id_and_a_resource_identifier(text in prop_oneof![nearly_an_arn(), "\\PC{0,40}"]) {
            let (key, resource) = (text.parse::<KmsKeyId>(), text.parse::<ResourceArn>());
            prop_assert!(key.is_err() || resource.is_err());
        }
    }
}
