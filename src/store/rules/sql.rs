//! The statements on encryption rules. The databases differ in how they split a JSON array into rows, in locks
//! and in the clock.

use crate::store::transaction::Dialect;

/// The statements of one database.
pub(super) struct Sql {
    pub(super) lock_tenant: &'static str,
    pub(super) forget_request: &'static str,
    pub(super) insert: &'static str,
    pub(super) request: &'static str,
    pub(super) find: &'static str,
    pub(super) list: &'static str,
    pub(super) configured: &'static str,
    pub(super) update: &'static str,
    pub(super) delete: &'static str,
    pub(super) put_configured: &'static str,
    pub(super) put_evaluation: &'static str,
    pub(super) put_state: &'static str,
    pub(super) retain_configured: &'static str,
    pub(super) make_due: &'static str,
    pub(super) due: &'static str,
    pub(super) next: &'static str,
    pub(super) claim: &'static str,
    pub(super) confirm: &'static str,
    pub(super) release: &'static str,
    pub(super) count_repairs: &'static str,
    pub(super) add_repairs: &'static str,
    pub(super) forget_repairs: &'static str,
}

/// The columns of a rule, as `stored::rule` reads them.
macro_rules! columns {
    () => {
        "id, origin, definition, creator, created, updated, state, pause_reason, version, evaluation"
    };
}

/// `$each` is a table `r` with a row for each element of the JSON array `$1`, and the element as its `value`.
/// `$now` is the clock of the database, in microseconds since 1970.
macro_rules! statements {
    (each: $each:literal, now: $now:literal, lock: $lock:literal) => {
        Sql {
            lock_tenant: $lock,
            forget_request: "\
UPDATE encryption_rule SET request = NULL WHERE tenant = $1 AND request = $2 AND created < $3",
            insert: "\
INSERT INTO encryption_rule (tenant, id, origin, priority, definition, creator, created, updated, state, version,
    request, fingerprint)
SELECT $1, $2, 1, $3, $4, $5, $6, $6, $7, $8, $9, $10
WHERE NOT EXISTS (SELECT 1 FROM encryption_rule WHERE tenant = $1 AND request = $9)
AND (SELECT count(*) FROM encryption_rule WHERE tenant = $1 AND origin = 1) < $11
RETURNING id",
            request: "SELECT id, fingerprint FROM encryption_rule WHERE tenant = $1 AND request = $2",
            find: concat!(
                "SELECT ", columns!(), " FROM encryption_rule WHERE id = $1 AND ($2 = '' OR tenant = $2) AND origin = 1"
            ),
            list: concat!("\
SELECT ", columns!(), " FROM encryption_rule
WHERE origin = 1 AND ($2 = '' OR tenant = $2) AND (priority, id, tenant) > ($3, $4, $5)
AND ($1 = '[]' OR state IN (SELECT CAST(r.value ->> 0 AS bigint) FROM ", $each, "))
ORDER BY priority, id, tenant LIMIT $6"),
            configured: concat!(
                "SELECT ", columns!(), " FROM encryption_rule WHERE tenant = $1 AND origin = 2 ORDER BY id"
            ),
            update: "\
UPDATE encryption_rule SET priority = $3, definition = $4, creator = $5, updated = $6, state = $7,
    pause_reason = $8, version = $9
WHERE tenant = $1 AND id = $2 AND version = $9 - 1 AND origin = 1 RETURNING id",
            delete: "\
DELETE FROM encryption_rule WHERE tenant = $1 AND id = $2 AND version = $3 AND origin = 1 RETURNING id",
            put_configured: "\
INSERT INTO encryption_rule (tenant, id, origin, priority, definition, creator, state, version)
VALUES ($1, $2, 2, $3, $4, $5, 1, $6)
ON CONFLICT (tenant, id) DO UPDATE SET priority = excluded.priority, definition = excluded.definition,
    creator = excluded.creator, state = 1, pause_reason = NULL, version = excluded.version
WHERE encryption_rule.definition <> excluded.definition",
            put_evaluation: "UPDATE encryption_rule SET evaluation = $3 WHERE tenant = $1 AND id = $2",
            put_state: "\
UPDATE encryption_rule SET state = $3, pause_reason = $4, version = version + 1
WHERE tenant = $1 AND id = $2 AND version = $5",
            retain_configured: concat!("\
DELETE FROM encryption_rule
WHERE tenant = $2 AND origin = 2 AND id NOT IN (SELECT r.value ->> 0 FROM ", $each, ")"),
            make_due: "\
INSERT INTO rule_schedule (tenant, due, generation) VALUES ($1, $2, 1)
ON CONFLICT (tenant) DO UPDATE SET generation = rule_schedule.generation + 1,
    due = CASE WHEN rule_schedule.due < excluded.due THEN rule_schedule.due ELSE excluded.due END",
            due: concat!("\
SELECT tenant FROM rule_schedule WHERE due <= $1 AND (claim IS NULL OR until <= ", $now, ") ORDER BY due LIMIT $2"),
            next: "SELECT due FROM rule_schedule WHERE tenant = $1",
            claim: concat!("\
INSERT INTO rule_schedule (tenant, due, generation, claim, until) VALUES ($1, 0, 1, $2, ", $now, " + $3)
ON CONFLICT (tenant) DO UPDATE SET claim = excluded.claim, until = excluded.until
WHERE rule_schedule.claim IS NULL OR rule_schedule.until <= ", $now, "
RETURNING generation"),
            confirm: concat!("\
UPDATE rule_schedule SET until = ", $now, " + $3 WHERE tenant = $1 AND claim = $2 RETURNING tenant"),
            release: "\
UPDATE rule_schedule SET claim = NULL, until = 0, due = CASE WHEN generation = $3 THEN $4 ELSE due END
WHERE tenant = $1 AND claim = $2",
            count_repairs: concat!("\
SELECT CAST(r.value ->> 0 AS bigint), count(*) FROM ", $each, "
JOIN rule_repair AS p ON p.tenant = $2 AND p.account = r.value ->> 1 AND p.region = r.value ->> 2
    AND p.name = r.value ->> 3 AND p.at >= $3
GROUP BY 1"),
            add_repairs: concat!("\
INSERT INTO rule_repair (tenant, account, region, name, at)
SELECT $2, r.value ->> 1, r.value ->> 2, r.value ->> 3, $3 FROM ", $each, " WHERE true
ON CONFLICT DO NOTHING"),
            forget_repairs: "DELETE FROM rule_repair WHERE at < $1",
        }
    };
}

const SQLITE: Sql = statements!(
    each: "json_each($1) AS r",
    now: "CAST(unixepoch('subsec') * 1000000 AS INTEGER)",
    lock: "SELECT $1"
);
const POSTGRES: Sql = statements!(
    each: "jsonb_array_elements($1::jsonb) AS r (value)",
    now: "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
    lock: "SELECT pg_advisory_xact_lock(hashtextextended($1, 'encryption_rule'::regclass::oid::bigint))"
);

// === impl Sql ===

impl Sql {
    pub(super) fn of(dialect: Dialect) -> &'static Self {
        match dialect {
            Dialect::Sqlite => &SQLITE,
            Dialect::Postgres => &POSTGRES,
        }
    }
}
