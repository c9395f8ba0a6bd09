-- Encryption rules: those of callers, and the status of those of the configuration.
CREATE TABLE encryption_rule (
    tenant       TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    origin       INTEGER NOT NULL,          -- 1: a caller, 2: the configuration
    priority     INTEGER NOT NULL,
    definition   TEXT    NOT NULL,          -- selection, key, mode and so on, as JSON
    creator      TEXT    NOT NULL,          -- the principal that the rule acts for, as JSON
    created      INTEGER,                   -- microseconds since 1970, like every time here
    updated      INTEGER,
    state        INTEGER NOT NULL,
    pause_reason TEXT,
    version      INTEGER NOT NULL,
    evaluation   TEXT,                      -- the last evaluation, as JSON
    request      TEXT,                      -- the request id of the call that created the rule
    fingerprint  TEXT,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX encryption_rule_request ON encryption_rule (tenant, request) WHERE request IS NOT NULL;
CREATE INDEX encryption_rule_order ON encryption_rule (priority, id, tenant) WHERE origin = 1;

-- Which tenant is evaluated when.
CREATE TABLE rule_schedule (
    tenant     TEXT    NOT NULL PRIMARY KEY,
    due        INTEGER,                     -- none: the tenant has no rules
    generation INTEGER NOT NULL,            -- how often it was made due
    claim      TEXT,                        -- the evaluation that is running
    until      INTEGER NOT NULL DEFAULT 0   -- when the claim ends, by the clock of the database
) STRICT, WITHOUT ROWID;

CREATE INDEX rule_schedule_due ON rule_schedule (due);

-- The repairs of resources that lost the key of a rule.
CREATE TABLE rule_repair (
    tenant  TEXT    NOT NULL,
    account TEXT    NOT NULL,
    region  TEXT    NOT NULL,
    name    TEXT    NOT NULL,               -- the log group; empty: the query results
    at      INTEGER NOT NULL,
    PRIMARY KEY (tenant, account, region, name, at)
) STRICT, WITHOUT ROWID;

CREATE INDEX rule_repair_at ON rule_repair (at);
