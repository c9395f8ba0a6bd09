//! The attributes of a queue, which SQS passes as strings:
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html>.

use std::{collections::BTreeMap, ops::RangeInclusive};

use serde::Deserialize;
use serde_json::json;

use crate::{
    api_error::ApiError,
    state::queues::{QueueSettings, Redrive},
};

/// The attributes that have a fixed value, because the sandbox does not implement others.
const FIXED: [(&str, &str); 2] = [("DelaySeconds", "0"), ("MaximumMessageSize", "1048576")];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RedrivePolicy {
    dead_letter_target_arn: String,
    max_receive_count: Count,
}

/// SQS accepts a number and a string.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Count {
    Number(u32),
    Text(String),
}

/// Parses the attributes of `CreateQueue`.
pub(super) fn parse(attributes: &BTreeMap<String, String>) -> Result<QueueSettings, ApiError> {
    let mut settings = QueueSettings::default();
    for (name, value) in attributes {
        match name.as_str() {
            "VisibilityTimeout" => settings.visibility_seconds = seconds(name, value, 0..=43_200)?,
            "ReceiveMessageWaitTimeSeconds" => settings.wait_seconds = seconds(name, value, 0..=20)?,
            "MessageRetentionPeriod" => settings.retention_seconds = seconds(name, value, 60..=1_209_600)?,
            "RedrivePolicy" => settings.redrive = Some(redrive(value)?),
            _ if FIXED.contains(&(name, value)) => {}
            _ if FIXED.iter().any(|(fixed, _)| fixed == name) => return Err(invalid(name)),
            _ => return Err(ApiError::new("InvalidAttributeName", format!("Unknown Attribute {name}."))),
        }
    }
    Ok(settings)
}

/// The attributes that `settings` stands for.
pub(super) fn render(settings: &QueueSettings) -> BTreeMap<&'static str, String> {
    let mut attributes: BTreeMap<_, _> =
        FIXED.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    attributes.insert("VisibilityTimeout", settings.visibility_seconds.to_string());
    attributes.insert("ReceiveMessageWaitTimeSeconds", settings.wait_seconds.to_string());
    attributes.insert("MessageRetentionPeriod", settings.retention_seconds.to_string());
    if let Some(Redrive { dead_letter_arn, max_receives }) = &settings.redrive {
        let policy = json!({ "deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": max_receives });
        attributes.insert("RedrivePolicy", policy.to_string());
    }
    attributes
}

fn seconds(name: &str, value: &str, range: RangeInclusive<i64>) -> Result<i64, ApiError> {
    value.parse().ok().filter(|seconds| range.contains(seconds)).ok_or_else(|| invalid(name))
}

fn redrive(value: &str) -> Result<Redrive, ApiError> {
    let policy: RedrivePolicy = serde_json::from_str(value).map_err(|_error| invalid("RedrivePolicy"))?;
    let max_receives = match policy.max_receive_count {
        Count::Number(count) => Some(count),
        Count::Text(text) => text.parse().ok(),
    };
    let max_receives = max_receives.filter(|count| (1..=1_000).contains(count));
    Ok(Redrive {
        dead_letter_arn: policy.dead_letter_target_arn,
        max_receives: max_receives.ok_or_else(|| invalid("RedrivePolicy"))?,
    })
}

fn invalid(name: &str) -> ApiError {
    ApiError::new("InvalidAttributeValue", format!("Invalid value for the parameter {name}."))
}
