-- Coverage: what the last evaluation of each location found, and one point for each day.
CREATE TABLE coverage_location (
    tenant        text COLLATE "C" NOT NULL,
    account       text COLLATE "C" NOT NULL,
    region        text COLLATE "C" NOT NULL,
    version       bigint NOT NULL,
    attempted     bigint NOT NULL, -- when the last evaluation began, in microseconds since 1970
    known_as_of   bigint, -- when the last successful evaluation began
    failure       text, -- why the last evaluation failed, as JSON
    findings      bigint NOT NULL, -- how many need a repair
    compliant     bigint NOT NULL,
    other_key     bigint NOT NULL,
    no_key        bigint NOT NULL,
    key_unhealthy bigint NOT NULL,
    exempt        bigint NOT NULL,
    unknown       bigint NOT NULL,
    no_rule       bigint NOT NULL,
    conflict      bigint NOT NULL,
    PRIMARY KEY (tenant, account, region)
);

-- How many log groups count in the same way.
CREATE TABLE coverage_count (
    tenant  text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    region  text COLLATE "C" NOT NULL,
    rule    text COLLATE "C" NOT NULL, -- empty: by the rule that decides
    key_arn text COLLATE "C" NOT NULL, -- empty: none
    class   bigint NOT NULL,
    number  bigint NOT NULL,
    PRIMARY KEY (tenant, account, region, rule, key_arn, class)
);

-- The resources that do not have the required key.
CREATE TABLE coverage_finding (
    tenant  text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    region  text COLLATE "C" NOT NULL,
    name    text COLLATE "C" NOT NULL, -- the log group; empty: the query results
    rule    text COLLATE "C" NOT NULL, -- empty: none
    kind    bigint NOT NULL,
    id      text NOT NULL,
    class   bigint NOT NULL,
    since   bigint NOT NULL, -- in microseconds since 1970
    wanted  text,
    key_arn text,
    detail  text, -- what else is known, as JSON
    PRIMARY KEY (tenant, account, region, name, rule, kind)
);
CREATE INDEX coverage_finding_of_all ON coverage_finding (account, region, name, tenant, rule, kind);

-- The last counts of each location on each day.
CREATE TABLE coverage_day (
    tenant        text COLLATE "C" NOT NULL,
    day           bigint NOT NULL, -- days since 1970
    account       text COLLATE "C" NOT NULL,
    region        text COLLATE "C" NOT NULL,
    failed        bigint NOT NULL, -- 1: the location could not be read
    compliant     bigint NOT NULL,
    other_key     bigint NOT NULL,
    no_key        bigint NOT NULL,
    key_unhealthy bigint NOT NULL,
    exempt        bigint NOT NULL,
    unknown       bigint NOT NULL,
    no_rule       bigint NOT NULL,
    conflict      bigint NOT NULL,
    PRIMARY KEY (tenant, day, account, region)
);
CREATE INDEX coverage_day_by_day ON coverage_day (day);
