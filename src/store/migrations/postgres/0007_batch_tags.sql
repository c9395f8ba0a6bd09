-- Codes that only a process with the signing key can make, one for each batch. Batches of earlier releases have
-- none.
CREATE TABLE batch_tag (
    first bigint PRIMARY KEY,               -- the first event of the batch
    last  bigint NOT NULL,
    after bigint NOT NULL,                  -- the batch comes after this event
    tag   bytea  NOT NULL
);

-- Replicas of the previous release call `append`. The leader drops it when none of them is left.
ALTER FUNCTION append RENAME TO append_events;

CREATE FUNCTION append(
    own_process uuid, own_session uuid,
    ids text[], times bigint[], tenants text[], kinds text[], actions text[], accounts text[],
    correlations text[], outcomes text[], closings text[], bodies text[],
    known jsonb, begun jsonb, forgotten bigint, ended jsonb
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM append_events(own_process, own_session, ids, times, tenants, kinds, actions, accounts,
        correlations, outcomes, closings, bodies, known, begun, forgotten, ended);
END
$$;

-- Appends a batch together with its code.
CREATE FUNCTION append_tagged(
    own_process uuid, own_session uuid,
    ids text[], times bigint[], tenants text[], kinds text[], actions text[], accounts text[],
    correlations text[], outcomes text[], closings text[], bodies text[],
    known jsonb, begun jsonb, forgotten bigint, ended jsonb, own_after bigint, own_tag bytea
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM append_events(own_process, own_session, ids, times, tenants, kinds, actions, accounts,
        correlations, outcomes, closings, bodies, known, begun, forgotten, ended);
    -- This transaction still holds the row of the log.
    INSERT INTO batch_tag (first, last, after, tag)
    SELECT log.last - cardinality(ids) + 1, log.last, own_after, own_tag FROM log WHERE cardinality(ids) > 0;
END
$$;

-- As before, but it fails while rows after the last position are in the way of the next batch.
CREATE OR REPLACE FUNCTION recover(own_process uuid, own_session uuid, doubtful uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE log SET recovered = recovered + 1;
    IF EXISTS (SELECT FROM event WHERE seq > (SELECT last FROM log)) THEN
        RAISE EXCEPTION 'the table event has rows after position %, which logkey did not write; move them elsewhere',
            (SELECT last FROM log) USING ERRCODE = 'LK004';
    END IF;
    INSERT INTO writer (process, session) VALUES (own_process, own_session)
    ON CONFLICT (process) DO UPDATE SET session = excluded.session, since = now();
    RETURN EXISTS (SELECT FROM event WHERE id = doubtful);
END
$$;
