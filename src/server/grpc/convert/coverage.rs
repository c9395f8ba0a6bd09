//! Converts requests to read coverage, and converts counts, findings and points to messages.

use super::{
    answer::time,
    fields::{Fields, InvalidField},
};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::Target,
        fleet::{ClassCounts, CoverageClass, Failure, Finding, FindingKind},
        tenant::TenantId,
        time::Timestamp,
    },
    ports::coverage::{DailyCoverage, StoredFinding},
    proto,
    service::{
        CoverageGrouping, CoverageQuery, CoverageReport, CoverageScope, FindingPage, FindingQuery,
        FindingView, HistoryReport, LocationReport,
    },
};

/// The number of days of a history if the caller sets none.
const DEFAULT_DAYS: u32 = 30;
/// The largest number of days of a history.
const MAX_DAYS: u32 = 366;
/// The longest id of a rule, in bytes; no rule has a longer one.
const MAX_RULE_ID: usize = 256;

/// A request for the history.
pub(in crate::server) struct HistoryRequest {
    pub(in crate::server) days: u32,
    pub(in crate::server) tenant: Option<TenantId>,
}

pub(in crate::server) fn coverage_query(
    wire: proto::GetCoverageRequest,
) -> Result<CoverageQuery, InvalidField> {
    let mut fields = Fields::default();
    let grouping = match proto::CoverageGrouping::try_from(wire.group_by) {
        Ok(proto::CoverageGrouping::Unspecified) => None,
        Ok(proto::CoverageGrouping::Tenant) => Some(CoverageGrouping::Tenant),
        Ok(proto::CoverageGrouping::Account) => Some(CoverageGrouping::Account),
        Ok(proto::CoverageGrouping::Region) => Some(CoverageGrouping::Region),
        Ok(proto::CoverageGrouping::Key) => Some(CoverageGrouping::Key),
        Ok(proto::CoverageGrouping::Rule) => Some(CoverageGrouping::Rule),
        Err(_unknown) => {
            fields.violation(
                "group_by",
                "is not a CoverageGrouping of this release: use a value from its .proto file",
            );
            None
        }
    };
    let scope = fields.scope(&wire.account_id, &wire.region, wire.rule_id, &wire.tenant_id);
    fields.finish()?;
    Ok(CoverageQuery { grouping, scope })
}

pub(in crate::server) fn finding_query(
    wire: proto::ListCoverageFindingsRequest,
) -> Result<FindingQuery, InvalidField> {
    let mut fields = Fields::default();
    let page_size = fields.page(wire.page_size);
    let kinds = wire.kinds.iter().filter_map(|kind| {
        let kind = FindingKind::from_number(i64::from(*kind));
        if kind.is_none() {
            fields.violation("kinds", "contains a value that is not a FindingKind of this release: use values from its .proto file, except FINDING_KIND_UNSPECIFIED");
        }
        kind
    });
    let kinds = kinds.collect();
    let scope = fields.scope(&wire.account_id, &wire.region, wire.rule_id, &wire.tenant_id);
    fields.finish()?;
    Ok(FindingQuery { kinds, scope, page_size, unverified_page_token: wire.page_token.into() })
}

pub(in crate::server) fn history_query(
    wire: &proto::GetCoverageHistoryRequest,
) -> Result<HistoryRequest, InvalidField> {
    let mut fields = Fields::default();
    let days = match u32::try_from(wire.days) {
        Ok(0) => DEFAULT_DAYS,
        Ok(days) => days.min(MAX_DAYS),
        Err(_negative) => {
            fields.violation("days", format!("is negative: expected 0 to {MAX_DAYS}"));
            DEFAULT_DAYS
        }
    };
    let tenant = fields.tenant(&wire.tenant_id);
    fields.finish()?;
    Ok(HistoryRequest { days, tenant })
}

// === impl Fields ===

impl Fields {
    fn scope(&mut self, account: &str, region: &str, rule: String, tenant: &str) -> CoverageScope {
        if rule.len() > MAX_RULE_ID {
            self.violation("rule_id", "is not the id of a rule: use one that ListEncryptionRules returns");
        }
        CoverageScope {
            location: self.location(account, region),
            rule: (!rule.is_empty()).then(|| rule.into()),
            tenant: self.tenant(tenant),
        }
    }
}

pub(in crate::server) fn coverage_response(report: CoverageReport) -> proto::GetCoverageResponse {
    let group = |group: crate::service::CoverageGroup| proto::CoverageGroup {
        value: group.value.into(),
        counts: Some(counts(&group.counts)),
    };
    proto::GetCoverageResponse {
        groups: report.groups.into_iter().map(group).collect(),
        total: Some(counts(&report.total)),
        locations: locations(report.locations),
    }
}

