//! Logs Insights queries. They find nothing and end as the account's seed says; their use is that
//! `GetQueryResults` returns the key of query results.

use serde::Deserialize;
use serde_json::json;

use super::{
    resource::{authorize_group, parse_group_name},
    service,
};
use crate::{
    api_error::ApiError,
    authorizer::Context,
    service::Service,
    state::groups::{LogGroup, Query},
    wire::answer::Answer,
};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StartInput {
    log_group_name: Option<String>,
    #[serde(default)]
    log_group_names: Vec<String>,
    #[serde(default)]
    log_group_identifiers: Vec<String>,
    query_string: String,
    start_time: Option<i64>,
    end_time: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResultsInput {
    query_id: String,
}

pub(super) fn start(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: StartInput = context.call.input()?;
    if input.query_string.trim().is_empty() {
        let text = "The query is empty";
        return Err(ApiError::new("MalformedQueryException", text));
    }
    for (field, value) in [("startTime", input.start_time), ("endTime", input.end_time)] {
        if value.is_none() {
            return Err(ApiError::constraint(Service::Logs, field, "null", "Member must not be null"));
        }
    }
    if input.start_time > input.end_time {
        // AWS's own wording is not known.
        return Err(ApiError::new("MalformedQueryException", "The start of the query is after its end"));
    }
    let identifiers =
        input.log_group_name.iter().chain(&input.log_group_names).chain(&input.log_group_identifiers);
    let mut names = Vec::new();
    for identifier in identifiers {
        let name = parse_group_name(context, identifier)?;
        authorize_group(context, name)?;
        names.push(name);
    }
    if names.is_empty() {
        return Err(ApiError::invalid_parameter("No log group is named"));
    }
    let keys: Vec<(String, String)> = {
        let logs = context.region.logs();
        let groups =
            names.iter().map(|name| logs.groups.get(*name).ok_or_else(ApiError::log_group_not_found));
        let key = |group: &LogGroup| Some((group.kms_key.clone()?, group.arn.clone()));
        groups.filter_map(|group| group.map(key).transpose()).collect::<Result<_, _>>()?
    };
    keys.iter().try_for_each(|(key, group)| authorize_decrypt(context, key, group))?;
    let plan = context.account.queries();
    let mut logs = context.region.logs();
    let id = uuid::Uuid::new_v4().to_string();
    let encryption_key = logs.query_results_key.clone();
    let query = Query { encryption_key, running: plan.running, end: plan.end.clone() };
    logs.put_query(id.clone(), query);
    Ok(Answer::Json(json!({ "queryId": id })))
}

pub(super) fn results(context: &Context<'_>) -> Result<Answer, ApiError> {
    let input: ResultsInput = context.call.input()?;
    context.authorize("logs:GetQueryResults", &["*"], &[])?;
    let polled = context.region.logs().query(&input.query_id).map(|query| {
        let running = query.running > 0;
        query.running = query.running.saturating_sub(1);
        (running, query.clone())
    });
    let Some((running, query)) = polled else {
        let text = "The specified query does not exist.";
        return Err(ApiError::new("ResourceNotFoundException", text));
    };
    if let Some(key) = &query.encryption_key {
        authorize_decrypt(context, key, &context.region.query_results_arn())?;
    }
    let mut answer = json!({
        "queryLanguage": "CWLI",
        "status": if running { "Running" } else { query.end.as_str() },
        "results": [],
        "statistics": { "recordsMatched": 0.0, "recordsScanned": 0.0, "bytesScanned": 0.0 },
    });
    if let (Some(key), Some(fields)) = (&query.encryption_key, answer.as_object_mut()) {
        fields.insert("encryptionKey".to_owned(), key.as_str().into());
    }
    Ok(Answer::Json(answer))
}

/// Checks that the service may decrypt data of `resource` with the key for the caller. `StartQuery` and `GetQueryResults` both
/// check this; it is not known at which of the two AWS refuses.
fn authorize_decrypt(context: &Context<'_>, arn: &str, resource: &str) -> Result<(), ApiError> {
    let mut parts = arn.splitn(6, ':').skip(4);
    let (account, id) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let id = id.strip_prefix("key/").unwrap_or_default();
    let region = context.state.account(account).and_then(|account| account.region(&context.region.name));
    let Some(key) = region.and_then(|region| region.keys().key(id)) else {
        return Err(context.cross_account_denial("kms:Decrypt", arn));
    };
    let service = service::principal(&context.region.name);
    context.authorize_key(&key, "kms:Decrypt", &service::facts_through(&context.region, &service, resource))
}
