//! The story of one call: who asked for what, each event, and how it ended.

use logkey_client::output::{Column, Report, Table};
use serde_json::Value;

use super::report::{document, seconds};
use crate::{
    audit::parsed_event::{ParsedEvent, Unreadable},
    ports::StoredEvent,
};

/// Renders the events of a call, oldest first.
pub(super) fn report(events: &[StoredEvent]) -> Result<Report, Unreadable> {
    let views = events.iter().map(ParsedEvent::try_from).collect::<Result<Vec<_>, _>>()?;
    let bodies: Vec<Value> =
        events.iter().map(|event| serde_json::from_str(&event.body).unwrap_or_default()).collect();
    let columns = [
        Column::new("position"),
        Column::new("time"),
        Column::new("kind"),
        Column::new("outcome"),
        Column::optional("took"),
        Column::new("aws_requests"),
        Column::optional("id"),
    ];
    let mut table = Table::new(&columns, "no events").named_by("id");
    for (view, body) in views.iter().zip(&bodies) {
        table.push([
            view.seq.to_string(),
            seconds(view.time),
            view.kind.clone(),
            view.outcome.clone().unwrap_or_default(),
            took(body),
            texts(body, "/unmapped/logkey/aws_request_ids"),
            view.id.clone(),
        ]);
    }
    let report = Report::new(document(&views, events), table);
    let report = match (views.first(), bodies.first()) {
        (Some(view), Some(body)) => describe(report, view, body, views.last()),
        (Some(_) | None, _) => report,
    };
    let details = views.iter().filter_map(|view| {
        Some(format!("event {}: {}", view.seq, view.detail.as_deref().filter(|detail| !detail.is_empty())?))
    });
    Ok(report.notes(details.chain([ending(&views)])))
}

/// Adds what the first event says about the call. The last one knows the key before the change.
fn describe(report: Report, view: &ParsedEvent, body: &Value, last: Option<&ParsedEvent>) -> Report {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let previous = last.and_then(|last| last.previous_key.clone()).or_else(|| view.previous_key.clone());
    let resolved = view.resolved_key.as_ref().filter(|key| Some(*key) != view.requested_key.as_ref());
    let decision = text(body, "/actor/authorizations/0/decision");
    let policies = body.pointer("/actor/authorizations").and_then(Value::as_array).into_iter().flatten();
    let policies: Vec<String> = policies.map(|policy| text(policy, "/policy/uid")).collect();
    report
        .detail("request", view.correlation.clone())
        .detail("action", view.action.clone())
        .detail("tenant", or_empty(&view.tenant))
        .detail("subject", or_empty(&view.subject))
        .detail("on behalf of", or_empty(&view.on_behalf_of))
        .detail("called by", or_empty(&view.delegate))
        .detail("issuer", or_empty(&view.issuer))
        .detail("token", or_empty(&view.token_id))
        .detail("address", text(body, "/src_endpoint/ip"))
        .detail("client", text(body, "/http_request/user_agent"))
        .detail("resource", or_empty(&view.resource))
        .detail("key", or_empty(&view.requested_key))
        .detail("resolved key", resolved.cloned().unwrap_or_default())
        .detail("key before", previous.unwrap_or_default())
        .detail("reason", text(body, "/unmapped/logkey/reason"))
        .detail("decision", [decision, policies.join(", ")].join(" ").trim().to_owned())
        .detail("role", text(body, "/unmapped/logkey/role_arn"))
        .detail("session", text(body, "/unmapped/logkey/session_name"))
        .detail("job", or_empty(&view.job))
}

/// How the call ended, in a sentence.
fn ending(views: &[ParsedEvent]) -> String {
    let is_closed = |id: &str| views.iter().any(|view| view.closes.as_deref() == Some(id));
    if let Some(open) = views.iter().find(|view| view.kind == "intent" && !is_closed(&view.id)) {
        return format!(
            "The change that event {} announces has no end yet: it is in flight, or the service finds out by \
             reading from AWS.",
            open.seq
        );
    }
    let Some(last) = views.last() else { return String::new() };
    let outcome = last.outcome.as_deref().unwrap_or_default();
    match (&*last.kind, outcome) {
        ("settled", outcome) => format!("Reconciled by reading from AWS: the change is {outcome}."),
        ("lifecycle" | "finding", _) => String::new(),
        (_, "OK") => "The call succeeded.".to_owned(),
        (_, reason) => format!("The call failed with {reason}; docs/errors.md says what to do."),
    }
}

/// How long the call took until this event.
fn took(body: &Value) -> String {
    let micros = body.pointer("/unmapped/logkey/latency_us").and_then(Value::as_u64);
    micros.map_or_else(String::new, |micros| format!("{} ms", micros.div_ceil(1000)))
}

fn text(body: &Value, path: &str) -> String {
    body.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn texts(body: &Value, path: &str) -> String {
    let values = body.pointer(path).and_then(Value::as_array).into_iter().flatten();
    values.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}
