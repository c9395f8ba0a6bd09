-- What is known of each log group, and of the stored query results (an empty log group): its key, as it
-- was last set through this service or last read from AWS.
CREATE TABLE known (
    account      TEXT    NOT NULL,
    region       TEXT    NOT NULL,
    log_group    TEXT    NOT NULL,
    key_arn      TEXT,                      -- none: the AWS-owned default
    previous_key TEXT,
    accepted     INTEGER,                   -- when AWS took the key from this service; none: set elsewhere
    since        INTEGER NOT NULL,          -- when the key was first known to be set
    seen         INTEGER NOT NULL,          -- when it was last known to be set
    created      INTEGER,                   -- when AWS made the log group
    retention    INTEGER,                   -- seconds; 0 for ever; none: not known
    gone         INTEGER,                   -- when the log group was found to be deleted
    PRIMARY KEY (account, region, log_group)
) STRICT, WITHOUT ROWID;

INSERT INTO known (account, region, log_group, key_arn, previous_key, accepted, since, seen)
SELECT account, region, log_group, key_arn, previous_key, accepted, accepted, accepted FROM association;

-- The keys that something had before: what was written under them stays under them.
CREATE TABLE former (
    account   TEXT    NOT NULL,
    region    TEXT    NOT NULL,
    log_group TEXT    NOT NULL,
    key_arn   TEXT    NOT NULL,
    since     INTEGER NOT NULL,             -- when it was first known to be set
    seen      INTEGER NOT NULL,             -- when it was last known to be set
    until     INTEGER NOT NULL,             -- when another key, or none, was first known in its place
    PRIMARY KEY (account, region, log_group, key_arn)
) STRICT, WITHOUT ROWID;

INSERT INTO former (account, region, log_group, key_arn, since, seen, until)
SELECT account, region, log_group, previous_key, accepted, accepted, accepted FROM association
WHERE previous_key IS NOT NULL AND previous_key IS DISTINCT FROM key_arn;

DROP TABLE association;
ALTER TABLE known RENAME TO association;
CREATE INDEX association_by_key ON association (key_arn) WHERE key_arn IS NOT NULL;
CREATE INDEX former_by_key ON former (key_arn);

-- Whoever writes: no key is replaced without staying known as a former one.
CREATE TRIGGER association_keeps_former BEFORE UPDATE OF key_arn ON association
WHEN old.key_arn IS NOT NULL AND old.key_arn IS DISTINCT FROM new.key_arn
BEGIN
    INSERT INTO former (account, region, log_group, key_arn, since, seen, until)
    VALUES (old.account, old.region, old.log_group, old.key_arn, old.since, old.seen, new.seen)
    ON CONFLICT (account, region, log_group, key_arn) DO UPDATE
    SET seen = excluded.seen, until = excluded.until;
END;

-- When every log group of an account and Region was read.
CREATE TABLE survey (
    account    TEXT    NOT NULL,
    region     TEXT    NOT NULL,
    first      INTEGER NOT NULL,            -- when the first such reading began
    last       INTEGER NOT NULL,            -- when the last one began
    log_groups INTEGER NOT NULL,            -- how many it found
    PRIMARY KEY (account, region)
) STRICT, WITHOUT ROWID;

-- Requests that came with an id of their own, and how they ended: kept for a day.
CREATE TABLE request (
    tenant        TEXT    NOT NULL,
    id            TEXT    NOT NULL,
    fingerprint   TEXT    NOT NULL,         -- of what was asked for
    intent        BLOB    NOT NULL,         -- the event under which it was begun
    outcome       BLOB,                     -- the event that says how it ended
    running_until INTEGER NOT NULL,         -- when it cannot be under way any more
    expires       INTEGER NOT NULL,         -- when it is forgotten
    state         TEXT    NOT NULL,         -- running, done, refused, unknown or open
    answer        TEXT,                     -- what the caller was told, where it is to be told again
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX request_by_intent ON request (intent);
CREATE INDEX request_by_expiry ON request (expires);
