-- Coverage: what the last evaluation of each location found, and one point for each day.
CREATE TABLE coverage_location (
    tenant        TEXT    NOT NULL,
    account       TEXT    NOT NULL,
    region        TEXT    NOT NULL,
    version       INTEGER NOT NULL,
    attempted     INTEGER NOT NULL,         -- when the last evaluation began, in microseconds since 1970
    known_as_of   INTEGER,                  -- when the last successful evaluation began
    failure       TEXT,                     -- why the last evaluation failed, as JSON
    findings      INTEGER NOT NULL,         -- how many need a repair
    compliant     INTEGER NOT NULL,
    other_key     INTEGER NOT NULL,
    no_key        INTEGER NOT NULL,
    key_unhealthy INTEGER NOT NULL,
    exempt        INTEGER NOT NULL,
    unknown       INTEGER NOT NULL,
    no_rule       INTEGER NOT NULL,
    conflict      INTEGER NOT NULL,
    PRIMARY KEY (tenant, account, region)
) STRICT, WITHOUT ROWID;

-- How many log groups count in the same way.
CREATE TABLE coverage_count (
    tenant  TEXT    NOT NULL,
    account TEXT    NOT NULL,
    region  TEXT    NOT NULL,
    rule    TEXT    NOT NULL,               -- empty: by the rule that decides
    key_arn TEXT    NOT NULL,               -- empty: none
    class   INTEGER NOT NULL,
    number  INTEGER NOT NULL,
    PRIMARY KEY (tenant, account, region, rule, key_arn, class)
) STRICT, WITHOUT ROWID;

-- The resources that do not have the required key.
CREATE TABLE coverage_finding (
    tenant  TEXT    NOT NULL,
    account TEXT    NOT NULL,
    region  TEXT    NOT NULL,
    name    TEXT    NOT NULL,               -- the log group; empty: the query results
    rule    TEXT    NOT NULL,               -- empty: none
    kind    INTEGER NOT NULL,
    id      TEXT    NOT NULL,
    class   INTEGER NOT NULL,
    since   INTEGER NOT NULL,               -- in microseconds since 1970
    wanted  TEXT,
    key_arn TEXT,
    detail  TEXT,                           -- what else is known, as JSON
    PRIMARY KEY (tenant, account, region, name, rule, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX coverage_finding_of_all ON coverage_finding (account, region, name, tenant, rule, kind);

-- The last counts of each location on each day.
CREATE TABLE coverage_day (
    tenant        TEXT    NOT NULL,
    day           INTEGER NOT NULL,         -- days since 1970
    account       TEXT    NOT NULL,
    region        TEXT    NOT NULL,
    failed        INTEGER NOT NULL,         -- 1: the location could not be read
    compliant     INTEGER NOT NULL,
    other_key     INTEGER NOT NULL,
    no_key        INTEGER NOT NULL,
    key_unhealthy INTEGER NOT NULL,
    exempt        INTEGER NOT NULL,
    unknown       INTEGER NOT NULL,
    no_rule       INTEGER NOT NULL,
    conflict      INTEGER NOT NULL,
    PRIMARY KEY (tenant, day, account, region)
) STRICT, WITHOUT ROWID;
CREATE INDEX coverage_day_by_day ON coverage_day (day);
