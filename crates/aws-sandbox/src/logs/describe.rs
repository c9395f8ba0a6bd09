//! `DescribeLogGroups`, by identifiers, prefix or pattern. With a pattern, AWS returns fewer fields.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::resource::{group_arn, parse_group_name};
use crate::{
    api_error::ApiError, authorizer::Context, service::Service, state::groups::LogGroup, wire::answer::Answer,
};

/// The maximum number of log groups on a page, and of identifiers in a request.
const MAX_PAGE: usize = 50;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    log_group_name_prefix: Option<String>,
    log_group_name_pattern: Option<String>,
    log_group_identifiers: Option<Vec<String>>,
    log_group_class: Option<String>,
    next_token: Option<String>,
    limit: Option<i64>,
}

pub(super) fn describe(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: Input = context.call.input()?;
    // The operation has no resource type, so a policy cannot limit it to a prefix.
    let all = group_arn(&context.region, "");
    let shown = format!("{all}:log-stream:");
    context.authorize("logs:DescribeLogGroups", &[&shown, &all], &[])?;
    let limit = validate_input(&input)?;
    if let Some(identifiers) = &input.log_group_identifiers {
        return by_identifiers(context, identifiers);
    }
    let after = match &input.next_token {
        None => String::new(),
        Some(token) => read_token(token, &input)?,
    };
    let logs = context.region.logs();
    let mut found = logs
        .groups
        .range::<String, _>((std::ops::Bound::Excluded(&after), std::ops::Bound::Unbounded))
        .filter(|(name, group)| input.matches_filter(name, group));
    let brief = input.log_group_name_pattern.is_some();
    let page: Vec<(&String, &LogGroup)> = found.by_ref().take(limit).collect();
    let last = found.next().and(page.last()).map(|(name, _)| *name);
    let rows: Vec<Value> = page.iter().map(|(name, group)| to_json(name, group, brief)).collect();
    let mut answer = json!({ "logGroups": rows });
    if let (Some(last), Some(fields)) = (last, answer.as_object_mut()) {
        fields.insert("nextToken".to_owned(), token(last, &input).into());
    }
    Ok(Answer::Json(answer))
}

fn by_identifiers(context: &Context<'_>, identifiers: &[String]) -> Result<Answer, ApiError> {
    let names: Vec<&str> = identifiers
        .iter()
        .map(|identifier| parse_group_name(context, identifier))
        .collect::<Result<_, _>>()?;
    let logs = context.region.logs();
    // Log groups that do not exist are omitted.
    let rows: Vec<Value> = names
        .into_iter()
        .filter_map(|name| logs.groups.get_key_value(name))
        .map(|(name, group)| to_json(name, group, false))
        .collect();
    Ok(Answer::Json(json!({ "logGroups": rows })))
}

fn validate_input(input: &Input) -> Result<usize, ApiError> {
    let refuse = |text: &str| Err(ApiError::invalid_parameter(text));
    if input.log_group_name_prefix.is_some() && input.log_group_name_pattern.is_some() {
        return refuse("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.");
    }
    if let Some(identifiers) = &input.log_group_identifiers {
        if !(1..=MAX_PAGE).contains(&identifiers.len()) {
            return refuse("logGroupIdentifiers must hold between 1 and 50 identifiers");
        }
        let others = [&input.log_group_name_prefix, &input.log_group_name_pattern];
        if others.into_iter().any(Option::is_some) {
            return refuse("logGroupIdentifiers cannot be used with a prefix or a pattern");
        }
    }
    let limit = input.limit.unwrap_or(50);
    match usize::try_from(limit) {
        Ok(limit) if (1..=MAX_PAGE).contains(&limit) => Ok(limit),
        Ok(_) | Err(_) => {
            let rule = "Member must have value between 1 and 50";
            let text = limit.to_string();
            Err(ApiError::constraint(Service::Logs, "limit", &text, rule))
        }
    }
}

/// Renders one log group; `brief` omits the fields that AWS omits with a pattern.
fn to_json(name: &str, group: &LogGroup, brief: bool) -> Value {
    let mut row = Map::new();
    row.insert("logGroupName".to_owned(), name.into());
    row.insert("arn".to_owned(), format!("{}:*", group.arn).into());
    let created = group.created.as_millisecond();
    row.insert("creationTime".to_owned(), created.into());
    if brief {
        return row.into();
    }
    row.insert("logGroupArn".to_owned(), group.arn.as_str().into());
    row.insert("logGroupClass".to_owned(), group.class.as_str().into());
    row.insert("metricFilterCount".to_owned(), 0.into());
    let stored: u64 = group.streams.values().map(|s| s.stored_bytes).sum();
    row.insert("storedBytes".to_owned(), stored.into());
    if let Some(days) = group.retention_days {
        row.insert("retentionInDays".to_owned(), days.into());
    }
    if let Some(key) = &group.kms_key {
        row.insert("kmsKeyId".to_owned(), key.as_str().into());
    }
    row.into()
}

// === impl Input ===

impl Input {
    fn matches_filter(&self, name: &str, group: &LogGroup) -> bool {
        let prefix = self.log_group_name_prefix.as_deref().unwrap_or_default();
        let pattern = self.log_group_name_pattern.as_deref().unwrap_or_default();
        let class = self.log_group_class.as_ref();
        name.starts_with(prefix) && name.contains(pattern) && class.is_none_or(|class| *class == group.class)
    }

    /// The filter that a page token is bound to, so that the token is invalid with any other filter.
    fn filter(&self) -> String {
        let part = |text: &Option<String>| text.clone().unwrap_or_default();
        [part(&self.log_group_name_prefix), part(&self.log_group_name_pattern), part(&self.log_group_class)]
            .join("\n")
    }
}

fn token(last: &str, input: &Input) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{last}\n{}", input.filter()))
}

fn read_token(token: &str, input: &Input) -> Result<String, ApiError> {
    BASE64_URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| {
            let (last, filter) = text.split_once('\n')?;
            (filter == input.filter()).then(|| last.to_owned())
        })
        .ok_or_else(|| ApiError::invalid_parameter("The specified nextToken is invalid."))
}
