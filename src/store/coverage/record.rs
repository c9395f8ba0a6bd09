//! Stores what evaluations found, and deletes what no longer exists.

use std::collections::HashSet;

use super::{diff, read, rows, sql::Sql};
use crate::{
    domain::{
        fleet::{FindingKind, LocationCoverage},
        tenant::TenantId,
        time::Timestamp,
    },
    ports::{
        Unavailable,
        coverage::{CoverageFilter, FindingChanges, ResourceFindings, StoredFinding, TenantLocation},
    },
    store::{
        columns::{Columns as _, corrupt_row, to_i64},
        database::Param,
        row_values,
        transaction::{Statement, Transactions},
    },
};

/// How many rows one statement writes.
const ROWS_PER_STATEMENT: usize = 1000;
/// How often a recording is started again because another one of the same location was stored meanwhile.
const MAX_ATTEMPTS: usize = 5;

/// Other evaluations of the same location were stored all the time.
#[derive(Debug, thiserror::Error)]
#[error("the coverage of a location is recorded by several evaluations at once")]
struct Contended;

/// A location in the parameters of statements.
#[derive(Clone, Copy)]
struct At<'f> {
    tenant: &'f str,
    account: &'f str,
    region: &'f str,
}

pub(super) async fn record<D: Transactions>(
    database: &D,
    found: &LocationCoverage,
) -> Result<FindingChanges, Unavailable> {
    for _ in 0..MAX_ATTEMPTS {
        if let Some(changes) = try_record(database, found).await? {
            return Ok(changes);
        }
    }
    Err(corrupt_row::<D::Row>(Contended))
}

/// Records the coverage of a location. `None`, and nothing is stored, if another recording came between.
async fn try_record<D: Transactions>(
    database: &D,
    found: &LocationCoverage,
) -> Result<Option<FindingChanges>, Unavailable> {
    let sql = Sql::of(D::DIALECT);
    let LocationCoverage { tenant, location, as_of, failure, .. } = found;
    let at =
        At { tenant: tenant.as_str(), account: location.account.as_str(), region: location.region.as_str() };
    let stored = database.rows(sql.version, &at.params()).await?;
    let version = match stored.first() {
        Some(row) if row.required_number(1)? > as_of.as_micros() => {
            return Ok(Some(FindingChanges::default()));
        }
        Some(row) => row.required_number(0)?,
        None => 0,
    };
    let changes = if failure.is_some() {
        FindingChanges::default()
    } else {
        let before = database.rows(sql.findings_of_location, &at.params()).await?;
        diff::changes(before.iter().map(rows::finding).collect::<Result<_, _>>()?, found)
    };

    let failure_text = failure.as_ref().map(serde_json::to_string).transpose();
    let failure_text = failure_text.map_err(corrupt_row::<D::Row>)?;
    let mut statements = vec![put_location(found, at, version, failure_text.as_deref(), sql)];
    let texts = Texts::new(found, &changes).map_err(corrupt_row::<D::Row>)?;
    if failure.is_none() {
        statements.push(Statement::new(sql.clear_counts, at.params()));
        let with_text = |sql, text| Statement::new(sql, at.params_after(text));
        statements.extend(texts.counts.iter().map(|text| with_text(sql.insert_counts, text)));
        statements.extend(texts.deleted.iter().map(|text| with_text(sql.delete_findings, text)));
        statements.extend(texts.stored.iter().map(|text| with_text(sql.put_findings, text)));
    }
    let day = Param::from(rows::day(*as_of));
    let [tenant, account, region] = at.params();
    statements.push(Statement::new(sql.begin_day, [tenant, day]));
    statements.push(Statement::new(sql.put_day, [tenant, day, account, region]));
    Ok(database.transaction(statements).await?.map(|_rows| changes))
}

/// Replaces the findings of one resource.
pub(super) async fn record_resource<D: Transactions>(
    database: &D,
    found: &ResourceFindings,
) -> Result<FindingChanges, Unavailable> {
    let sql = Sql::of(D::DIALECT);
    let ResourceFindings { tenant, resource, as_of, findings } = found;
    let location = &resource.location;
    let at =
        At { tenant: tenant.as_str(), account: location.account.as_str(), region: location.region.as_str() };
    let stored = database.rows(sql.version, &at.params()).await?;
    if let Some(row) = stored.first()
        && row.required_number(1)? > as_of.as_micros()
    {
        return Ok(FindingChanges::default());
    }
    let coverage = LocationCoverage {
        tenant: tenant.clone(),
        location: location.clone(),
        as_of: *as_of,
        failure: None,
        counts: Vec::new(),
        findings: findings.clone(),
    };
    let before = database.rows(sql.findings_of_location, &at.params()).await?;
    let mut before = before.iter().map(rows::finding).collect::<Result<Vec<StoredFinding>, _>>()?;
    before.retain(|stored| stored.finding.resource == *resource);
    let changes = diff::changes(before, &coverage);
    let texts = Texts::new(&coverage, &changes).map_err(corrupt_row::<D::Row>)?;
    let with_text = |sql, text| Statement::new(sql, at.params_after(text));
    let deleted = texts.deleted.iter().map(|text| with_text(sql.delete_findings, text));
    let stored = texts.stored.iter().map(|text| with_text(sql.put_findings, text));
    database.transaction(deleted.chain(stored).collect()).await?;
    Ok(changes)
}

