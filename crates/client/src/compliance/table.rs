//! A report for people, for spreadsheets, and as one JSON document.

use serde_json::{Value, json};

use super::model::{Basis, ComplianceReport, Finding, Resource, Status, Verdict};
use crate::output::{Column, Note, Report, Table, remedy, time, to_json};

/// The report as a table, with its document.
pub(crate) fn report(report: &ComplianceReport) -> Report {
    let columns = [
        Column::new("status"),
        Column::new("account"),
        Column::new("region"),
        Column::new("resource"),
        Column::new("kms_key"),
        Column::wide("required_kms_key"),
        Column::wide("rule"),
        Column::wide("rule_name"),
        Column::wide("since"),
        Column::wide("reason"),
        Column::wide("message"),
        Column::wide("remedy"),
        Column::wide("changed_by"),
        Column::wide("resource_arn"),
    ];
    let mut table = Table::new(&columns, "The tenant has no log groups here.").named_by("resource_arn");
    for resource in &report.resources {
        let none = Finding::default();
        let finding = resource.finding.as_ref().unwrap_or(&none);
        table.push([
            resource.status.as_str().to_owned(),
            resource.account.clone(),
            resource.region.clone(),
            resource.name.clone(),
            resource.key.clone(),
            finding.required_key.clone(),
            finding.rule.clone(),
            finding.rule_name.clone(),
            time(finding.since.as_ref()),
            finding.reason.clone(),
            finding.message.clone(),
            finding.remedy.clone(),
            finding.changed_by.clone(),
            resource.arn.clone(),
        ]);
    }
    let counts = Status::ALL.map(|status| (report.count(status), status.as_str()));
    let counts = counts.iter().filter(|it| it.0 > 0).map(|(count, name)| format!("{count} {name}"));
    let percent = report.percent().map(|percent| format!("{percent} %")).unwrap_or_default();
    Report::new(document(report), table)
        .detail("TENANT", &report.tenant)
        .detail("BASIS", basis(&report.basis))
        .detail("COMPLIANT", percent)
        .detail("RESOURCES", counts.collect::<Vec<_>>().join(", "))
        .notes(incomplete(report))
}

/// The report as one document. docs/cli.md documents its fields.
pub(crate) fn document(report: &ComplianceReport) -> Value {
    let counts: serde_json::Map<_, _> =
        Status::ALL.iter().map(|it| (it.as_str().to_owned(), report.count(*it).into())).collect();
    json!({
        "tenantId": report.tenant,
        "createTime": report.time.to_string(),
        "basis": match &report.basis {
            Basis::Rules => "RULES",
            Basis::ExpectedKey(_) => "EXPECTED_KEY",
            Basis::AnyKey => "ANY_KEY",
        },
        "expectedKmsKeyId": match &report.basis {
            Basis::ExpectedKey(key) => key.as_str(),
            Basis::Rules | Basis::AnyKey => "",
        },
        "complete": report.unread().next().is_none(),
        "compliantPercent": report.percent(),
        "total": report.resources.len(),
        "compliant": report.with_verdict(Verdict::Compliant),
        "nonCompliant": report.with_verdict(Verdict::NonCompliant),
        "counts": counts,
        "locations": report.locations.iter().map(to_json).collect::<Vec<_>>(),
        "history": report.history.iter().map(to_json).collect::<Vec<_>>(),
        "resources": report.resources.iter().map(resource).collect::<Vec<_>>(),
    })
}

fn resource(resource: &Resource) -> Value {
    let none = Finding::default();
    let finding = resource.finding.as_ref().unwrap_or(&none);
    json!({
        "accountId": resource.account,
        "region": resource.region,
        "resource": resource.name,
        "resourceArn": resource.arn,
        "status": resource.status.as_str(),
        "kmsKeyArn": resource.key,
        "requiredKmsKeyArn": finding.required_key,
        "ruleId": finding.rule,
        "ruleName": finding.rule_name,
        "findingId": finding.id,
        "startTime": time(finding.since.as_ref()),
        "reason": finding.reason,
        "message": finding.message,
        "remedy": finding.remedy,
        "remedyDocument": finding.remedy_document,
        "changedBy": finding.changed_by,
        "bulkAssociationId": finding.job,
    })
}

/// What the resources are compared with, for people.
pub(super) fn basis(basis: &Basis) -> String {
    match basis {
        Basis::Rules => "the tenant's encryption rules".to_owned(),
        Basis::ExpectedKey(key) => format!("the key {key}"),
        Basis::AnyKey => "any KMS key: the tenant has no encryption rules".to_owned(),
    }
}

/// One sentence for each location that could not be read.
fn incomplete(report: &ComplianceReport) -> impl Iterator<Item = Note> {
    report.unread().flat_map(|location| {
        let error = location.error.clone().unwrap_or_default();
        let (account, region) = (&location.account_id, &location.region);
        let sentence = format!("INCOMPLETE: {account} {region}: {}: {}", error.reason, error.message);
        remedy(&sentence, &error.remedy_document)
    })
}
