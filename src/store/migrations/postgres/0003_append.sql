-- One batch of the journal: its events, what became true with them, and what becomes of requests. Called as
-- a statement, and so a transaction, of its own: no client ever holds the log's row while it thinks.
CREATE FUNCTION append(
    own_process uuid, own_session uuid,
    ids text[], times bigint[], tenants text[], kinds text[], actions text[], accounts text[],
    correlations text[], outcomes text[], closings text[], bodies text[],
    known jsonb, begun jsonb, forgotten bigint, ended jsonb
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    before bigint;
    another text;
BEGIN
    UPDATE log SET last = last + cardinality(ids) RETURNING last - cardinality(ids) INTO before;
    -- Under that row's lock: a session that was given up meanwhile keeps nothing any more.
    PERFORM FROM writer WHERE process = own_process AND session = own_session;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the session was given up' USING ERRCODE = 'LK001';
    END IF;
    INSERT INTO event (seq, id, time, tenant, kind, action, account, correlation, outcome, closes, body)
    SELECT before + e.place, e.id::uuid, e.time, e.tenant, e.kind, e.action, e.account, e.correlation,
           e.outcome, e.closes::uuid, e.body
    FROM unnest(ids, times, tenants, kinds, actions, accounts, correlations, outcomes, closings, bodies)
        WITH ORDINALITY AS e (id, time, tenant, kind, action, account, correlation, outcome, closes, body, place);
    IF known IS NOT NULL THEN
        PERFORM keep_known(known);
    END IF;
    IF begun IS NOT NULL THEN
        DELETE FROM request WHERE expires <= forgotten;
        -- The use cases see to it that nobody else has it; where a session was lost, this does.
        SELECT r.id INTO another FROM jsonb_array_elements(begun) AS b (value)
        JOIN request AS r ON r.tenant = b.value ->> 0 AND r.id = b.value ->> 1
        WHERE r.state = 'running' AND r.running_until > (b.value ->> 6)::bigint;
        IF FOUND THEN
            RAISE EXCEPTION 'another process has the request under way' USING ERRCODE = 'LK002';
        END IF;
        INSERT INTO request (tenant, id, fingerprint, intent, running_until, expires, state)
        SELECT b.value ->> 0, b.value ->> 1, b.value ->> 2, (b.value ->> 3)::uuid, (b.value ->> 4)::bigint,
               (b.value ->> 5)::bigint, 'running'
        FROM jsonb_array_elements(begun) AS b (value)
        ON CONFLICT (tenant, id) DO UPDATE SET
            fingerprint = excluded.fingerprint, intent = excluded.intent, outcome = NULL,
            running_until = excluded.running_until, expires = excluded.expires, state = 'running',
            answer = NULL;
    END IF;
    IF ended IS NOT NULL THEN
        UPDATE request SET outcome = (e.value ->> 1)::uuid, state = e.value ->> 2, answer = e.value ->> 3
        FROM jsonb_array_elements(ended) AS e (value) WHERE intent = (e.value ->> 0)::uuid;
    END IF;
END
$$;

-- Gives up every earlier session of a process, and tells whether an event is there. The log's row is held by
-- whatever commit is still under way: behind it, there is no doubt left.
CREATE FUNCTION recover(own_process uuid, own_session uuid, doubtful uuid) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE log SET recovered = recovered + 1;
    INSERT INTO writer (process, session) VALUES (own_process, own_session)
    ON CONFLICT (process) DO UPDATE SET session = excluded.session, since = now();
    RETURN EXISTS (SELECT FROM event WHERE id = doubtful);
END
$$;

-- Keeps new and longer tiles with the checkpoint that covers them, unless a later one is there. Of an hour's
-- checkpoints that every sink has, the last one stays.
CREATE FUNCTION grow(
    levels bigint[], places bigint[], parts bytea[], own_size bigint, own_time bigint, own_note text,
    own_handover boolean, base text
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF base IS DISTINCT FROM (SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1)
        OR EXISTS (SELECT FROM checkpoint WHERE size > own_size)
    THEN
        RAISE EXCEPTION 'another checkpoint is there' USING ERRCODE = 'LK003';
    END IF;
    INSERT INTO tile (level, place, hashes)
    SELECT t.level, t.place, t.hashes FROM unnest(levels, places, parts) AS t (level, place, hashes)
    ON CONFLICT (level, place) DO UPDATE SET hashes = excluded.hashes;
    INSERT INTO checkpoint (size, time, note, handover) VALUES (own_size, own_time, own_note, own_handover)
    ON CONFLICT (size) DO UPDATE
    SET time = excluded.time, note = excluded.note, handover = excluded.handover;
    DELETE FROM checkpoint
    WHERE size < own_size AND time / 3600000000 = own_time / 3600000000 AND NOT handover
      AND size <= (SELECT coalesce(min(sink.checkpoint), own_size) FROM sink WHERE active);
END
$$;

-- Which sinks there are; others hold nothing back any more.
CREATE FUNCTION enlist(names text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sink (name) SELECT n.name FROM unnest(names) AS n (name) ORDER BY n.name
    ON CONFLICT (name) DO NOTHING;
    UPDATE sink SET active = name = ANY (names) WHERE active <> (name = ANY (names));
END
$$;

-- A sink came from one position to another, unless it is elsewhere by now. Of an hour's checkpoints that every
-- sink has, the last one stays; only those behind this sink can have been waiting for it.
CREATE FUNCTION reached(
    own_name text, from_event bigint, from_checkpoint bigint, to_event bigint, to_checkpoint bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sink SET event = to_event, checkpoint = to_checkpoint
    WHERE name = own_name AND event = from_event AND checkpoint = from_checkpoint;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM checkpoint
    WHERE NOT handover AND size > from_checkpoint
      AND size <= (SELECT min(sink.checkpoint) FROM sink WHERE active)
      AND time / 3600000000 = (
          SELECT later.time / 3600000000 FROM checkpoint AS later
          WHERE later.size > checkpoint.size ORDER BY later.size LIMIT 1
      );
    RETURN true;
END
$$;
