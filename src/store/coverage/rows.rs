//! The rows of coverage: as JSON for the statements, and as the domain's types when they are read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        arn::KmsKeyArn,
        association::Resource,
        fleet::{ClassCounts, CoverageClass, CoverageCount, Failure, Finding, FindingKind, JobId},
        time::Timestamp,
    },
    ports::{
        Unavailable,
        coverage::{DailyCoverage, StoredFinding, TenantLocation},
    },
    store::{
        columns::{Columns, corrupt_row, to_i64},
        row_values::{self, from_json, json, known, parse, target_name},
    },
};

const MICROS_PER_DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// What a finding has beyond the columns that queries use.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Detail {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    other_rules: Vec<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exemption: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed_by: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<String>,
}

/// The number of the day (UTC) of this time, since 1970.
pub(super) fn day(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(MICROS_PER_DAY)
}

/// The text of a rule in a column. No rule is the empty text.
pub(super) fn rule_text(rule: Option<&str>) -> &str {
    rule.unwrap_or_default()
}

/// The rows of counts: rule, key, class and number.
pub(super) fn counts(counts: &[CoverageCount]) -> Vec<(&str, &str, i64, i64)> {
    let mut sums = BTreeMap::<(&str, &str, CoverageClass), u64>::new();
    for CoverageCount { rule, key, class, count } in counts {
        let key = key.as_ref().map(KmsKeyArn::as_str).unwrap_or_default();
        *sums.entry((rule_text(rule.as_deref()), key, *class)).or_default() += count;
    }
    sums.into_iter().map(|((rule, key, class), sum)| (rule, key, class.number(), to_i64(sum))).collect()
}

/// The sum of each class over the counts by the rule that decides.
pub(super) fn class_sums(counts: &[CoverageCount]) -> [i64; 8] {
    let mut sums = ClassCounts::default();
    for count in counts.iter().filter(|count| count.rule.is_none()) {
        sums.add(count.class, count.count);
    }
    sums.0.map(to_i64)
}

/// The rows of findings, without their location.
pub(super) fn findings(findings: &[&StoredFinding]) -> Result<String, serde_json::Error> {
    let rows = findings.iter().map(|StoredFinding { id, tenant: _, since, finding }| {
        let Finding { resource, class, kind, rule, other_rules, wanted, current, .. } = finding;
        let detail = Detail {
            other_rules: other_rules.clone(),
            failure: finding.failure.clone(),
            exemption: finding.exemption.clone(),
            changed_by: finding.changed_by.clone(),
            job: finding.job.map(|job| job.to_string()),
        };
        let detail = (detail != Detail::default()).then(|| json(&detail)).transpose()?;
        let row = (
            target_name(&resource.target),
            rule_text(rule.as_deref()),
            kind.number(),
            id.to_string(),
            class.number(),
            since.as_micros(),
            wanted.as_ref().map(KmsKeyArn::as_str),
            current.as_ref().map(KmsKeyArn::as_str),
            detail,
        );
        Ok(row)
    });
    json(&rows.collect::<Result<Vec<_>, serde_json::Error>>()?)
}

/// The keys of findings in their location.
pub(super) fn finding_keys(findings: &[&StoredFinding]) -> Result<String, serde_json::Error> {
    let keys =
        findings.iter().map(|StoredFinding { finding: Finding { resource, rule, kind, .. }, .. }| {
            (target_name(&resource.target), rule_text(rule.as_deref()), kind.number())
        });
    json(&keys.collect::<Vec<_>>())
}

/// The rows of locations.
pub(super) fn locations<'l>(
    locations: impl Iterator<Item = &'l TenantLocation>,
) -> Result<String, serde_json::Error> {
    let row = |TenantLocation { tenant, location }: &'l TenantLocation| {
        [tenant.as_str(), location.account.as_str(), location.region.as_str()]
    };
    json(&locations.map(row).collect::<Vec<_>>())
}

/// The tenant and location in three columns from this one on.
pub(super) fn tenant_location<R: Columns>(row: &R, at: usize) -> Result<TenantLocation, Unavailable> {
    Ok(TenantLocation {
        tenant: parse::<R, _>(row.required_text(at)?)?,
        location: row_values::location(row, at + 1)?,
    })
}

/// The rule in a column.
pub(super) fn rule<R: Columns>(row: &R, at: usize) -> Result<Option<Box<str>>, Unavailable> {
    Ok(row.text(at)?.filter(|rule| !rule.is_empty()).map(Into::into))
}

/// The finding of a row.
pub(super) fn finding<R: Columns>(row: &R) -> Result<StoredFinding, Unavailable> {
    let TenantLocation { tenant, location } = tenant_location(row, 0)?;
    let target = row_values::target::<R>(row.required_text(3)?)?;
    let detail = row.text(11)?.map(from_json::<R, Detail>).transpose()?.unwrap_or_default();
    let Detail { other_rules, failure, exemption, changed_by, job } = detail;
    let finding = Finding {
        resource: Resource { location, target },
        rule: rule(row, 4)?,
        kind: known(row, 5, FindingKind::from_number)?,
        class: known(row, 7, CoverageClass::from_number)?,
        other_rules,
        wanted: row.text(9)?.map(parse::<R, _>).transpose()?,
        current: row.text(10)?.map(parse::<R, _>).transpose()?,
        failure,
        exemption,
        changed_by,
        job: job.as_deref().map(parse::<R, JobId>).transpose()?,
    };
    let since = Timestamp::from_micros(row.required_number(8)?);
    Ok(StoredFinding { id: parse::<R, _>(row.required_text(6)?)?, tenant, since, finding })
}

/// The counts by class in eight columns from this one on.
pub(super) fn class_counts<R: Columns>(row: &R, at: usize) -> Result<ClassCounts, Unavailable> {
    let mut counts = ClassCounts::default();
    for (count, column) in counts.0.iter_mut().zip(at..) {
        *count = row.unsigned(column)?;
    }
    Ok(counts)
}

/// The day of a row.
pub(super) fn daily<R: Columns>(row: &R) -> Result<DailyCoverage, Unavailable> {
    let day = row.required_number(0)?.checked_mul(MICROS_PER_DAY);
    Ok(DailyCoverage {
        day: Timestamp::from_micros(day.ok_or_else(|| corrupt_row::<R>(DayOutOfRange))?),
        failed_locations: row.unsigned(1)?,
        counts: class_counts(row, 2)?,
    })
}

/// The day is not one that the store writes.
#[derive(Debug, thiserror::Error)]
#[error("a day is out of range")]
struct DayOutOfRange;
