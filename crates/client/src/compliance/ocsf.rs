//! A report as OCSF 1.8.0 Compliance Findings (class 2003), one on each line:
//! <https://schema.ocsf.io/1.8.0/classes/compliance_finding>. The same shape as the findings in the audit log.

use prost_types::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    model::{Basis, ComplianceReport, Finding, Resource, Status, Verdict},
    table::basis,
};

/// The lines of the report.
pub(crate) fn ocsf(report: &ComplianceReport) -> String {
    report.resources.iter().map(|resource| event(report, resource).to_string() + "\n").collect()
}

fn event(report: &ComplianceReport, resource: &Resource) -> Value {
    let now = report.time.as_millisecond();
    let none = Finding::default();
    let finding = resource.finding.as_ref().unwrap_or(&none);
    let message = message(resource.status, finding);
    let since = finding.since.as_ref().map_or(now, milliseconds);
    let (severity_id, severity) = match resource.status.verdict() {
        Verdict::NonCompliant => (3, "Medium"),
        Verdict::Unknown => (2, "Low"),
        Verdict::Compliant | Verdict::NotRequired => (1, "Informational"),
    };
    let (status_id, status) = match resource.status {
        Status::Exempt => (3, "Suppressed"),
        Status::Compliant
        | Status::OtherKey
        | Status::NoKey
        | Status::KeyUnhealthy
        | Status::Conflict
        | Status::Flapping
        | Status::Unknown
        | Status::NoRule => (1, "New"),
    };
    let id = if finding.id.is_empty() { stable_id(&resource.arn).to_string() } else { finding.id.clone() };
    let mut event = json!({
        "time": now,
        "class_uid": 2003,
        "class_name": "Compliance Finding",
        "category_uid": 2,
        "category_name": "Findings",
        "activity_id": 1,
        "activity_name": "Create",
        "type_uid": 200_301,
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "status_code": resource.status.as_str(),
        "status_detail": message,
        "message": message,
        "metadata": {
            "version": "1.8.0",
            "uid": Uuid::now_v7().to_string(),
            "tenant_uid": report.tenant,
            "event_code": "finding",
            "profiles": ["cloud"],
            "product": { "name": "logkey", "version": env!("CARGO_PKG_VERSION") },
        },
        "finding_info": {
            "uid": id,
            "title": resource.status.title(),
            "desc": message,
            "types": [resource.status.as_str()],
            "created_time": since,
            "first_seen_time": since,
            "last_seen_time": now,
            "modified_time": now,
        },
        "compliance": compliance(report, resource, finding),
        "resources": resources(resource),
        "cloud": {
            "provider": "AWS",
            "account": { "uid": resource.account, "type_id": 10, "type": "AWS Account" },
            "region": resource.region,
            "cloud_partition": resource.arn.split(':').nth(1).unwrap_or("aws"),
        },
        "api": { "operation": "Report", "service": { "name": "keyassociation.v1" } },
        "unmapped": { "logkey": unmapped(finding) },
    });
    if !finding.remedy.is_empty()
        && let Some(event) = event.as_object_mut()
    {
        event.insert("remediation".to_owned(), json!({ "desc": finding.remedy }));
    }
    event
}

fn compliance(report: &ComplianceReport, resource: &Resource, finding: &Finding) -> Value {
    let (status_id, status) = match resource.status.verdict() {
        Verdict::Unknown => (0, "Unknown"),
        Verdict::Compliant => (1, "Pass"),
        Verdict::NotRequired => (2, "Warning"),
        Verdict::NonCompliant => (3, "Fail"),
    };
    let control = match &report.basis {
        Basis::Rules if !finding.rule.is_empty() => finding.rule.clone(),
        Basis::Rules => "encryption rules".to_owned(),
        Basis::ExpectedKey(_) | Basis::AnyKey => basis(&report.basis),
    };
    let standards = ["logkey encryption rules"];
    json!({ "standards": standards, "control": control, "status_id": status_id, "status": status })
}

fn resources(resource: &Resource) -> Vec<Value> {
    let kind = if resource.arn.ends_with(":query-result:*") { "QueryResult" } else { "LogGroup" };
    let kind = format!("AWS::Logs::{kind}");
    let mut resources = vec![json!({ "uid": resource.arn, "name": resource.name, "type": kind })];
    if !resource.key.is_empty() {
        resources.push(json!({ "uid": resource.key, "type": "AWS::KMS::Key" }));
    }
    resources
}

fn unmapped(finding: &Finding) -> Map<String, Value> {
    let fields = [
        ("resolved_key", &finding.required_key),
        ("rule", &finding.rule),
        ("changed_by", &finding.changed_by),
        ("reason", &finding.reason),
        ("remedy_document", &finding.remedy_document),
        ("job", &finding.job),
    ];
    let set = fields.into_iter().filter(|(_, value)| !value.is_empty());
    set.map(|(name, value)| (name.to_owned(), Value::from(value.as_str()))).collect()
}

/// What is said about a resource.
pub(super) fn message(status: Status, finding: &Finding) -> String {
    if finding.message.is_empty() { status.title().to_owned() } else { finding.message.clone() }
}

/// An id that stays the same for a resource in every report, so that a later report updates an earlier one.
pub(super) fn stable_id(arn: &str) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, arn.as_bytes())
}

fn milliseconds(time: &Timestamp) -> i64 {
    time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos / 1_000_000))
}
