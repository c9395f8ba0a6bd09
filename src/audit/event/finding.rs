//! Maps a finding to its OCSF form.

use super::{
    map::{self, Texts},
    names,
    sanitize::sanitize,
};
use crate::domain::audit::{
    Compliance, Event, FindingChange, FindingRecord,
    schema::{
        Text,
        finding::{
            ComplianceFinding, ComplianceObject, FindingFields, FindingInfo, FindingUnmapped, Remediation,
        },
    },
};

/// `class_uid` of Compliance Finding.
const CLASS: u32 = 2003;
/// The longest id of a rule, in characters.
const MAX_SHORT: usize = 512;
/// The longest message or ARN, in characters.
const MAX_LONG: usize = 2048;
/// The longest policy statement, in characters.
const MAX_DOCUMENT: usize = 4096;
/// `compliance.standards`.
const STANDARD: &str = "logkey encryption rules";

/// The finding as an OCSF Compliance Finding.
pub(super) fn class<'e>(
    event: &'e Event,
    finding: &'e FindingRecord,
    texts: &Texts<'e>,
) -> ComplianceFinding<'e> {
    let (activity_id, activity_name) = activity(finding.change);
    let (status_id, status) = status(finding.change);
    let (severity_id, severity) = severity(finding);
    let (compliance_id, compliance) = compliance(finding.compliance);
    let (time, since) = (event.time.as_millis(), finding.since.as_millis());
    let message = bounded(&finding.message, MAX_LONG);
    ComplianceFinding {
        time,
        class_uid: CLASS,
        class_name: "Compliance Finding",
        category_uid: 2,
        category_name: "Findings",
        activity_id,
        activity_name,
        type_uid: CLASS * 100 + u32::from(activity_id),
        severity_id,
        severity,
        status_id,
        status,
        status_code: names::finding_status(finding),
        status_detail: message.clone(),
        message: message.clone(),
        metadata: map::metadata(event, texts.id),
        finding_info: FindingInfo {
            uid: finding.id.to_string(),
            title: finding.title,
            desc: message,
            types: [finding.kind],
            created_time: since,
            first_seen_time: since,
            last_seen_time: time,
            modified_time: time,
        },
        compliance: ComplianceObject {
            standards: [STANDARD],
            control: optional(finding.rule.as_deref(), MAX_SHORT),
            status_id: compliance_id,
            status: compliance,
        },
        remediation: optional(Some(&finding.remedy), MAX_LONG).map(|desc| Remediation { desc }),
        resources: map::resources(event, texts.arn),
        cloud: map::cloud(event),
        api: map::api(event),
        unmapped: FindingUnmapped {
            logkey: FindingFields {
                common: map::logkey_fields(event, texts.closes),
                rule: optional(finding.rule.as_deref(), MAX_SHORT),
                current_key: optional(finding.current_key.as_deref(), MAX_LONG),
                changed_by: optional(finding.changed_by.as_deref(), MAX_LONG),
                remedy_document: optional(finding.remedy_document.as_deref(), MAX_DOCUMENT),
            },
        },
    }
}

fn activity(change: FindingChange) -> (u8, &'static str) {
    match change {
        FindingChange::New => (1, "Create"),
        FindingChange::Changed => (2, "Update"),
        FindingChange::Resolved => (3, "Close"),
    }
}

fn status(change: FindingChange) -> (u8, &'static str) {
    match change {
        FindingChange::New => (1, "New"),
        FindingChange::Changed => (2, "In Progress"),
        FindingChange::Resolved => (4, "Resolved"),
    }
}

fn severity(finding: &FindingRecord) -> (u8, &'static str) {
    match (finding.change, finding.compliance) {
        (FindingChange::Resolved, _) | (_, Compliance::Pass | Compliance::Warning) => (1, "Informational"),
        (FindingChange::New | FindingChange::Changed, Compliance::Unknown | Compliance::Fail) => {
            (3, "Medium")
        }
    }
}

fn compliance(compliance: Compliance) -> (u8, &'static str) {
    match compliance {
        Compliance::Unknown => (0, "Unknown"),
        Compliance::Pass => (1, "Pass"),
        Compliance::Warning => (2, "Warning"),
        Compliance::Fail => (3, "Fail"),
    }
}

fn bounded(text: &str, max: usize) -> Text<'_> {
    sanitize(text, max).into()
}

/// The text, if it is not empty.
fn optional(text: Option<&str>, max: usize) -> Option<Text<'_>> {
    text.filter(|text| !text.is_empty()).map(|text| bounded(text, max))
}
