//! The statements on bulk jobs. The databases differ in how they split a JSON array into rows, in locks and in
//! the clock.

use crate::store::transaction::Dialect;

/// The statements of one database.
pub(super) struct Sql {
    pub(super) lock_tenant: &'static str,
    pub(super) lock_jobs: &'static str,
    pub(super) forget_request: &'static str,
    pub(super) insert_job: &'static str,
    pub(super) insert_locations: &'static str,
    pub(super) insert_items: &'static str,
    pub(super) request: &'static str,
    pub(super) job_by_id: &'static str,
    pub(super) list_jobs: &'static str,
    pub(super) counts: &'static str,
    pub(super) locations: &'static str,
    pub(super) list_items: &'static str,
    pub(super) queued_items: &'static str,
    pub(super) update_job: &'static str,
    pub(super) retry_items: &'static str,
    pub(super) retry_locations: &'static str,
    pub(super) delete_items: &'static str,
    pub(super) delete_locations: &'static str,
    pub(super) delete_jobs: &'static str,
    pub(super) confirm: &'static str,
    pub(super) forget_workers: &'static str,
    pub(super) claim: &'static str,
    pub(super) release: &'static str,
    pub(super) hold: &'static str,
    pub(super) clear_items: &'static str,
    pub(super) clear_location: &'static str,
    pub(super) add_counts: &'static str,
    pub(super) total: &'static str,
    pub(super) finish_plan: &'static str,
    pub(super) held: &'static str,
    pub(super) end_counts: &'static str,
    pub(super) end_items: &'static str,
    pub(super) pause_after_failures: &'static str,
    pub(super) pause_after_canary: &'static str,
    pub(super) claim_location: &'static str,
    pub(super) claim_items: &'static str,
    pub(super) open_jobs: &'static str,
}

/// The columns of a job, as `rows::job` reads them.
macro_rules! job_columns {
    () => {
        "id, creator, spec, state, pause_reason, version, start, started, ended, failures_before,
       canary_pending, created, revert_of, rule, failure"
    };
}

/// The columns of an item with those of its location, as `rows::item` reads them.
macro_rules! item_columns {
    () => {
        "j.id, i.location, i.seq, l.account, l.region, i.name, i.state, coalesce(i.key_arn, l.key_arn), i.previous,
       i.failure, i.event, i.attempts, i.ended
FROM bulk_job AS j JOIN bulk_location AS l ON l.job = j.job
JOIN bulk_item AS i ON i.job = l.job AND i.location = l.location"
    };
}

/// The sums of the counts of locations, as `rows::counts` reads them.
macro_rules! count_sums {
    () => {
        "CAST(sum(waiting) AS bigint), CAST(sum(running) AS bigint), CAST(sum(succeeded) AS bigint),
       CAST(sum(unchanged) AS bigint), CAST(sum(failed) AS bigint), CAST(sum(unknown) AS bigint),
       CAST(sum(blocked) AS bigint), CAST(sum(skipped) AS bigint), CAST(sum(overriding) AS bigint)"
    };
}

