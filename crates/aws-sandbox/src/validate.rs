//! The constraints of AWS's service models on the parameters of the served operations.

use crate::{api_error::ApiError, partition, service::Service};

/// The retention periods that AWS accepts, in days.
pub(crate) const RETENTION_DAYS: [i64; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];
/// The log group classes that AWS accepts.
pub(crate) const LOG_GROUP_CLASSES: [&str; 4] = ["STANDARD", "INFREQUENT_ACCESS", "DELIVERY", "ESSENTIALS"];

/// `RoleSessionName` and `SourceIdentity`: 2 to 64 characters of `[\w+=,.@-]*`.
pub(crate) fn session_text(field: &str, text: &str) -> Result<(), ApiError> {
    let valid = (2..=64).contains(&text.len()) && text.chars().all(|c| is_word(c) || "+=,.@-".contains(c));
    let rule = "Member must satisfy regular expression pattern: [\\w+=,.@-]*";
    require(valid, Service::Sts, field, text, rule)
}

/// `ExternalId`: 2 to 1224 characters of `[\w+=,.@:\/-]*`. The error omits the value, which is confidential.
pub(crate) fn external_id(text: &str) -> Result<(), ApiError> {
    let valid =
        (2..=1224).contains(&text.len()) && text.chars().all(|c| is_word(c) || "+=,.@:/-".contains(c));
    let rule = "Member must satisfy regular expression pattern: [\\w+=,.@:\\/-]*";
    require(valid, Service::Sts, "externalId", "***", rule)
}

/// The account and the name in a role's ARN.
pub(crate) fn role_arn(arn: &str) -> Result<(&str, &str), ApiError> {
    arn.strip_prefix("arn:")
        .and_then(|rest| rest.split_once(":iam::"))
        .filter(|(partition, _)| partition::exists(partition))
        .and_then(|(_, rest)| rest.split_once(":role/"))
        .filter(|(account, _)| is_account(account))
        // A path is part of the ARN but not of the name.
        .map(|(account, name)| (account, name.rsplit('/').next().unwrap_or(name)))
        .filter(|(_, name)| !name.is_empty())
        .ok_or_else(|| ApiError::new("ValidationError", format!("{arn} is invalid")))
}

/// `LogGroupName`: 1 to 512 characters of `[\.\-_/#A-Za-z0-9]+`.
pub(crate) fn log_group_name(name: &str) -> Result<(), ApiError> {
    let valid = (1..=512).contains(&name.len()) && name.chars().all(is_group_char);
    let rule = "Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+";
    require(valid, Service::Logs, "logGroupName", name, rule)
}

/// `QueueName`: 1 to 80 letters, digits, `-` and `_`. The sandbox has no FIFO queues.
pub(crate) fn queue_name(name: &str) -> bool {
    (1..=80).contains(&name.len()) && name.chars().all(|c| is_word(c) || c == '-')
}

/// `LogStreamName`: 1 to 512 characters of `[^:*]*`.
pub(crate) fn log_stream_name(name: &str) -> Result<(), ApiError> {
    let valid = (1..=512).contains(&name.chars().count()) && !name.contains([':', '*']);
    let rule = "Member must satisfy regular expression pattern: [^:*]*";
    require(valid, Service::Logs, "logStreamName", name, rule)
}

/// `ResourceIdentifier`: 1 to 2048 characters of `[\w+=/:,.@\-\*]*`.
pub(crate) fn resource_identifier(text: &str) -> Result<(), ApiError> {
    let valid =
        (1..=2048).contains(&text.len()) && text.chars().all(|c| is_word(c) || "+=/:,.@-*".contains(c));
    let rule = "Member must satisfy regular expression pattern: [\\w+=/:,.@\\-\\*]*";
    require(valid, Service::Logs, "resourceIdentifier", text, rule)
}

/// A text of 1 to `max` characters.
pub(crate) fn length(service: Service, field: &str, text: &str, max: usize) -> Result<(), ApiError> {
    let valid = (1..=max).contains(&text.chars().count());
    let rule = format!("Member must have length between 1 and {max}");
    require(valid, service, field, text, &rule)
}

/// Whether the text is an account id: twelve digits.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether the text has the form of a Region, such as `eu-west-1`.
pub(crate) fn is_region(text: &str) -> bool {
    let last = text.rsplit('-').next().unwrap_or_default();
    text.matches('-').count() >= 2
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && last.bytes().all(|b| b.is_ascii_digit())
        && !last.is_empty()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_group_char(c: char) -> bool {
    is_word(c) || ".-/#".contains(c)
}

fn require(valid: bool, service: Service, field: &str, value: &str, rule: &str) -> Result<(), ApiError> {
    if valid {
        return Ok(());
    }
    Err(ApiError::constraint(service, field, value, rule))
}
