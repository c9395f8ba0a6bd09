//! The control API of the embedded AWS, under `/_sandbox/` on the same socket. It needs no credentials,
//! because the sandbox holds only test data.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Method, Response, StatusCode, request::Parts};
use serde_json::{Value, json};

use crate::{
    fault::spec::Fault,
    instance::Instance,
    seed::{contents::Seed, error::SeedErrors},
    state::aws::AwsState,
    wire::{answer, body::Body},
};

/// The prefix of every path of the control API.
pub(super) const PREFIX: &str = "/_sandbox/";
/// The maximum number of journal entries in one response.
const MAX_ENTRIES: usize = 10_000;

type Reply = Result<Value, (StatusCode, String)>;

/// Handles one request to the control API.
pub(super) fn answer(instance: &Instance, parts: &Parts, path: &str, body: &Bytes) -> Response<Body> {
    let (top, rest) = path.split_once('/').unwrap_or((path, ""));
    let reply = match (&parts.method, top) {
        (&Method::GET, "health") => Ok(json!({ "sandbox": true })),
        (&Method::GET, "journal") => Ok(journal(instance, &query_params(parts))),
        (&Method::DELETE, "journal") => {
            instance.journal.clear();
            Ok(json!({}))
        }
        (&Method::GET, "faults") => Ok(json!({ "faults": instance.faults.list() })),
        (&Method::POST, "faults") => add_fault(instance, body),
        (&Method::DELETE, "faults") => remove_faults(instance, rest),
        (&Method::GET, "state") => Ok(state(&instance.state, query_params(parts).get("account"))),
        (&Method::POST, "seed") => apply_seed(instance, body),
        _ => Err((
            StatusCode::NOT_FOUND,
            "the control API has no such method and path; docs/sandbox.md lists them".to_owned(),
        )),
    };
    let (status, value) = match reply {
        Ok(value) => (StatusCode::OK, value),
        Err((status, text)) => (status, json!({ "error": text })),
    };
    let bytes = value.to_string().into();
    answer::response("application/json", status, bytes, "")
}

fn query_params(parts: &Parts) -> BTreeMap<String, String> {
    let query = parts.uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

fn journal(instance: &Instance, query: &BTreeMap<String, String>) -> Value {
    let number = |name: &str| query.get(name).and_then(|value| value.parse::<u64>().ok());
    let limit = number("limit").and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(MAX_ENTRIES).min(MAX_ENTRIES);
    let since = number("since").unwrap_or(0);
    let entries = instance.journal.since(since, limit);
    let last = entries.last().map_or(since, |entry| entry.sequence);
    json!({ "entries": entries, "last": last })
}

/// Adds one fault, or a list of them.
fn add_fault(instance: &Instance, body: &Bytes) -> Reply {
    let bad = |error: serde_json::Error| (StatusCode::BAD_REQUEST, error.to_string());
    let value: Value = serde_json::from_slice(body).map_err(bad)?;
    let faults: Vec<Fault> = if value.is_array() {
        serde_json::from_value(value).map_err(bad)?
    } else {
        vec![serde_json::from_value(value).map_err(bad)?]
    };
    let mut ids = Vec::new();
    for fault in faults {
        let full =
            || (StatusCode::INSUFFICIENT_STORAGE, "too many active faults; remove some first".to_owned());
        ids.push(instance.faults.add(fault).ok_or_else(full)?);
    }
    Ok(json!({ "ids": ids }))
}

fn remove_faults(instance: &Instance, id: &str) -> Reply {
    if id.is_empty() {
        instance.faults.remove(None);
        return Ok(json!({}));
    }
    let id =
        id.parse().map_err(|_error| (StatusCode::BAD_REQUEST, "the fault id must be a number".to_owned()))?;
    instance.faults.remove(Some(id));
    Ok(json!({}))
}

/// Adds a seed in TOML. An object with the same name is replaced.
fn apply_seed(instance: &Instance, body: &Bytes) -> Reply {
    let bad = |text: String| (StatusCode::BAD_REQUEST, text);
    let text = std::str::from_utf8(body).map_err(|error| bad(error.to_string()))?;
    let diagnostics = |error: SeedErrors| bad(error.to_string());
    let seed: Seed = text.parse().map_err(diagnostics)?;
    instance.apply(&seed).map_err(diagnostics)?;
    Ok(json!({}))
}

/// The state of one account or all: log groups with their keys, the key of query results, and keys.
fn state(state: &AwsState, only: Option<&String>) -> Value {
    let mut accounts = serde_json::Map::new();
    let selected = state.accounts().into_iter().filter(|account| only.is_none_or(|only| *only == account.id));
    for account in selected {
        let mut regions = serde_json::Map::new();
        for region in account.regions() {
            let logs = region.logs();
            let groups: serde_json::Map<String, Value> = logs
                .groups
                .iter()
                .map(|(name, group)| (name.clone(), json!({ "kms_key": group.kms_key })))
                .collect();
            let results = logs.query_results_key.clone();
            drop(logs);
            let keys: serde_json::Map<String, Value> =
                region.keys().keys().map(|key| (key.arn.clone(), json!({ "state": key.state }))).collect();
            regions.insert(
                region.name.clone(),
                json!({ "log_groups": groups, "query_results_key": results, "keys": keys }),
            );
        }
        accounts.insert(account.id.clone(), regions.into());
    }
    json!({ "accounts": accounts })
}
