-- Bulk jobs. What a job does is JSON; the rest of the columns are what queries use.
CREATE TABLE bulk_job (
    job             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              text    COLLATE "C" NOT NULL UNIQUE,
    tenant          text    COLLATE "C" NOT NULL,
    created         bigint NOT NULL,       -- microseconds since 1970, like every time here
    creator         text    NOT NULL,       -- the principal that the job acts for, as JSON
    spec            text    NOT NULL,       -- selection, change, safety and reason, as JSON
    state           bigint NOT NULL,
    pause_reason    bigint,
    version         bigint NOT NULL,
    start           bigint NOT NULL,       -- 1: runs as soon as it is planned
    started         bigint,
    ended           bigint,
    failures_before bigint NOT NULL,       -- failures that no longer count
    canary_pending  bigint NOT NULL,       -- 1: still has to pause after its canary
    max_failures    bigint NOT NULL,
    canary          bigint NOT NULL,
    window_start    bigint,
    window_end      bigint,
    revert_of       text,
    rule            text,
    failure         text,                   -- why it could not be planned or run, as JSON
    request         text,                   -- the request id of the call that created the job
    fingerprint     text
);
CREATE INDEX bulk_job_by_tenant ON bulk_job (tenant, id);
CREATE INDEX bulk_job_open ON bulk_job (job) WHERE ended IS NULL;
CREATE INDEX bulk_job_ended ON bulk_job (ended) WHERE ended IS NOT NULL;
CREATE UNIQUE INDEX bulk_job_by_request ON bulk_job (tenant, request) WHERE request IS NOT NULL;

-- The accounts and Regions of jobs. The worker that has claimed one is the only one that changes its items.
CREATE TABLE bulk_location (
    job        bigint NOT NULL,
    location   bigint NOT NULL,            -- the number in the job, from 0
    account    text    COLLATE "C" NOT NULL,
    region     text    COLLATE "C" NOT NULL,
    phase      bigint NOT NULL,            -- 0: has to be planned
    worker     text,
    claim      text,                        -- the last transaction that claimed items
    key_arn    text,                        -- the key of items that have none of their own
    failure    text,                        -- why it cannot be entered, as JSON
    waiting    bigint NOT NULL DEFAULT 0,
    running    bigint NOT NULL DEFAULT 0,
    succeeded  bigint NOT NULL DEFAULT 0,
    unchanged  bigint NOT NULL DEFAULT 0,
    failed     bigint NOT NULL DEFAULT 0,
    unknown    bigint NOT NULL DEFAULT 0,
    blocked    bigint NOT NULL DEFAULT 0,
    skipped    bigint NOT NULL DEFAULT 0,
    overriding bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (job, location)
);
CREATE INDEX bulk_location_open ON bulk_location (job, location) WHERE phase = 0 OR waiting > 0 OR running > 0;
CREATE INDEX bulk_location_claimed ON bulk_location (worker) WHERE worker IS NOT NULL;

CREATE TABLE bulk_item (
    job      bigint NOT NULL,
    location bigint NOT NULL,
    seq      bigint NOT NULL,              -- the number in the location, from 0
    name     text    COLLATE "C" NOT NULL,              -- the log group; empty: the query results
    state    bigint NOT NULL,
    key_arn  text,                          -- none: the key of the location
    previous text,                          -- the key when the job was planned
    reason   text,                          -- why it did not succeed
    failure  text,                          -- the same with its message, as JSON
    event    text,                          -- the audit event with the outcome
    attempts bigint NOT NULL DEFAULT 0,
    ended    bigint,
    PRIMARY KEY (job, location, seq)
);
CREATE INDEX bulk_item_failed ON bulk_item (job, location, seq) WHERE reason IS NOT NULL;

-- The processes that work on jobs. A claim ends with its worker.
CREATE TABLE bulk_worker (
    id    text PRIMARY KEY,
    until bigint NOT NULL
);
