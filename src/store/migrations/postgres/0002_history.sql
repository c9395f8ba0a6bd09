-- What is known of each log group, and of the stored query results (an empty log group): its key, as it
-- was last set through this service or last read from AWS. Texts are compared byte by byte.
CREATE TABLE association (
    account      text COLLATE "C" NOT NULL,
    region       text COLLATE "C" NOT NULL,
    log_group    text COLLATE "C" NOT NULL,
    key_arn      text,                      -- none: the AWS-owned default
    previous_key text,
    accepted     bigint,                    -- when AWS took the key from this service; none: set elsewhere
    since        bigint NOT NULL,           -- when the key was first known to be set
    seen         bigint NOT NULL,           -- when it was last known to be set
    created      bigint,                    -- when AWS made the log group
    retention    bigint,                    -- seconds; 0 for ever; none: not known
    gone         bigint,                    -- when the log group was found to be deleted
    PRIMARY KEY (account, region, log_group)
);
CREATE INDEX association_by_key ON association (key_arn) WHERE key_arn IS NOT NULL;

-- The keys that something had before: what was written under them stays under them.
CREATE TABLE former (
    account   text COLLATE "C" NOT NULL,
    region    text COLLATE "C" NOT NULL,
    log_group text COLLATE "C" NOT NULL,
    key_arn   text COLLATE "C" NOT NULL,
    since     bigint NOT NULL,              -- when it was first known to be set
    seen      bigint NOT NULL,              -- when it was last known to be set
    until     bigint NOT NULL,              -- when another key, or none, was first known in its place
    PRIMARY KEY (account, region, log_group, key_arn)
);
CREATE INDEX former_by_key ON former (key_arn);

-- Whoever writes: no key is replaced without staying known as a former one.
CREATE FUNCTION association_keeps_former() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO former (account, region, log_group, key_arn, since, seen, until)
    VALUES (old.account, old.region, old.log_group, old.key_arn, old.since, old.seen, new.seen)
    ON CONFLICT (account, region, log_group, key_arn) DO UPDATE
    SET seen = excluded.seen, until = excluded.until;
    RETURN new;
END
$$;
CREATE TRIGGER association_keeps_former BEFORE UPDATE OF key_arn ON association FOR EACH ROW
WHEN (old.key_arn IS NOT NULL AND old.key_arn IS DISTINCT FROM new.key_arn)
EXECUTE FUNCTION association_keeps_former();

-- When every log group of an account and Region was read.
CREATE TABLE survey (
    account    text COLLATE "C" NOT NULL,
    region     text COLLATE "C" NOT NULL,
    first      bigint NOT NULL,             -- when the first such reading began
    last       bigint NOT NULL,             -- when the last one began
    log_groups bigint NOT NULL,             -- how many it found
    PRIMARY KEY (account, region)
);

-- Brings what is known up to date, in the order of the rows. What is not said stays as it was. Rows of one
-- transaction come sorted by resource, so that no two transactions wait for each other.
CREATE FUNCTION keep_known(rows jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    value jsonb;
BEGIN
    FOR value IN SELECT r.value FROM jsonb_array_elements(rows) WITH ORDINALITY AS r (value, place) ORDER BY place LOOP
        INSERT INTO association AS old
            (account, region, log_group, key_arn, previous_key, accepted, since, seen, created, retention)
        VALUES (value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, (value ->> 5)::bigint,
                (value ->> 6)::bigint, (value ->> 6)::bigint, (value ->> 7)::bigint, (value ->> 8)::bigint)
        ON CONFLICT (account, region, log_group) DO UPDATE SET
            key_arn = excluded.key_arn,
            previous_key = CASE
                WHEN excluded.previous_key IS NOT NULL THEN excluded.previous_key
                WHEN excluded.key_arn IS DISTINCT FROM old.key_arn THEN old.key_arn
                ELSE old.previous_key END,
            accepted = CASE
                WHEN excluded.accepted IS NOT NULL THEN excluded.accepted
                WHEN excluded.key_arn IS DISTINCT FROM old.key_arn OR excluded.created > old.seen THEN NULL
                ELSE old.accepted END,
            since = CASE
                WHEN excluded.key_arn IS DISTINCT FROM old.key_arn OR excluded.created > old.seen THEN excluded.seen
                ELSE old.since END,
            seen = excluded.seen,
            created = coalesce(excluded.created, old.created),
            retention = coalesce(excluded.retention, old.retention),
            gone = NULL
        WHERE excluded.seen >= old.seen;
    END LOOP;
END
$$;

-- Keeps a survey: a log group that was not seen since it began is gone. Rows are taken in the order in which
-- everyone takes them.
CREATE FUNCTION surveyed(
    own_account text, own_region text, own_first bigint, own_last bigint, own_log_groups bigint
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO survey (account, region, first, last, log_groups)
    VALUES (own_account, own_region, own_first, own_last, own_log_groups)
    ON CONFLICT (account, region) DO UPDATE SET last = excluded.last, log_groups = excluded.log_groups
    WHERE excluded.last >= survey.last;
    PERFORM FROM association
    WHERE account = own_account AND region = own_region AND log_group <> '' AND seen < own_last AND gone IS NULL
    ORDER BY log_group FOR UPDATE;
    UPDATE association SET gone = own_last
    WHERE account = own_account AND region = own_region AND log_group <> '' AND seen < own_last AND gone IS NULL;
END
$$;