pub(in crate::server) fn findings_response(page: FindingPage) -> proto::ListCoverageFindingsResponse {
    proto::ListCoverageFindingsResponse {
        findings: page.findings.into_iter().map(finding).collect(),
        next_page_token: page.next_page_token.into(),
        locations: locations(page.locations),
    }
}

pub(in crate::server) fn history_response(history: HistoryReport) -> proto::GetCoverageHistoryResponse {
    let point = |daily: DailyCoverage| proto::CoveragePoint {
        date: date(daily.day),
        counts: Some(counts(&daily.counts)),
        unreadable_locations: number(daily.failed_locations),
    };
    proto::GetCoverageHistoryResponse {
        points: history.days.into_iter().map(point).collect(),
        locations: locations(history.locations),
    }
}

fn counts(counts: &ClassCounts) -> proto::CoverageCounts {
    let of = |class| number(counts.of(class));
    proto::CoverageCounts {
        total: number(counts.total()),
        compliant: of(CoverageClass::Compliant),
        other_key: of(CoverageClass::OtherKey),
        no_key: of(CoverageClass::NoKey),
        key_unhealthy: of(CoverageClass::KeyUnhealthy),
        exempt: of(CoverageClass::Exempt),
        unknown: of(CoverageClass::Unknown),
        no_rule: of(CoverageClass::NoRule),
        conflict: of(CoverageClass::Conflict),
    }
}

fn finding(view: FindingView) -> proto::CoverageFinding {
    use proto::coverage_finding::Resource;
    let FindingView { stored: StoredFinding { id, tenant, since, finding }, message, remedy } = view;
    let Finding { resource, kind, rule, other_rules, wanted, current, failure, changed_by, job, .. } =
        finding;
    let text = |key: Option<KmsKeyArn>| key.map_or_else(String::new, |key| key.as_str().to_owned());
    let (reason, remedy_document) = match failure {
        Some(Failure { reason, remedy_document, .. }) => (reason.into(), remedy_document),
        None => (String::new(), None),
    };
    proto::CoverageFinding {
        id: id.to_string(),
        kind: finding_kind(kind).into(),
        account_id: resource.location.account.to_string(),
        region: resource.location.region.to_string(),
        resource: Some(match resource.target {
            Target::LogGroup(name) => Resource::LogGroupName(name.to_string()),
            Target::QueryResults => Resource::QueryResults(true),
        }),
        rule_id: rule.map_or_else(String::new, Into::into),
        kms_key_arn: text(wanted),
        current_kms_key_arn: text(current),
        start_time: Some(time(since)),
        reason,
        message,
        remedy,
        remedy_document: remedy_document.map_or_else(String::new, Into::into),
        changed_by: changed_by.map_or_else(String::new, Into::into),
        bulk_association_id: job.map_or_else(String::new, |job| job.to_string()),
        tenant_id: tenant.to_string(),
        other_rule_ids: other_rules.into_iter().map(Into::into).collect(),
    }
}

fn finding_kind(kind: FindingKind) -> proto::FindingKind {
    match kind {
        FindingKind::OtherKey => proto::FindingKind::OtherKey,
        FindingKind::NoKey => proto::FindingKind::NoKey,
        FindingKind::KeyUnhealthy => proto::FindingKind::KeyUnhealthy,
        FindingKind::Exempt => proto::FindingKind::Exempt,
        FindingKind::Unknown => proto::FindingKind::Unknown,
        FindingKind::NoRule => proto::FindingKind::NoRule,
        FindingKind::Conflict => proto::FindingKind::Conflict,
        FindingKind::Flapping => proto::FindingKind::Flapping,
    }
}

fn locations(locations: Vec<LocationReport>) -> Vec<proto::CoverageLocation> {
    let location = |report: LocationReport| proto::CoverageLocation {
        account_id: report.location.account.to_string(),
        region: report.location.region.to_string(),
        known_as_of: report.known_as_of.map(time),
        error: report.failure.map(|failure| proto::BulkError {
            reason: failure.reason.into(),
            message: failure.message.into(),
            remedy_document: failure.remedy_document.map_or_else(String::new, Into::into),
        }),
    };
    locations.into_iter().map(location).collect()
}

/// The day in UTC, such as `2026-01-31`.
fn date(day: Timestamp) -> String {
    day.to_string().chars().take_while(|c| *c != 'T').collect()
}

fn number(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
