-- The log. `body` is the event itself; the other columns only find it.
CREATE TABLE event (
    seq         bigint PRIMARY KEY,
    id          uuid   NOT NULL UNIQUE,
    time        bigint NOT NULL,            -- microseconds since 1970
    tenant      text,
    kind        text   NOT NULL,
    action      text   NOT NULL,
    account     text,
    correlation text   NOT NULL,
    outcome     text,
    closes      uuid,                       -- the intent that it closes
    body        text   NOT NULL
);

CREATE INDEX event_by_time ON event (time);
CREATE INDEX event_by_tenant ON event (tenant, seq) WHERE tenant IS NOT NULL;
CREATE INDEX event_by_correlation ON event (correlation);

-- The one row that every commit holds while it numbers its events: so places have no gaps, and are given
-- in the order in which the events can be seen.
CREATE TABLE log (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last      bigint  NOT NULL DEFAULT 0,   -- the place of the newest event
    recovered bigint  NOT NULL DEFAULT 0
);
INSERT INTO log DEFAULT VALUES;

-- The processes that write, each with the one session whose commits count.
CREATE TABLE writer (
    process uuid PRIMARY KEY,
    session uuid NOT NULL,
    since   timestamptz NOT NULL DEFAULT now()
);

-- Small facts about the store itself.
CREATE TABLE fact (
    name  text PRIMARY KEY,
    value bigint NOT NULL
);
INSERT INTO fact (name, value) VALUES ('settled_before', 0);

-- The tree over the log (C2SP tlog-tiles): 256 hashes a tile, fewer in the last of a level.
CREATE TABLE tile (
    level  bigint NOT NULL,
    place  bigint NOT NULL,
    hashes bytea  NOT NULL,
    PRIMARY KEY (level, place)
);

-- Signed checkpoints: the newest, one an hour of those before it, and those that hand over from one
-- signing key to the next.
CREATE TABLE checkpoint (
    size     bigint  PRIMARY KEY,
    time     bigint  NOT NULL,              -- microseconds since 1970
    note     text    NOT NULL,
    handover boolean NOT NULL
);

-- How much of the log each sink has. One that is not in the settings any more holds nothing back.
CREATE TABLE sink (
    name       text    PRIMARY KEY,
    event      bigint  NOT NULL DEFAULT 0,  -- the last event's place
    checkpoint bigint  NOT NULL DEFAULT 0,  -- the last checkpoint's size
    active     boolean NOT NULL DEFAULT true
);

-- Requests that came with an id of their own, and how they ended: kept for a day.
CREATE TABLE request (
    tenant        text   NOT NULL,
    id            text   NOT NULL,
    fingerprint   text   NOT NULL,          -- of what was asked for
    intent        uuid   NOT NULL UNIQUE,   -- the event under which it was begun
    outcome       uuid,                     -- the event that says how it ended
    running_until bigint NOT NULL,          -- when it cannot be under way any more
    expires       bigint NOT NULL,          -- when it is forgotten
    state         text   NOT NULL,          -- running, done, refused, unknown or open
    answer        text,                     -- what the caller was told, where it is to be told again
    PRIMARY KEY (tenant, id)
);
CREATE INDEX request_by_expiry ON request (expires);
