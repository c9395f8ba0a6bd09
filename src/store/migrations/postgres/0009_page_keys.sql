-- Keys of page tokens that have left the key file, or will, each encrypted with a key that is in it. They open tokens
-- for a day after that. `until` and `stored` are microseconds since 1970.
CREATE TABLE page_key (
    sealed_by text NOT NULL,
    id text NOT NULL,
    sealed text NOT NULL,
    until bigint,
    stored bigint NOT NULL,
    PRIMARY KEY (sealed_by, id)
);
