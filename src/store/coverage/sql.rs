//! The statements on coverage. The databases differ in how they split a JSON array into rows.

use crate::store::transaction::Dialect;

/// The statements of one database.
pub(super) struct Sql {
    pub(super) version: &'static str,
    pub(super) put_location: &'static str,
    pub(super) clear_counts: &'static str,
    pub(super) insert_counts: &'static str,
    pub(super) findings_of_location: &'static str,
    pub(super) delete_findings: &'static str,
    pub(super) put_findings: &'static str,
    pub(super) begin_day: &'static str,
    pub(super) put_day: &'static str,
    pub(super) delete_rule_counts: &'static str,
    pub(super) delete_rule_findings: &'static str,
    pub(super) delete_locations: &'static str,
    pub(super) delete_location_counts: &'static str,
    pub(super) delete_location_findings: &'static str,
    pub(super) delete_tenant_days: &'static str,
    pub(super) delete_days: &'static str,
    pub(super) locations: &'static str,
    pub(super) counts: &'static str,
    pub(super) findings_of_tenant: &'static str,
    pub(super) findings_of_all: &'static str,
    pub(super) history: &'static str,
    pub(super) totals: &'static str,
}

/// The columns of a finding, as `rows::finding` reads them.
macro_rules! finding_columns {
    () => {
        "tenant, account, region, name, rule, kind, id, class, since, wanted, key_arn, detail"
    };
}

/// The columns of the counts by class, in the order of `CoverageClass::ALL`.
macro_rules! classes {
    () => {
        "compliant, other_key, no_key, key_unhealthy, exempt, unknown, no_rule, conflict"
    };
}

/// The sums of these columns.
macro_rules! class_sums {
    () => {
        "CAST(coalesce(sum(compliant), 0) AS bigint), CAST(coalesce(sum(other_key), 0) AS bigint),
    CAST(coalesce(sum(no_key), 0) AS bigint), CAST(coalesce(sum(key_unhealthy), 0) AS bigint),
    CAST(coalesce(sum(exempt), 0) AS bigint), CAST(coalesce(sum(unknown), 0) AS bigint),
    CAST(coalesce(sum(no_rule), 0) AS bigint), CAST(coalesce(sum(conflict), 0) AS bigint)"
    };
}

