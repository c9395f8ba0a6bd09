//! How the commands show events.

use serde_json::Value;

use crate::{
    output::{Column, Table},
    proto::AuditEvent,
    verbs::shared::time,
};

/// The table of these events, in their order.
pub(super) fn table(events: &[AuditEvent], empty: &'static str) -> Table {
    let columns = [
        Column::new("position"),
        Column::new("time"),
        Column::new("kind"),
        Column::new("action"),
        Column::new("resource"),
        Column::new("outcome"),
        Column::wide("tenant"),
        Column::wide("subject"),
        Column::wide("request"),
        Column::wide("aws_requests"),
        Column::wide("count"),
        Column::wide("id"),
    ];
    let mut table = Table::new(&columns, empty).named_by("id");
    for event in events {
        table.push([
            event.position.to_string(),
            time(event.time.as_ref()),
            event.kind.clone(),
            event.action.clone(),
            short_resource(&event.resource),
            event.outcome.clone(),
            event.tenant_id.clone(),
            event.subject.clone(),
            event.correlation_id.clone(),
            aws_requests(event),
            event.count.to_string(),
            event.id.clone(),
        ]);
    }
    table
}

/// The name of the resource without what its account and Region say.
fn short_resource(arn: &str) -> String {
    let name = arn.splitn(6, ':').nth(5).unwrap_or(arn);
    name.strip_prefix("log-group:").unwrap_or(name).to_owned()
}

/// The ids of the calls to AWS, as `CloudTrail` has them.
pub(super) fn aws_requests(event: &AuditEvent) -> String {
    let json: Value = serde_json::from_str(&event.json).unwrap_or_default();
    let ids = json.pointer("/unmapped/logkey/aws_request_ids").and_then(Value::as_array);
    ids.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}
