//! The ARNs, aliases and ids of KMS keys.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::parts::Parts;
use crate::domain::aws::{AccountId, Partition, Region};

/// Maximum length of `kmsKeyId` in bytes (`KmsKeyId` in the `CloudWatch` Logs service model).
pub const MAX_KMS_KEY_ID: usize = 256;

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
    /// The Region of the ARN is not in its partition.
    #[error(
        "names a Region that is not in the partition of the ARN; expected, for example, arn:aws-cn:kms:cn-north-1:ACCOUNT:key/KEY-ID"
    )]
    ForeignRegion,
    /// The text is neither an ARN nor an alias nor a key id.
    #[error("does not name a KMS key; expected a key ARN, an alias ARN, alias/NAME or a key id")]
    Malformed,
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
            if Partition::of(&region) != partition {
                return Err(InvalidKmsKeyId::ForeignRegion);
            }
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