/// `$each` is a table `r` with a row for each element of the JSON array `$1`, and the element as its `value`.
/// `$now` is the clock of the database, `$update` and `$skip` lock rows.
macro_rules! statements {
    (each: $each:literal, now: $now:literal, lock: $lock:literal, forget: $forget:literal, update: $update:literal, hold: $hold:literal, skip: $skip:literal) => {
        Sql {
            lock_tenant: $lock,
            lock_jobs: concat!(
                "SELECT job FROM bulk_job WHERE id IN (SELECT r.value ->> 0 FROM ", $each, ") ORDER BY job", $update
            ),
            forget_request:
                "UPDATE bulk_job SET request = NULL WHERE tenant = $1 AND request = $2 AND created < $3",
            insert_job: "\
INSERT INTO bulk_job (id, tenant, created, creator, spec, state, version, start, failures_before, canary_pending,
    max_failures, canary, window_start, window_end, revert_of, rule, request, fingerprint)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $12, $13, $14, $15, $16, $17
WHERE NOT EXISTS (SELECT 1 FROM bulk_job WHERE tenant = $2 AND request = $16)
AND (SELECT count(*) FROM bulk_job WHERE tenant = $2 AND ended IS NULL AND rule IS NULL) < $18",
            insert_locations: concat!("\
INSERT INTO bulk_location (job, location, account, region, phase, key_arn)
SELECT j.job, CAST(r.value ->> 0 AS bigint), r.value ->> 1, r.value ->> 2, CAST(r.value ->> 3 AS bigint),
    r.value ->> 4
FROM ", $each, ", bulk_job AS j WHERE j.id = $2"),
            insert_items: concat!("\
INSERT INTO bulk_item (job, location, seq, name, state, key_arn, previous, reason, failure)
SELECT j.job, $3, $4 + CAST(r.value ->> 0 AS bigint), r.value ->> 1, CAST(r.value ->> 2 AS bigint), r.value ->> 3,
    r.value ->> 4, r.value ->> 5, r.value ->> 6
FROM ", $each, ", bulk_job AS j WHERE j.id = $2"),
            request: "SELECT id, fingerprint FROM bulk_job WHERE tenant = $1 AND request = $2",
            job_by_id: concat!("SELECT ", job_columns!(), " FROM bulk_job WHERE id = $1"),
            list_jobs: concat!("\
SELECT ", job_columns!(), " FROM bulk_job
WHERE ($2 = '' OR tenant = $2) AND ($3 = '' OR id < $3)
AND ($1 = '[]' OR state IN (SELECT CAST(r.value ->> 0 AS bigint) FROM ", $each, "))
ORDER BY id DESC LIMIT $4"),
            counts: concat!("\
SELECT j.id, ", count_sums!(), " FROM bulk_job AS j JOIN bulk_location AS l ON l.job = j.job
WHERE j.id IN (SELECT r.value ->> 0 FROM ", $each, ") GROUP BY j.id"),
            locations: "\
SELECT location, account, region, phase, key_arn, failure, waiting, running, succeeded, unchanged, failed, unknown,
    blocked, skipped, overriding
FROM bulk_location WHERE job = (SELECT job FROM bulk_job WHERE id = $1) ORDER BY location",
            list_items: concat!("\
SELECT ", item_columns!(), "
WHERE j.id = $2 AND (i.location, i.seq) > ($3, $4)
AND ($5 = 0 OR i.reason IS NOT NULL)
AND (NOT EXISTS (SELECT 1 FROM ", $each, " WHERE r.value ->> 0 = 'state')
    OR i.state IN (SELECT CAST(r.value ->> 1 AS bigint) FROM ", $each, " WHERE r.value ->> 0 = 'state'))
AND (NOT EXISTS (SELECT 1 FROM ", $each, " WHERE r.value ->> 0 = 'reason')
    OR i.reason IN (SELECT r.value ->> 1 FROM ", $each, " WHERE r.value ->> 0 = 'reason'))
AND (NOT EXISTS (SELECT 1 FROM ", $each, " WHERE r.value ->> 0 = 'location')
    OR i.location IN (SELECT CAST(r.value ->> 1 AS bigint) FROM ", $each, " WHERE r.value ->> 0 = 'location'))
ORDER BY i.location, i.seq LIMIT $6"),
            queued_items: concat!("\
SELECT ", item_columns!(), "
WHERE j.id = $1 AND l.location = $2 AND i.seq >= $3 AND i.state = $4 ORDER BY i.seq LIMIT $5"),
            update_job: "\
UPDATE bulk_job SET state = $2, pause_reason = $3, version = $4, start = $5, started = $6, ended = $7,
    failures_before = $8, canary_pending = $9, failure = $10
WHERE id = $1 AND version = $4 - 1 RETURNING job",
            retry_items: "\
UPDATE bulk_item SET state = 2, reason = NULL, failure = NULL, ended = NULL
WHERE job = (SELECT job FROM bulk_job WHERE id = $1) AND reason IS NOT NULL AND state IN (6, 7)",
            retry_locations: "\
UPDATE bulk_location SET waiting = waiting + failed + unknown, failed = 0, unknown = 0,
    phase = CASE WHEN failure IS NULL THEN phase ELSE 0 END, failure = NULL
WHERE job = (SELECT job FROM bulk_job WHERE id = $1)",
            delete_items: "\
DELETE FROM bulk_item WHERE (job, location, seq) IN (
    SELECT i.job, i.location, i.seq FROM bulk_job AS j JOIN bulk_item AS i ON i.job = j.job
    WHERE j.ended < $1 LIMIT $2) RETURNING seq",
            delete_locations: "\
DELETE FROM bulk_location WHERE job IN (
    SELECT j.job FROM bulk_job AS j
    WHERE j.ended < $1 AND NOT EXISTS (SELECT 1 FROM bulk_item AS i WHERE i.job = j.job))",
            delete_jobs: "\
DELETE FROM bulk_job WHERE ended < $1 AND NOT EXISTS (SELECT 1 FROM bulk_item AS i WHERE i.job = bulk_job.job)
    AND NOT EXISTS (SELECT 1 FROM bulk_location AS l WHERE l.job = bulk_job.job)",
            confirm: concat!("\
INSERT INTO bulk_worker (id, until) VALUES ($1, ", $now, " + $2)
ON CONFLICT (id) DO UPDATE SET until = excluded.until"),
            forget_workers: $forget,
            claim: concat!("\
UPDATE bulk_location SET worker = $1 WHERE (job, location) IN (
    SELECT l.job, l.location FROM (
        SELECT o.job, o.location, coalesce(busy.claims, 0)
            + row_number() OVER (PARTITION BY j.tenant ORDER BY o.job, o.location) AS turn
        FROM bulk_location AS o JOIN bulk_job AS j ON j.job = o.job
        LEFT JOIN (
            SELECT c.tenant, count(*) AS claims FROM bulk_location AS b JOIN bulk_job AS c ON c.job = b.job
            WHERE b.worker IS NOT NULL GROUP BY c.tenant) AS busy ON busy.tenant = j.tenant
        WHERE (o.phase = 0 OR o.waiting > 0 OR o.running > 0)
        AND (o.phase = 0 AND j.state IN (1, 3) OR o.waiting > 0 AND o.phase = 1 AND j.state = 3 OR o.running > 0)
        AND NOT EXISTS (SELECT 1 FROM bulk_worker AS w WHERE w.id = o.worker AND w.until >= ", $now, ")) AS free
    JOIN bulk_location AS l ON l.job = free.job AND l.location = free.location
    ORDER BY free.turn, l.job, l.location LIMIT $2", $skip, ")
AND NOT EXISTS (SELECT 1 FROM bulk_worker AS w WHERE w.id = bulk_location.worker AND w.until >= ", $now, ")
RETURNING (SELECT j.id FROM bulk_job AS j WHERE j.job = bulk_location.job), location, account, region, phase, key_arn,
    failure, waiting, running, succeeded, unchanged, failed, unknown, blocked, skipped, overriding"),
            release: "\
UPDATE bulk_location SET worker = NULL
WHERE job = (SELECT job FROM bulk_job WHERE id = $1) AND location = $2 AND worker = $3",
            hold: "\
UPDATE bulk_location SET claim = NULL
WHERE job = (SELECT job FROM bulk_job WHERE id = $1) AND location = $2 AND worker = $3 RETURNING location",
            clear_items: "\
DELETE FROM bulk_item WHERE job = (SELECT job FROM bulk_job WHERE id = $1) AND location = $2",
            clear_location: "\
UPDATE bulk_location SET waiting = 0, running = 0, succeeded = 0, unchanged = 0, failed = 0, unknown = 0, blocked = 0,
    skipped = 0, overriding = 0
WHERE job = (SELECT job FROM bulk_job WHERE id = $1) AND location = $2",
            add_counts: "\
UPDATE bulk_location SET waiting = waiting + $3, unchanged = unchanged + $4, blocked = blocked + $5,
    overriding = overriding + $6
WHERE job = (SELECT job FROM bulk_job WHERE id = $1) AND location = $2",
            total: "\
SELECT CAST(sum(waiting + running + succeeded + unchanged + failed + unknown + blocked + skipped) AS bigint)
FROM bulk_location WHERE job = (SELECT job FROM bulk_job WHERE id = $1)",
            finish_plan: "\
UPDATE bulk_location SET phase = 1, key_arn = $4, failure = $5
WHERE job = (SELECT job FROM bulk_job WHERE id = $1) AND location = $2 AND worker = $3 RETURNING location",
            held: concat!("\
SELECT j.id, l.location
FROM ", $each, " JOIN bulk_job AS j ON j.id = r.value ->> 0
JOIN bulk_location AS l ON l.job = j.job AND l.location = CAST(r.value ->> 1 AS bigint) AND l.worker = $2", $hold),
            end_counts: concat!("\
UPDATE bulk_location SET running = running - d.n_ended, waiting = waiting + d.n_waiting, succeeded = succeeded + d.n_succeeded,
    unchanged = unchanged + d.n_unchanged, failed = failed + d.n_failed, unknown = unknown + d.n_unknown,
    skipped = skipped + d.n_skipped
FROM (
    SELECT i.job, i.location, count(*) AS n_ended,
        CAST(sum(CASE WHEN e.state = 2 THEN 1 ELSE 0 END) AS bigint) AS n_waiting,
        CAST(sum(CASE WHEN e.state = 4 THEN 1 ELSE 0 END) AS bigint) AS n_succeeded,
        CAST(sum(CASE WHEN e.state = 5 THEN 1 ELSE 0 END) AS bigint) AS n_unchanged,
        CAST(sum(CASE WHEN e.state = 6 THEN 1 ELSE 0 END) AS bigint) AS n_failed,
        CAST(sum(CASE WHEN e.state = 7 THEN 1 ELSE 0 END) AS bigint) AS n_unknown,
        CAST(sum(CASE WHEN e.state = 8 THEN 1 ELSE 0 END) AS bigint) AS n_skipped
    FROM (
        SELECT r.value ->> 0 AS id, CAST(r.value ->> 1 AS bigint) AS location, CAST(r.value ->> 2 AS bigint) AS seq,
            CAST(r.value ->> 3 AS bigint) AS state
        FROM ", $each, ") AS e
    JOIN bulk_job AS j ON j.id = e.id
    JOIN bulk_item AS i ON i.job = j.job AND i.location = e.location AND i.seq = e.seq AND i.state = 3
    GROUP BY i.job, i.location) AS d
WHERE bulk_location.job = d.job AND bulk_location.location = d.location AND bulk_location.worker = $2"),
            end_items: concat!("\
UPDATE bulk_item SET state = CAST(r.value ->> 3 AS bigint), reason = r.value ->> 4, failure = r.value ->> 5,
    event = coalesce(r.value ->> 6, event), ended = CAST(r.value ->> 7 AS bigint)
FROM ", $each, ", bulk_job AS j, bulk_location AS l
WHERE j.id = r.value ->> 0 AND l.job = j.job AND l.location = CAST(r.value ->> 1 AS bigint) AND l.worker = $2
AND bulk_item.job = j.job AND bulk_item.location = CAST(r.value ->> 1 AS bigint)
AND bulk_item.seq = CAST(r.value ->> 2 AS bigint) AND bulk_item.state = 3"),
            pause_after_failures: concat!("\
UPDATE bulk_job SET state = 4, pause_reason = 1, version = version + 1
WHERE id IN (SELECT r.value ->> 0 FROM ", $each, ") AND state = 3
AND (SELECT sum(failed + unknown) FROM bulk_location AS l WHERE l.job = bulk_job.job) - failures_before > max_failures"),
            pause_after_canary: concat!("\
UPDATE bulk_job SET state = 4, pause_reason = 2, version = version + 1
WHERE id IN (SELECT r.value ->> 0 FROM ", $each, ") AND state = 3 AND canary_pending = 1
AND (SELECT sum(succeeded) FROM bulk_location AS l WHERE l.job = bulk_job.job) >= canary"),
            claim_location: "\
UPDATE bulk_location SET claim = $4, waiting = waiting - $5, running = running + $5
WHERE job = (
    SELECT j.job FROM bulk_job AS j WHERE j.id = $1 AND j.state = 3 AND (j.canary_pending = 0
        OR (SELECT sum(succeeded + running) FROM bulk_location AS o WHERE o.job = j.job) + $5 <= j.canary))
AND location = $2 AND worker = $3 AND claim IS DISTINCT FROM $4
RETURNING location",
            claim_items: concat!("\
UPDATE bulk_item SET state = 3, attempts = attempts + 1
FROM ", $each, ", bulk_job AS j, bulk_location AS l
WHERE j.id = r.value ->> 0 AND l.job = j.job AND l.location = CAST(r.value ->> 1 AS bigint) AND l.claim = $2
AND bulk_item.job = j.job AND bulk_item.location = CAST(r.value ->> 1 AS bigint)
AND bulk_item.seq = CAST(r.value ->> 2 AS bigint) AND bulk_item.state = 2"),
            open_jobs: concat!("\
SELECT j.id, j.tenant, j.state, j.pause_reason, j.version, j.start, j.started, j.ended, j.failures_before,
    j.canary_pending, j.max_failures, j.canary, j.window_start, j.window_end,
    CAST(sum(CASE WHEN phase = 0 THEN 1 ELSE 0 END) AS bigint), count(*),
    CAST(sum(CASE WHEN l.failure IS NULL THEN 0 ELSE 1 END) AS bigint), ", count_sums!(), "
FROM bulk_job AS j JOIN bulk_location AS l ON l.job = j.job WHERE j.ended IS NULL GROUP BY j.job"),
        }
    };
}

const SQLITE: Sql = statements!(
    each: "json_each($1) AS r",
    now: "0",
    lock: "SELECT $1",
    // No other process has the file, so every other worker has ended.
    forget: "DELETE FROM bulk_worker WHERE id <> $1",
    update: "",
    hold: "",
    skip: ""
);
const POSTGRES: Sql = statements!(
    each: "jsonb_array_elements($1::jsonb) AS r (value)",
    now: "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
    lock: "SELECT pg_advisory_xact_lock(hashtextextended($1, 'bulk_job'::regclass::oid::bigint))",
    forget: "DELETE FROM bulk_worker WHERE id <> $1 AND until < extract(epoch FROM now() - interval '1 hour') * 1000000",
    update: " FOR UPDATE",
    hold: " FOR UPDATE OF l",
    skip: " FOR UPDATE OF l SKIP LOCKED"
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