/// `$each` is a table `r` with a row for each element of the JSON array `$1`, and the element as its `value`.
macro_rules! statements {
    (each: $each:literal) => {
        Sql {
            version: "\
SELECT version, attempted FROM coverage_location WHERE tenant = $1 AND account = $2 AND region = $3",
            // The counts of the last successful evaluation stay if this one failed.
            put_location: concat!("\
INSERT INTO coverage_location (tenant, account, region, version, attempted, known_as_of, failure, findings, ", classes!(), ")
VALUES ($1, $2, $3, 1, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
ON CONFLICT (tenant, account, region) DO UPDATE SET version = coverage_location.version + 1,
    attempted = excluded.attempted, failure = excluded.failure,
    known_as_of = CASE WHEN excluded.failure IS NULL THEN excluded.known_as_of ELSE coverage_location.known_as_of END,
    findings = CASE WHEN excluded.failure IS NULL THEN excluded.findings ELSE coverage_location.findings END,
    compliant = CASE WHEN excluded.failure IS NULL THEN excluded.compliant ELSE coverage_location.compliant END,
    other_key = CASE WHEN excluded.failure IS NULL THEN excluded.other_key ELSE coverage_location.other_key END,
    no_key = CASE WHEN excluded.failure IS NULL THEN excluded.no_key ELSE coverage_location.no_key END,
    key_unhealthy = CASE WHEN excluded.failure IS NULL THEN excluded.key_unhealthy ELSE coverage_location.key_unhealthy END,
    exempt = CASE WHEN excluded.failure IS NULL THEN excluded.exempt ELSE coverage_location.exempt END,
    unknown = CASE WHEN excluded.failure IS NULL THEN excluded.unknown ELSE coverage_location.unknown END,
    no_rule = CASE WHEN excluded.failure IS NULL THEN excluded.no_rule ELSE coverage_location.no_rule END,
    conflict = CASE WHEN excluded.failure IS NULL THEN excluded.conflict ELSE coverage_location.conflict END
WHERE coverage_location.version = $4 RETURNING version"),
            clear_counts: "DELETE FROM coverage_count WHERE tenant = $1 AND account = $2 AND region = $3",
            insert_counts: concat!("\
INSERT INTO coverage_count (tenant, account, region, rule, key_arn, class, number)
SELECT $2, $3, $4, r.value ->> 0, r.value ->> 1, CAST(r.value ->> 2 AS bigint), CAST(r.value ->> 3 AS bigint)
FROM ", $each),
            findings_of_location: concat!("\
SELECT ", finding_columns!(), " FROM coverage_finding WHERE tenant = $1 AND account = $2 AND region = $3"),
            delete_findings: concat!("\
DELETE FROM coverage_finding WHERE tenant = $2 AND account = $3 AND region = $4
AND (name, rule, kind) IN (SELECT r.value ->> 0, r.value ->> 1, CAST(r.value ->> 2 AS bigint) FROM ", $each, ")"),
            put_findings: concat!("\
INSERT INTO coverage_finding (", finding_columns!(), ")
SELECT $2, $3, $4, r.value ->> 0, r.value ->> 1, CAST(r.value ->> 2 AS bigint), r.value ->> 3,
    CAST(r.value ->> 4 AS bigint), CAST(r.value ->> 5 AS bigint), r.value ->> 6, r.value ->> 7, r.value ->> 8
FROM ", $each, " WHERE true
ON CONFLICT (tenant, account, region, name, rule, kind) DO UPDATE SET class = excluded.class,
    wanted = excluded.wanted, key_arn = excluded.key_arn, detail = excluded.detail"),
            // The first evaluation of a day begins it with what is known of the other locations.
            begin_day: concat!("\
INSERT INTO coverage_day (tenant, day, account, region, failed, ", classes!(), ")
SELECT tenant, $2, account, region, CASE WHEN failure IS NULL THEN 0 ELSE 1 END, ", classes!(), "
FROM coverage_location WHERE tenant = $1
AND NOT EXISTS (SELECT 1 FROM coverage_day AS d WHERE d.tenant = $1 AND d.day = $2)
ORDER BY account, region
ON CONFLICT (tenant, day, account, region) DO NOTHING"),
            put_day: concat!("\
INSERT INTO coverage_day (tenant, day, account, region, failed, ", classes!(), ")
SELECT tenant, $2, account, region, CASE WHEN failure IS NULL THEN 0 ELSE 1 END, ", classes!(), "
FROM coverage_location WHERE tenant = $1 AND account = $3 AND region = $4
ON CONFLICT (tenant, day, account, region) DO UPDATE SET failed = excluded.failed, compliant = excluded.compliant,
    other_key = excluded.other_key, no_key = excluded.no_key, key_unhealthy = excluded.key_unhealthy,
    exempt = excluded.exempt, unknown = excluded.unknown, no_rule = excluded.no_rule, conflict = excluded.conflict"),
            delete_rule_counts: "DELETE FROM coverage_count WHERE tenant = $1 AND rule = $2",
            delete_rule_findings: concat!("\
DELETE FROM coverage_finding WHERE tenant = $1 AND rule = $2 RETURNING ", finding_columns!()),
            delete_locations: concat!("\
DELETE FROM coverage_location WHERE (tenant, account, region) IN (
    SELECT r.value ->> 0, r.value ->> 1, r.value ->> 2 FROM ", $each, ")"),
            delete_location_counts: concat!("\
DELETE FROM coverage_count WHERE (tenant, account, region) IN (
    SELECT r.value ->> 0, r.value ->> 1, r.value ->> 2 FROM ", $each, ")"),
            delete_location_findings: concat!("\
DELETE FROM coverage_finding WHERE (tenant, account, region) IN (
    SELECT r.value ->> 0, r.value ->> 1, r.value ->> 2 FROM ", $each, ") RETURNING ", finding_columns!()),
            delete_tenant_days: concat!(
                "DELETE FROM coverage_day WHERE tenant NOT IN (SELECT r.value ->> 0 FROM ", $each, ")"
            ),
            delete_days: "DELETE FROM coverage_day WHERE day < $1",
            locations: "\
SELECT tenant, account, region, known_as_of, failure FROM coverage_location
WHERE ($1 = '' OR tenant = $1) AND ($2 = '' OR account = $2) AND ($3 = '' OR region = $3)
ORDER BY account, region, tenant",
            counts: "\
SELECT tenant, account, region, rule, CASE WHEN $6 = 1 THEN key_arn ELSE '' END, class, CAST(sum(number) AS bigint)
FROM coverage_count
WHERE ($1 = '' OR tenant = $1) AND ($2 = '' OR account = $2) AND ($3 = '' OR region = $3)
AND ($4 = 1 AND rule <> '' OR $4 = 0 AND rule = $5)
GROUP BY tenant, account, region, rule, CASE WHEN $6 = 1 THEN key_arn ELSE '' END, class",
            findings_of_tenant: concat!("\
SELECT ", finding_columns!(), " FROM coverage_finding
WHERE tenant = $2 AND ($3 = '' OR account = $3) AND ($4 = '' OR region = $4) AND ($5 = '' OR rule = $5)
AND ($1 = '[]' OR kind IN (SELECT CAST(r.value ->> 0 AS bigint) FROM ", $each, "))
AND (account, region, name, tenant, rule, kind) > ($6, $7, $8, $9, $10, $11)
ORDER BY account, region, name, rule, kind LIMIT $12 OFFSET $13"),
            findings_of_all: concat!("\
SELECT ", finding_columns!(), " FROM coverage_finding
WHERE $2 = '' AND ($3 = '' OR account = $3) AND ($4 = '' OR region = $4) AND ($5 = '' OR rule = $5)
AND ($1 = '[]' OR kind IN (SELECT CAST(r.value ->> 0 AS bigint) FROM ", $each, "))
AND (account, region, name, tenant, rule, kind) > ($6, $7, $8, $9, $10, $11)
ORDER BY account, region, name, tenant, rule, kind LIMIT $12 OFFSET $13"),
            history: concat!("\
SELECT day, CAST(sum(failed) AS bigint), ", class_sums!(), "
FROM coverage_day WHERE ($2 = '' OR tenant = $2) AND day >= $3
AND ($4 = 0 OR (account, region) IN (SELECT r.value ->> 0, r.value ->> 1 FROM ", $each, "))
GROUP BY day ORDER BY day"),
            totals: concat!("\
SELECT CAST(coalesce(sum(findings), 0) AS bigint), ", class_sums!(), " FROM coverage_location"),
        }
    };
}

const SQLITE: Sql = statements!(each: "json_each($1) AS r");
const POSTGRES: Sql = statements!(each: "jsonb_array_elements($1::jsonb) AS r (value)");

// === impl Sql ===

impl Sql {
    pub(super) fn of(dialect: Dialect) -> &'static Self {
        match dialect {
            Dialect::Sqlite => &SQLITE,
            Dialect::Postgres => &POSTGRES,
        }
    }
}
