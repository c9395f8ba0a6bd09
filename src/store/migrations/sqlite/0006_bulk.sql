-- Bulk jobs. What a job does is JSON; the rest of the columns are what queries use.
CREATE TABLE bulk_job (
    job             INTEGER PRIMARY KEY,
    id              TEXT    NOT NULL UNIQUE,
    tenant          TEXT    NOT NULL,
    created         INTEGER NOT NULL,       -- microseconds since 1970, like every time here
    creator         TEXT    NOT NULL,       -- the principal that the job acts for, as JSON
    spec            TEXT    NOT NULL,       -- selection, change, safety and reason, as JSON
    state           INTEGER NOT NULL,
    pause_reason    INTEGER,
    version         INTEGER NOT NULL,
    start           INTEGER NOT NULL,       -- 1: runs as soon as it is planned
    started         INTEGER,
    ended           INTEGER,
    failures_before INTEGER NOT NULL,       -- failures that no longer count
    canary_pending  INTEGER NOT NULL,       -- 1: still has to pause after its canary
    max_failures    INTEGER NOT NULL,
    canary          INTEGER NOT NULL,
    window_start    INTEGER,
    window_end      INTEGER,
    revert_of       TEXT,
    rule            TEXT,
    failure         TEXT,                   -- why it could not be planned or run, as JSON
    request         TEXT,                   -- the request id of the call that created the job
    fingerprint     TEXT
) STRICT;
CREATE INDEX bulk_job_by_tenant ON bulk_job (tenant, id);
CREATE INDEX bulk_job_open ON bulk_job (job) WHERE ended IS NULL;
CREATE INDEX bulk_job_ended ON bulk_job (ended) WHERE ended IS NOT NULL;
CREATE UNIQUE INDEX bulk_job_by_request ON bulk_job (tenant, request) WHERE request IS NOT NULL;

-- The accounts and Regions of jobs. The worker that has claimed one is the only one that changes its items.
CREATE TABLE bulk_location (
    job        INTEGER NOT NULL,
    location   INTEGER NOT NULL,            -- the number in the job, from 0
    account    TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    phase      INTEGER NOT NULL,            -- 0: has to be planned
    worker     TEXT,
    claim      TEXT,                        -- the last transaction that claimed items
    key_arn    TEXT,                        -- the key of items that have none of their own
    failure    TEXT,                        -- why it cannot be entered, as JSON
    waiting    INTEGER NOT NULL DEFAULT 0,
    running    INTEGER NOT NULL DEFAULT 0,
    succeeded  INTEGER NOT NULL DEFAULT 0,
    unchanged  INTEGER NOT NULL DEFAULT 0,
    failed     INTEGER NOT NULL DEFAULT 0,
    unknown    INTEGER NOT NULL DEFAULT 0,
    blocked    INTEGER NOT NULL DEFAULT 0,
    skipped    INTEGER NOT NULL DEFAULT 0,
    overriding INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (job, location)
) STRICT, WITHOUT ROWID;
CREATE INDEX bulk_location_open ON bulk_location (job, location) WHERE phase = 0 OR waiting > 0 OR running > 0;
CREATE INDEX bulk_location_claimed ON bulk_location (worker) WHERE worker IS NOT NULL;

CREATE TABLE bulk_item (
    job      INTEGER NOT NULL,
    location INTEGER NOT NULL,
    seq      INTEGER NOT NULL,              -- the number in the location, from 0
    name     TEXT    NOT NULL,              -- the log group; empty: the query results
    state    INTEGER NOT NULL,
    key_arn  TEXT,                          -- none: the key of the location
    previous TEXT,                          -- the key when the job was planned
    reason   TEXT,                          -- why it did not succeed
    failure  TEXT,                          -- the same with its message, as JSON
    event    TEXT,                          -- the audit event with the outcome
    attempts INTEGER NOT NULL DEFAULT 0,
    ended    INTEGER,
    PRIMARY KEY (job, location, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX bulk_item_failed ON bulk_item (job, location, seq) WHERE reason IS NOT NULL;

-- The processes that work on jobs. A claim ends with its worker.
CREATE TABLE bulk_worker (
    id    TEXT PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
