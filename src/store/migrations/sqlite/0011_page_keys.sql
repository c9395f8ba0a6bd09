-- Keys of page tokens that have left the key file, or will, each encrypted with a key that is in it. They open tokens
-- for a day after that. `until` and `stored` are microseconds since 1970.
CREATE TABLE page_key (
    sealed_by TEXT NOT NULL,
    id TEXT NOT NULL,
    sealed TEXT NOT NULL,
    until INTEGER,
    stored INTEGER NOT NULL,
    PRIMARY KEY (sealed_by, id)
) STRICT, WITHOUT ROWID;
