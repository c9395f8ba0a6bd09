-- Encryption rules: those of callers, and the status of those of the configuration.
CREATE TABLE encryption_rule (
    tenant       text    COLLATE "C" NOT NULL,
    id           text    COLLATE "C" NOT NULL,
    origin       bigint NOT NULL,          -- 1: a caller, 2: the configuration
    priority     bigint NOT NULL,
    definition   text    NOT NULL,          -- selection, key, mode and so on, as JSON
    creator      text    NOT NULL,          -- the principal that the rule acts for, as JSON
    created      bigint,                   -- microseconds since 1970, like every time here
    updated      bigint,
    state        bigint NOT NULL,
    pause_reason text,
    version      bigint NOT NULL,
    evaluation   text,                      -- the last evaluation, as JSON
    request      text,                      -- the request id of the call that created the rule
    fingerprint  text,
    PRIMARY KEY (tenant, id)
);

CREATE UNIQUE INDEX encryption_rule_request ON encryption_rule (tenant, request) WHERE request IS NOT NULL;
CREATE INDEX encryption_rule_order ON encryption_rule (priority, id, tenant) WHERE origin = 1;

-- Which tenant is evaluated when.
CREATE TABLE rule_schedule (
    tenant     text    COLLATE "C" NOT NULL PRIMARY KEY,
    due        bigint,                     -- none: the tenant has no rules
    generation bigint NOT NULL,            -- how often it was made due
    claim      text,                        -- the evaluation that is running
    until      bigint NOT NULL DEFAULT 0   -- when the claim ends, by the clock of the database
);

CREATE INDEX rule_schedule_due ON rule_schedule (due);

-- The repairs of resources that lost the key of a rule.
CREATE TABLE rule_repair (
    tenant  text    COLLATE "C" NOT NULL,
    account text    COLLATE "C" NOT NULL,
    region  text    COLLATE "C" NOT NULL,
    name    text    COLLATE "C" NOT NULL,               -- the log group; empty: the query results
    at      bigint NOT NULL,
    PRIMARY KEY (tenant, account, region, name, at)
);

CREATE INDEX rule_repair_at ON rule_repair (at);
