-- A change that this service made is recorded in the order of commits, whatever the clock of its replica says:
-- another replica may have recorded a later time meanwhile. The same function as before, with another last
-- condition and with times that do not go back.
CREATE OR REPLACE FUNCTION keep_known(rows jsonb) RETURNS void LANGUAGE plpgsql AS $$
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
                WHEN excluded.key_arn IS DISTINCT FROM old.key_arn OR excluded.created > old.seen
                    THEN greatest(excluded.seen, old.seen)
                ELSE old.since END,
            seen = greatest(excluded.seen, old.seen),
            created = coalesce(excluded.created, old.created),
            retention = coalesce(excluded.retention, old.retention),
            gone = NULL
        WHERE excluded.accepted IS NOT NULL OR excluded.seen >= old.seen;
    END LOOP;
END
$$;
