//! The constraints of the service models, as far as the served operations have them.

use super::{api_error::ApiError, wire::Service};

/// `RoleSessionName` and `SourceIdentity`: 2-64 of `[\w+=,.@-]*`.
pub(crate) fn session_text(field: &str, text: &str) -> Result<(), ApiError> {
    let fits = (2..=64).contains(&text.len()) && text.chars().all(|c| is_word(c) || "+=,.@-".contains(c));
    let rule = "Member must satisfy regular expression pattern: [\\w+=,.@-]*";
    require(fits, Service::Sts, field, text, rule)
}

/// `ExternalId`: 2-1224 of `[\w+=,.@:\/-]*`. The value is not repeated: it is a secret of sorts.
pub(crate) fn external_id(text: &str) -> Result<(), ApiError> {
    let fits = (2..=1224).contains(&text.len()) && text.chars().all(|c| is_word(c) || "+=,.@:/-".contains(c));
    let rule = "Member must satisfy regular expression pattern: [\\w+=,.@:\\/-]*";
    require(fits, Service::Sts, "externalId", "***", rule)
}

/// The account and the name in the ARN of a role.
pub(crate) fn role_arn(arn: &str) -> Result<(&str, &str), ApiError> {
    arn.strip_prefix("arn:aws")
        .and_then(|rest| rest.split_once(":iam::"))
        .filter(|(partition, _)| ["", "-cn", "-us-gov"].contains(partition))
        .and_then(|(_, rest)| rest.split_once(":role/"))
        .filter(|(account, _)| is_account(account))
        // A path is part of the ARN and not of the name.
        .map(|(account, name)| (account, name.rsplit('/').next().unwrap_or(name)))
        .filter(|(_, name)| !name.is_empty())
        .ok_or_else(|| ApiError::new("ValidationError", format!("{arn} is invalid")))
}

/// `LogGroupName`: 1-512 of `[\.\-_/#A-Za-z0-9]+`.
pub(crate) fn log_group_name(name: &str) -> Result<(), ApiError> {
    let fits = (1..=512).contains(&name.len()) && name.chars().all(is_group_char);
    let rule = "Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+";
    require(fits, Service::Logs, "logGroupName", name, rule)
}

/// `LogStreamName`: 1-512 of `[^:*]*`.
pub(crate) fn log_stream_name(name: &str) -> Result<(), ApiError> {
    let fits = (1..=512).contains(&name.chars().count()) && !name.contains([':', '*']);
    let rule = "Member must satisfy regular expression pattern: [^:*]*";
    require(fits, Service::Logs, "logStreamName", name, rule)
}

/// `ResourceIdentifier`: 1-2048 of `[\w+=/:,.@\-\*]*`.
pub(crate) fn resource_identifier(text: &str) -> Result<(), ApiError> {
    let fits =
        (1..=2048).contains(&text.len()) && text.chars().all(|c| is_word(c) || "+=/:,.@-*".contains(c));
    let rule = "Member must satisfy regular expression pattern: [\\w+=/:,.@\\-\\*]*";
    require(fits, Service::Logs, "resourceIdentifier", text, rule)
}

/// A text of at most so many characters, and at least one.
pub(crate) fn length(service: Service, field: &str, text: &str, max: usize) -> Result<(), ApiError> {
    let fits = (1..=max).contains(&text.chars().count());
    let rule = format!("Member must have length between 1 and {max}");
    require(fits, service, field, text, &rule)
}

/// Twelve digits.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Something like `eu-west-1`.
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

fn require(fits: bool, service: Service, field: &str, value: &str, rule: &str) -> Result<(), ApiError> {
    if fits {
        return Ok(());
    }
    Err(ApiError::constraint(service, field, value, rule))
}
