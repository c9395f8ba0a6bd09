-- The log. `body` is the event itself; the other columns only find it.
CREATE TABLE event (
    seq         INTEGER PRIMARY KEY,
    id          BLOB    NOT NULL UNIQUE,
    time        INTEGER NOT NULL,           -- microseconds since 1970
    tenant      TEXT,
    kind        TEXT    NOT NULL,
    action      TEXT    NOT NULL,
    account     TEXT,
    correlation TEXT    NOT NULL,
    outcome     TEXT,
    closes      BLOB,                       -- the intent that it closes
    body        TEXT    NOT NULL
) STRICT;

CREATE INDEX event_by_time ON event (time);
CREATE INDEX event_by_tenant ON event (tenant) WHERE tenant IS NOT NULL;
CREATE INDEX event_by_correlation ON event (correlation);

-- What was last set through this service; an empty log group means the stored query results.
CREATE TABLE association (
    account      TEXT    NOT NULL,
    region       TEXT    NOT NULL,
    log_group    TEXT    NOT NULL,
    key_arn      TEXT,
    previous_key TEXT,
    accepted     INTEGER NOT NULL,          -- microseconds since 1970
    PRIMARY KEY (account, region, log_group)
) STRICT, WITHOUT ROWID;

-- Small facts about the store itself.
CREATE TABLE fact (
    name  TEXT PRIMARY KEY,
    value ANY
) STRICT, WITHOUT ROWID;

INSERT INTO fact (name, value) VALUES ('recovered', 0), ('settled_before', 0);

-- The tree over the log (C2SP tlog-tiles): 256 hashes a tile, fewer in the last of a level.
CREATE TABLE tile (
    level  INTEGER NOT NULL,
    place  INTEGER NOT NULL,
    hashes BLOB    NOT NULL,
    PRIMARY KEY (level, place)
) STRICT;

-- Signed checkpoints: the newest, and one an hour of those before it.
CREATE TABLE checkpoint (
    size INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,                  -- microseconds since 1970
    note TEXT    NOT NULL
) STRICT;
