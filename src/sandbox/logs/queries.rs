//! Logs Insights, as far as it tells which key its results are stored under: every query is
//! complete at once and finds nothing.

use serde::Deserialize;
use serde_json::json;

use super::{may_on_group, name_of};
use crate::sandbox::{access::Context, refusal::Refusal, wire::Answer, world::groups::Query};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    log_group_name: Option<String>,
    #[serde(default)]
    log_group_names: Vec<String>,
    #[serde(default)]
    log_group_identifiers: Vec<String>,
    query_string: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Results {
    query_id: String,
}

pub(super) fn start(context: &Context<'_>) -> Result<Answer, Refusal> {
    let input: Start = context.call.input()?;
    if input.query_string.trim().is_empty() {
        let text = "The query is empty";
        return Err(Refusal::new("MalformedQueryException", text));
    }
    let identifiers =
        input.log_group_name.iter().chain(&input.log_group_names).chain(&input.log_group_identifiers);
    let mut names = Vec::new();
    for identifier in identifiers {
        let name = name_of(context, identifier)?;
        may_on_group(context, name)?;
        names.push(name);
    }
    if names.is_empty() {
        return Err(Refusal::invalid_parameter("No log group is named"));
    }
    let mut logs = context.region.logs();
    if names.iter().any(|name| !logs.groups.contains_key(*name)) {
        return Err(Refusal::log_group_not_found());
    }
    let id = uuid::Uuid::new_v4().to_string();
    let encryption_key = logs.query_results_key.clone();
    logs.put_query(id.clone(), Query { encryption_key });
    Ok(Answer::Json(json!({ "queryId": id })))
}

pub(super) fn results(context: &Context<'_>) -> Result<Answer, Refusal> {
    let input: Results = context.call.input()?;
    context.may("logs:GetQueryResults", &["*"], &[])?;
    let logs = context.region.logs();
    let Some(query) = logs.query(&input.query_id) else {
        let text = "The specified query does not exist.";
        return Err(Refusal::new("ResourceNotFoundException", text));
    };
    let mut answer = json!({
        "queryLanguage": "CWLI",
        "status": "Complete",
        "results": [],
        "statistics": { "recordsMatched": 0.0, "recordsScanned": 0.0, "bytesScanned": 0.0 },
    });
    if let (Some(key), Some(fields)) = (&query.encryption_key, answer.as_object_mut()) {
        fields.insert("encryptionKey".to_owned(), key.as_str().into());
    }
    Ok(Answer::Json(answer))
}