fn put_location<'p>(
    found: &LocationCoverage,
    at: At<'p>,
    version: i64,
    failure: Option<&'p str>,
    sql: &Sql,
) -> Statement<'p> {
    let (mut repairs, mut sums) = (0, [0; 8]);
    if found.failure.is_none() {
        let needing = found.findings.iter().filter(|finding| FindingKind::needs_repair(finding.kind));
        repairs = to_i64(u64::try_from(needing.count()).unwrap_or(u64::MAX));
        sums = rows::class_sums(&found.counts);
    }
    let as_of = found.as_of.as_micros();
    let known_as_of = found.failure.is_none().then_some(as_of);
    let [tenant, account, region] = at.params();
    let [compliant, other_key, no_key, key_unhealthy, exempt, unknown, no_rule, conflict] =
        sums.map(Param::from);
    let params = [
        tenant,
        account,
        region,
        version.into(),
        as_of.into(),
        known_as_of.into(),
        failure.into(),
        repairs.into(),
        compliant,
        other_key,
        no_key,
        key_unhealthy,
        exempt,
        unknown,
        no_rule,
        conflict,
    ];
    Statement::new(sql.put_location, params).required()
}

/// The JSON arrays of a recording, each small enough for one statement.
struct Texts {
    counts: Vec<String>,
    deleted: Vec<String>,
    stored: Vec<String>,
}

// === impl Texts ===

impl Texts {
    fn new(found: &LocationCoverage, changes: &FindingChanges) -> Result<Self, serde_json::Error> {
        let counts = rows::counts(&found.counts);
        let deleted: Vec<&StoredFinding> = changes.resolved.iter().collect();
        let stored: Vec<&StoredFinding> = changes.new.iter().chain(&changes.changed).collect();
        Ok(Self {
            counts: counts.chunks(ROWS_PER_STATEMENT).map(row_values::json).collect::<Result<_, _>>()?,
            deleted: deleted.chunks(ROWS_PER_STATEMENT).map(rows::finding_keys).collect::<Result<_, _>>()?,
            stored: stored.chunks(ROWS_PER_STATEMENT).map(rows::findings).collect::<Result<_, _>>()?,
        })
    }
}

// === impl At ===

impl<'f> At<'f> {
    fn params(self) -> [Param<'f>; 3] {
        [self.tenant.into(), self.account.into(), self.region.into()]
    }

    fn params_after(self, text: &'f str) -> [Param<'f>; 4] {
        let [tenant, account, region] = self.params();
        [text.into(), tenant, account, region]
    }
}

pub(super) async fn delete_rule<D: Transactions>(
    database: &D,
    tenant: &TenantId,
    rule: &str,
) -> Result<FindingChanges, Unavailable> {
    let sql = Sql::of(D::DIALECT);
    let params = [tenant.as_str().into(), rule.into()];
    let statements = vec![
        Statement::new(sql.delete_rule_counts, params),
        Statement::new(sql.delete_rule_findings, params),
    ];
    resolved(database.transaction(statements).await?)
}

pub(super) async fn retain<D: Transactions>(
    database: &D,
    existing: &[TenantLocation],
) -> Result<FindingChanges, Unavailable> {
    let sql = Sql::of(D::DIALECT);
    let stored = read::locations(database, &CoverageFilter::default()).await?;
    let kept: HashSet<&TenantLocation> = existing.iter().collect();
    let gone = stored.iter().map(|location| &location.at).filter(|at| !kept.contains(at));
    let gone = rows::locations(gone).map_err(corrupt_row::<D::Row>)?;
    let tenants: HashSet<&str> = existing.iter().map(|location| location.tenant.as_str()).collect();
    let tenants = row_values::list(tenants).map_err(corrupt_row::<D::Row>)?;
    let statements = vec![
        Statement::new(sql.delete_tenant_days, [(&*tenants).into()]),
        Statement::new(sql.delete_locations, [(&*gone).into()]),
        Statement::new(sql.delete_location_counts, [(&*gone).into()]),
        Statement::new(sql.delete_location_findings, [(&*gone).into()]),
    ];
    resolved(database.transaction(statements).await?)
}

pub(super) async fn delete_history<D: Transactions>(
    database: &D,
    before: Timestamp,
) -> Result<(), Unavailable> {
    let delete = Statement::new(Sql::of(D::DIALECT).delete_days, [rows::day(before).into()]);
    database.transaction(vec![delete]).await.map(drop)
}

/// The findings that the last statement deleted.
fn resolved<R: crate::store::columns::Columns>(
    done: Option<Vec<Vec<R>>>,
) -> Result<FindingChanges, Unavailable> {
    let deleted = done.and_then(|mut done| done.pop()).unwrap_or_default();
    let resolved = deleted.iter().map(rows::finding).collect::<Result<_, _>>()?;
    Ok(FindingChanges { resolved, ..FindingChanges::default() })
}
