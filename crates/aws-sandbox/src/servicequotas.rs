//! Service Quotas: lists the rates of `CloudWatch` Logs that the sandbox enforces for an account.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    api_error::ApiError,
    authorizer::Context,
    quota::{LISTED, QuotaEntry},
    service::Service,
    wire::answer::Answer,
};

/// The maximum and default number of quotas on a page.
const MAX_PAGE: usize = 100;
/// The only service whose quotas are listed.
const LOGS: &str = "logs";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    service_code: Option<String>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

/// Runs one operation.
pub(crate) fn execute(context: &Context<'_>) -> Result<Answer, ApiError> {
    match context.call.operation.as_str() {
        "ListServiceQuotas" => list(context),
        other => Err(ApiError::unknown_operation(Service::ServiceQuotas, other)),
    }
}

fn list(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: Input = context.call.input()?;
    context.authorize("servicequotas:ListServiceQuotas", &["*"], &[])?;
    let Some(code) = &input.service_code else {
        let rule = "Member must not be null";
        return Err(ApiError::constraint(Service::ServiceQuotas, "serviceCode", "null", rule));
    };
    if code != LOGS {
        // AWS's own wording is not known.
        return Err(ApiError::new(
            "NoSuchResourceException",
            format!("the sandbox lists no quotas of the service {code}; expected {LOGS}"),
        ));
    }
    let limit = match input.max_results.map(usize::try_from) {
        None => MAX_PAGE,
        Some(Ok(limit)) if (1..=MAX_PAGE).contains(&limit) => limit,
        Some(_) => {
            let text = input.max_results.unwrap_or_default().to_string();
            let rule = "Member must have value between 1 and 100";
            return Err(ApiError::constraint(Service::ServiceQuotas, "maxResults", &text, rule));
        }
    };
    let from = input.next_token.as_deref().map_or(Some(0), read_token);
    let from = from.ok_or_else(|| ApiError::new("InvalidPaginationTokenException", "Invalid NextToken."))?;
    let quotas = context.account.quotas();
    let all = LISTED.iter().map(|row| render(row, context, quotas.per_second(row.operation)));
    let page: Vec<Value> = all.skip(from).take(limit).collect();
    let end = from.saturating_add(page.len());
    let mut answer = json!({ "Quotas": page });
    if let (true, Some(fields)) = (end < LISTED.len(), answer.as_object_mut()) {
        fields.insert("NextToken".to_owned(), BASE64_URL_SAFE_NO_PAD.encode(end.to_string()).into());
    }
    Ok(Answer::Json(answer))
}

fn read_token(token: &str) -> Option<usize> {
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()?.parse().ok()
}

fn render(row: &QuotaEntry, context: &Context<'_>, enforced: Option<f64>) -> Value {
    let QuotaEntry { operation, code, per_second, adjustable } = *row;
    json!({
        "ServiceCode": LOGS,
        "ServiceName": "Amazon CloudWatch Logs",
        "QuotaArn": context.region.arn("servicequotas", &format!("{LOGS}/{code}")),
        "QuotaCode": code,
        "QuotaName": format!("{operation} throttle limit in transactions per second"),
        "Value": enforced.unwrap_or(per_second),
        "Unit": "None",
        "Adjustable": adjustable,
        "GlobalQuota": false,
        "Period": { "PeriodValue": 1, "PeriodUnit": "SECOND" },
        "QuotaAppliedAtLevel": "ACCOUNT",
    })
}
