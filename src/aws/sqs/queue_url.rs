//! The URL of an SQS queue:
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html>.

use std::{fmt, str::FromStr};

use thiserror::Error;
use url::Url;

use crate::domain::aws::{AccountId, Region};

/// The maximum length of a queue's name, `.fifo` included:
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html>.
const MAX_NAME: usize = 80;

/// The URL of a queue, such as `https://sqs.us-east-1.amazonaws.com/999999999999/logkey-events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueUrl {
    text: Box<str>,
    origin: Box<str>,
    region: Option<Region>,
}

/// Why a text is not the URL of a queue. The message follows the name of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidQueueUrl {
    /// The text is an ARN.
    #[error(
        "is the ARN of a queue; expected its URL, such as https://sqs.us-east-1.amazonaws.com/999999999999/logkey-events"
    )]
    Arn,
    /// The text is not a URL with a host and without credentials, a query or a fragment.
    #[error("is not a URL such as https://sqs.us-east-1.amazonaws.com/999999999999/logkey-events")]
    NotAUrl,
    /// The path is not an account and a name.
    #[error(
        "does not end with the account and the name of a queue; expected a URL such as https://sqs.us-east-1.amazonaws.com/999999999999/logkey-events"
    )]
    Path,
}

// === impl QueueUrl ===

impl QueueUrl {
    /// The URL as AWS returned it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The Region in the name of the host; `None` for a host that is not AWS's.
    #[must_use]
    pub fn region(&self) -> Option<&Region> {
        self.region.as_ref()
    }

    /// The endpoint that serves the queue.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }
}

impl FromStr for QueueUrl {
    type Err = InvalidQueueUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("arn:") {
            return Err(InvalidQueueUrl::Arn);
        }
        let url: Url = text.parse().map_err(|_invalid| InvalidQueueUrl::NotAUrl)?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        let is_bare = url.query().is_none() && url.fragment().is_none();
        let host = url.host_str().filter(|_| matches!(url.scheme(), "https" | "http") && is_plain && is_bare);
        let host = host.ok_or(InvalidQueueUrl::NotAUrl)?;
        let mut path = url.path().trim_start_matches('/').rsplit('/');
        let (name, account) = (path.next().unwrap_or_default(), path.next().unwrap_or_default());
        if !is_queue_name(name) || account.parse::<AccountId>().is_err() {
            return Err(InvalidQueueUrl::Path);
        }
        Ok(Self {
            text: text.into(),
            origin: url.origin().ascii_serialization().into(),
            region: region_of(host),
        })
    }
}

impl fmt::Display for QueueUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_queue_name(name: &str) -> bool {
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !stem.is_empty() && name.len() <= MAX_NAME && stem.bytes().all(is_allowed)
}

/// The Region in a host of AWS: the only label that has the form of a Region. The legacy host without one is
/// that of us-east-1: <https://docs.aws.amazon.com/general/latest/gr/sqs-service.html>.
fn region_of(host: &str) -> Option<Region> {
    if host == "queue.amazonaws.com" {
        return "us-east-1".parse().ok();
    }
    let is_aws = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".api.amazonwebservices.com.cn"];
    let labels = is_aws.iter().find_map(|suffix| host.strip_suffix(suffix))?;
    let is_vpc_endpoint = |label: &&str| label.starts_with("vpce-");
    labels.split('.').filter(|label| !is_vpc_endpoint(label)).find_map(|label| label.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_of_a_queue_is_in_its_host() {
        for (host, region) in [
            ("sqs.us-east-1.amazonaws.com", Some("us-east-1")),
            ("sqs-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("sqs.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("sqs.eu-central-1.api.aws", Some("eu-central-1")),
            ("eu-west-1.queue.amazonaws.com", Some("eu-west-1")),
            ("queue.amazonaws.com", Some("us-east-1")),
            ("vpce-0a1b2c3d-1.sqs.ap-southeast-2.vpce.amazonaws.com", Some("ap-southeast-2")),
            ("sqs.us-east-1.localhost.localstack.cloud:4566", None),
            ("127.0.0.1:4566", None),
        ] {
            let text = format!("https://{host}/999999999999/logkey-events");
            let url: QueueUrl = text.parse().unwrap();
            assert_eq!(url.region().map(Region::as_str), region, "{host}");
            assert_eq!((url.as_str(), url.origin()), (&*text, &*format!("https://{host}")));
        }
    }

    #[test]
    fn a_queue_url_ends_with_an_account_and_a_name() {
        for path in ["999999999999/q", "999999999999/Q_1-x.fifo", "queue/999999999999/q"] {
            assert!(format!("http://127.0.0.1:4566/{path}").parse::<QueueUrl>().is_ok(), "{path}");
        }
        let long = format!("999999999999/{}", "q".repeat(81));
        for path in ["", "q", "999999999999/", "99/q", "999999999999/a b", "999999999999/.fifo", &long] {
            let parsed = format!("https://sqs.us-east-1.amazonaws.com/{path}").parse::<QueueUrl>();
            assert_eq!(parsed, Err(InvalidQueueUrl::Path), "{path}");
        }
        for text in [
            "",
            "q",
            "ftp://host/999999999999/q",
            "https://u:p@h/999999999999/q",
            "https://h/999999999999/q?x",
        ] {
            assert_eq!(text.parse::<QueueUrl>(), Err(InvalidQueueUrl::NotAUrl), "{text}");
        }
        let arn = "arn:aws:sqs:us-east-1:999999999999:q".parse::<QueueUrl>();
        assert_eq!(arn, Err(InvalidQueueUrl::Arn));
    }
}
