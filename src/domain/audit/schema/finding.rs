//! The stored JSON of a finding: an OCSF 1.8.0 *Compliance Finding* with the cloud profile
//! (<https://schema.ocsf.io/1.8.0/classes/compliance_finding?profiles=cloud>). The fields that readers use have
//! the same names as in an API Activity, so `ApiActivity` and `IndexedEvent` read both.

use serde::Serialize;

use super::{Api, CloudProfile, Detail, LogkeyFields, Metadata, Text};

/// Compliance Finding.
#[derive(Debug, Serialize)]
pub(crate) struct ComplianceFinding<'e> {
    pub(crate) time: i64,
    pub(crate) class_uid: u32,
    pub(crate) class_name: &'static str,
    pub(crate) category_uid: u8,
    pub(crate) category_name: &'static str,
    pub(crate) activity_id: u8,
    pub(crate) activity_name: &'static str,
    pub(crate) type_uid: u32,
    pub(crate) severity_id: u8,
    pub(crate) severity: &'static str,
    pub(crate) status_id: u8,
    pub(crate) status: &'static str,
    pub(crate) status_code: &'static str,
    pub(crate) status_detail: Text<'e>,
    pub(crate) message: Text<'e>,
    pub(crate) metadata: Metadata<'e>,
    pub(crate) finding_info: FindingInfo<'e>,
    pub(crate) compliance: ComplianceObject<'e>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remediation: Option<Remediation<'e>>,
    pub(crate) resources: Vec<Detail<'e>>,
    pub(crate) cloud: CloudProfile<'e>,
    pub(crate) api: Api<'e>,
    pub(crate) unmapped: FindingUnmapped<'e>,
}

#[derive(Debug, Serialize)]
pub(crate) struct FindingInfo<'e> {
    pub(crate) uid: String,
    pub(crate) title: &'static str,
    pub(crate) desc: Text<'e>,
    pub(crate) types: [&'static str; 1],
    pub(crate) created_time: i64,
    pub(crate) first_seen_time: i64,
    pub(crate) last_seen_time: i64,
    pub(crate) modified_time: i64,
}

#[derive(Debug, Serialize)]
pub(crate) struct ComplianceObject<'e> {
    pub(crate) standards: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) control: Option<Text<'e>>,
    pub(crate) status_id: u8,
    pub(crate) status: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Remediation<'e> {
    pub(crate) desc: Text<'e>,
}

#[derive(Debug, Serialize)]
pub(crate) struct FindingUnmapped<'e> {
    pub(crate) logkey: FindingFields<'e>,
}

/// The fields that OCSF does not define.
#[derive(Debug, Serialize)]
pub(crate) struct FindingFields<'e> {
    #[serde(flatten)]
    pub(crate) common: LogkeyFields<'e>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<Text<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current_key: Option<Text<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) changed_by: Option<Text<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy_document: Option<Text<'e>>,
}
