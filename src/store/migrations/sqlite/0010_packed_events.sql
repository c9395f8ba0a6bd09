-- A new event is stored as a Zstandard frame with a dictionary that the program has; its `body` is empty. The
-- events that are there stay as they are.
ALTER TABLE event ADD COLUMN packed BLOB;

-- The same view and triggers as before, with frames.
DROP VIEW append;

-- One batch of the journal: its events, what finds them, what became true with them, and what becomes of
-- requests. Put in as one row, so that a small batch is one statement and one transaction.
CREATE VIEW append (
    seq, packed,                            -- the first event; its frame only where there is no other
    last, since, until, least, most,
    after, tag,                             -- shows that the journal handed over the batch
    tenants, calls,
    known,                                  -- of keys: rows as JSON
    forgotten, begun, ended                 -- of requests: rows as JSON
) AS SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE false;

CREATE TRIGGER append_event INSTEAD OF INSERT ON append WHEN new.packed IS NOT NULL
BEGIN
    INSERT INTO event (seq, body, packed) VALUES (new.seq, '', new.packed);
END;

CREATE TRIGGER append_batch INSTEAD OF INSERT ON append WHEN new.seq IS NOT NULL
BEGIN
    INSERT INTO batch (first, last, since, until, least, most, after, tag)
    VALUES (new.seq, new.last, new.since, new.until, new.least, new.most, new.after, new.tag);
    INSERT INTO batch_of_tenant (tenant, first) SELECT value, new.seq FROM json_each(new.tenants);
    INSERT INTO batch_of_call (correlation, first) SELECT value, new.seq FROM json_each(new.calls);
END;

-- Brings what is known up to date, in the order of the rows. What is not said stays as it was; a key that is
-- replaced goes to the former ones by a trigger.
CREATE TRIGGER append_known INSTEAD OF INSERT ON append WHEN new.known IS NOT NULL
BEGIN
    INSERT INTO association (account, region, log_group, key_arn, previous_key, accepted, since, seen, created, retention)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
           value ->> 6, value ->> 7, value ->> 8
    FROM jsonb_each(new.known) WHERE true
    ON CONFLICT (account, region, log_group) DO UPDATE SET
        key_arn = excluded.key_arn,
        previous_key = CASE
            WHEN excluded.previous_key IS NOT NULL THEN excluded.previous_key
            WHEN excluded.key_arn IS DISTINCT FROM association.key_arn THEN association.key_arn
            ELSE association.previous_key END,
        accepted = CASE
            WHEN excluded.accepted IS NOT NULL THEN excluded.accepted
            WHEN excluded.key_arn IS DISTINCT FROM association.key_arn
                OR excluded.created > association.seen THEN NULL
            ELSE association.accepted END,
        since = CASE
            WHEN excluded.key_arn IS DISTINCT FROM association.key_arn
                OR excluded.created > association.seen THEN excluded.seen
            ELSE association.since END,
        seen = excluded.seen,
        created = coalesce(excluded.created, association.created),
        retention = coalesce(excluded.retention, association.retention),
        gone = NULL
    WHERE excluded.seen >= association.seen;
END;

-- Forgets what is old, begins requests, for the first time or once more, and says how others ended.
CREATE TRIGGER append_requests INSTEAD OF INSERT ON append WHEN new.begun IS NOT NULL
BEGIN
    DELETE FROM request WHERE expires <= new.forgotten;
    INSERT INTO request (tenant, id, fingerprint, intent, running_until, expires, state)
    SELECT value ->> 0, value ->> 1, value ->> 2, unhex(value ->> 3), value ->> 4, value ->> 5, 'running'
    FROM json_each(new.begun) WHERE true
    ON CONFLICT (tenant, id) DO UPDATE SET
        fingerprint = excluded.fingerprint, intent = excluded.intent, outcome = NULL,
        running_until = excluded.running_until, expires = excluded.expires, state = 'running', answer = NULL;
    UPDATE request SET outcome = unhex(said.value ->> 1), state = said.value ->> 2, answer = said.value ->> 3
    FROM json_each(new.ended) AS said WHERE intent = unhex(said.value ->> 0);
END;
