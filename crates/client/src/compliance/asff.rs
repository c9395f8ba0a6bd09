//! A report in the AWS Security Finding Format, for `BatchImportFindings` of Security Hub:
//! <https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format.html>.

use serde_json::{Map, Value, json};

use super::{
    model::{Basis, ComplianceReport, Finding, Resource, Verdict},
    ocsf::{message, stable_id},
};
use crate::output::time;

/// AWS's limits: the characters of a description, of a title or recommendation, and of a value of `Other`.
const MAX_DESCRIPTION: usize = 1024;
const MAX_RECOMMENDATION: usize = 512;
const MAX_OTHER: usize = 1023;

/// The findings, as one array.
pub(crate) fn asff(report: &ComplianceReport) -> Value {
    report.resources.iter().map(|resource| finding(report, resource)).collect()
}

fn finding(report: &ComplianceReport, resource: &Resource) -> Value {
    let none = Finding::default();
    let finding = resource.finding.as_ref().unwrap_or(&none);
    let now = report.time.to_string();
    let since = time(finding.since.as_ref());
    let (compliance, severity) = match resource.status.verdict() {
        Verdict::Compliant => ("PASSED", "INFORMATIONAL"),
        Verdict::NonCompliant => ("FAILED", "MEDIUM"),
        Verdict::NotRequired => ("NOT_AVAILABLE", "INFORMATIONAL"),
        Verdict::Unknown => ("WARNING", "LOW"),
    };
    let partition = resource.arn.split(':').nth(1).unwrap_or("aws");
    let (account, region) = (&resource.account, &resource.region);
    let check = match report.basis {
        Basis::Rules => "encryption-rules",
        Basis::ExpectedKey(_) => "expected-key",
        Basis::AnyKey => "any-key",
    };
    let mut asff = json!({
        "SchemaVersion": "2018-10-08",
        "Id": format!("logkey/{}", stable_id(&resource.arn)),
        "ProductArn": format!("arn:{partition}:securityhub:{region}:{account}:product/{account}/default"),
        "ProductName": "logkey",
        "GeneratorId": format!("logkey/{check}"),
        "AwsAccountId": account,
        "Region": region,
        "Types": ["Software and Configuration Checks/Industry and Regulatory Standards/Encryption at rest"],
        "CreatedAt": if since.is_empty() { &now } else { &since },
        "UpdatedAt": now,
        "Severity": { "Label": severity },
        "Title": resource.status.title(),
        "Description": first(&message(resource.status, finding), MAX_DESCRIPTION),
        "Compliance": {
            "Status": compliance,
            "StatusReasons": [{ "ReasonCode": resource.status.as_str(), "Description": resource.status.title() }],
        },
        "Resources": [{
            "Type": "Other",
            "Id": resource.arn,
            "Partition": partition,
            "Region": region,
            "Details": { "Other": other(resource, finding) },
        }],
        "RecordState": "ACTIVE",
    });
    if !finding.remedy.is_empty()
        && let Some(asff) = asff.as_object_mut()
    {
        let text = first(&finding.remedy, MAX_RECOMMENDATION);
        asff.insert("Remediation".to_owned(), json!({ "Recommendation": { "Text": text } }));
    }
    asff
}

/// What Security Hub has no field for. It refuses empty values.
fn other(resource: &Resource, finding: &Finding) -> Map<String, Value> {
    let fields = [
        ("LogGroupName", &resource.name),
        ("KmsKeyArn", &resource.key),
        ("RequiredKmsKeyArn", &finding.required_key),
        ("EncryptionRule", &finding.rule),
        ("Reason", &finding.reason),
        ("ChangedBy", &finding.changed_by),
        ("BulkAssociationId", &finding.job),
    ];
    let set = fields.into_iter().filter(|(_, value)| !value.is_empty());
    set.map(|(name, value)| (name.to_owned(), Value::from(first(value, MAX_OTHER)))).collect()
}

fn first(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}
