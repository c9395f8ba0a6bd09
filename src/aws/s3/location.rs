//! The URL of a bucket, with the prefix of the names of its objects.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// The lengths of a bucket's name
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>).
const NAME_LENGTHS: std::ops::RangeInclusive<usize> = 3..=63;
/// The longest prefix, in bytes. The longest name of an object has 1,024 bytes
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>).
const MAX_PREFIX: usize = 900;

/// A URL such as `s3://example-audit/logkey`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Location {
    pub(super) bucket: Box<str>,
    /// It neither begins nor ends with a slash. It can be empty.
    pub(super) prefix: Box<str>,
}

/// A text is not the URL of a bucket. The message follows the name of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is not the URL of a bucket; expected one such as s3://example-audit/logkey")]
pub struct InvalidS3Location;

// === impl S3Location ===

impl S3Location {
    /// The name of the object for a path.
    pub(super) fn key(&self, path: &str) -> String {
        if self.prefix.is_empty() { path.to_owned() } else { format!("{}/{path}", self.prefix) }
    }
}

impl FromStr for S3Location {
    type Err = InvalidS3Location;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("s3://").ok_or(InvalidS3Location)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_name = NAME_LENGTHS.contains(&bucket.len())
            && bucket.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'));
        // A part that is empty or a dot has another meaning in some tools.
        let is_prefix = prefix.is_empty()
            || (prefix.len() <= MAX_PREFIX
                && prefix.split('/').all(|part| !matches!(part, "" | "." | ".."))
                && prefix.bytes().all(|it| it.is_ascii_alphanumeric() || b"/!-_.*'()=".contains(&it)));
        if is_name && is_prefix {
            Ok(Self { bucket: bucket.into(), prefix: prefix.into() })
        } else {
            Err(InvalidS3Location)
        }
    }
}

impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_bucket_and_the_prefix_of_its_objects() {
        for (text, key) in [
            ("s3://example-audit/logkey", "logkey/checkpoint"),
            ("s3://example-audit/a/b/", "a/b/checkpoint"),
            ("s3://example-audit", "checkpoint"),
            ("s3://example-audit/", "checkpoint"),
        ] {
            let location: S3Location = text.parse().unwrap();
            assert_eq!((&*location.bucket, location.key("checkpoint").as_str()), ("example-audit", key));
        }
        for text in [
            "example-audit",
            "s3:example-audit",
            "s3://",
            "s3://ab/c",
            "s3://Example/c",
            "s3://example-audit//c",
            "s3://example-audit/a/../b",
            "s3://example-audit/a b",
            "https://example-audit.s3.amazonaws.com/logkey",
        ] {
            assert_eq!(text.parse::<S3Location>(), Err(InvalidS3Location), "{text}");
        }
    }
}
