//! Reads coverage.

use super::{rows, sql::Sql};
use crate::{
    domain::{
        arn::KmsKeyArn,
        association::Location,
        aws::{AccountId, Region},
        fleet::CoverageClass,
        tenant::TenantId,
        time::Timestamp,
    },
    ports::{
        Unavailable,
        coverage::{
            CountedRules, CoverageFilter, CoverageTotals, DailyCoverage, EvaluatedLocation, FindingFilter,
            FindingKey, FindingWindow, LocationCount, StoredFinding,
        },
    },
    store::{
        columns::{Columns as _, corrupt_row},
        database::Param,
        row_values::{self, from_json, known, parse, target_name, time},
        transaction::Transactions,
    },
};

pub(super) async fn locations<D: Transactions>(
    database: &D,
    filter: &CoverageFilter,
) -> Result<Vec<EvaluatedLocation>, Unavailable> {
    let found = database.rows(Sql::of(D::DIALECT).locations, &params(filter)).await?;
    let location = |row: &D::Row| {
        Ok(EvaluatedLocation {
            at: rows::tenant_location(row, 0)?,
            known_as_of: time(row, 3)?,
            failure: row.text(4)?.map(from_json::<D::Row, _>).transpose()?,
        })
    };
    found.iter().map(location).collect()
}

pub(super) async fn counts<D: Transactions>(
    database: &D,
    filter: &CoverageFilter,
    rules: CountedRules<'_>,
    by_key: bool,
) -> Result<Vec<LocationCount>, Unavailable> {
    let (each, rule) = match rules {
        CountedRules::Deciding => (0, ""),
        CountedRules::Each => (1, ""),
        CountedRules::Only(rule) => (0, rule),
    };
    let [tenant, account, region] = params(filter);
    let params = [tenant, account, region, each.into(), rule.into(), i64::from(by_key).into()];
    let found = database.rows(Sql::of(D::DIALECT).counts, &params).await?;
    let count = |row: &D::Row| {
        let key = row.text(4)?.filter(|key| !key.is_empty());
        Ok(LocationCount {
            at: rows::tenant_location(row, 0)?,
            rule: rows::rule(row, 3)?,
            key: key.map(parse::<D::Row, KmsKeyArn>).transpose()?,
            class: known(row, 5, CoverageClass::from_number)?,
            count: row.unsigned(6)?,
        })
    };
    found.iter().map(count).collect()
}

pub(super) async fn findings<D: Transactions>(
    database: &D,
    filter: &FindingFilter,
    window: &FindingWindow,
) -> Result<Vec<StoredFinding>, Unavailable> {
    let sql = Sql::of(D::DIALECT);
    let FindingFilter { locations, rule, kinds } = filter;
    let kinds = row_values::list(kinds.iter().map(|kind| kind.number()));
    let kinds = kinds.map_err(corrupt_row::<D::Row>)?;
    let [tenant, account, region] = params(locations);
    let [after_account, after_region, after_name, after_tenant, after_rule, after_kind] =
        position(window.after.as_ref());
    let params = [
        (&*kinds).into(),
        tenant,
        account,
        region,
        rows::rule_text(rule.as_deref()).into(),
        after_account,
        after_region,
        after_name,
        after_tenant,
        after_rule,
        after_kind,
        i64::from(window.limit).into(),
        i64::from(window.skip).into(),
    ];
    let statement = if locations.tenant.is_some() { sql.findings_of_tenant } else { sql.findings_of_all };
    database.rows(statement, &params).await?.iter().map(rows::finding).collect()
}

pub(super) async fn history<D: Transactions>(
    database: &D,
    tenant: Option<&TenantId>,
    locations: Option<&[Location]>,
    from: Timestamp,
) -> Result<Vec<DailyCoverage>, Unavailable> {
    let row = |location: &Location| [location.account.to_string(), location.region.to_string()];
    let rows: Vec<_> = locations.unwrap_or_default().iter().map(row).collect();
    let json = row_values::json(&rows).map_err(corrupt_row::<D::Row>)?;
    let params = [
        (&*json).into(),
        tenant.map_or("", TenantId::as_str).into(),
        rows::day(from).into(),
        i64::from(locations.is_some()).into(),
    ];
    database.rows(Sql::of(D::DIALECT).history, &params).await?.iter().map(rows::daily).collect()
}

pub(super) async fn totals<D: Transactions>(database: &D) -> Result<CoverageTotals, Unavailable> {
    let found = database.rows(Sql::of(D::DIALECT).totals, &[]).await?;
    let Some(row) = found.first() else { return Ok(CoverageTotals::default()) };
    Ok(CoverageTotals { findings: row.unsigned(0)?, resources: rows::class_counts(row, 1)? })
}

/// The tenant, account and Region of a filter. The empty text is every value.
fn params(filter: &CoverageFilter) -> [Param<'_>; 3] {
    [
        filter.tenant.as_ref().map_or("", TenantId::as_str).into(),
        filter.account.as_ref().map_or("", AccountId::as_str).into(),
        filter.region.as_ref().map_or("", Region::as_str).into(),
    ]
}

/// The parameters of a position. Every finding comes after the position of `None`.
fn position(after: Option<&FindingKey>) -> [Param<'_>; 6] {
    let Some(FindingKey { resource, tenant, rule, kind }) = after else {
        return ["".into(), "".into(), "".into(), "".into(), "".into(), 0.into()];
    };
    [
        resource.location.account.as_str().into(),
        resource.location.region.as_str().into(),
        target_name(&resource.target).into(),
        tenant.as_str().into(),
        rows::rule_text(rule.as_deref()).into(),
        kind.number().into(),
    ]
}
