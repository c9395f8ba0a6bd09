-- How much of the log each sink has. One that is not in the settings any more holds nothing back.
CREATE TABLE sink (
    name       TEXT PRIMARY KEY,
    event      INTEGER NOT NULL DEFAULT 0,  -- the last event's place
    checkpoint INTEGER NOT NULL DEFAULT 0,  -- the last checkpoint's size
    active     INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;
