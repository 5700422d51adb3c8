-- Events that have left this database for the published tiles. A range is written when all of its
-- leaves were found there, and `gone` is set in the transaction that drops their partition.
CREATE TABLE archive (
    first_position bigint PRIMARY KEY,
    end_position   bigint             NOT NULL UNIQUE CHECK (end_position > first_position),
    -- The object that says where each event is, and its SHA-256.
    index_path     text   COLLATE "C" NOT NULL,
    index_hash     bytea              NOT NULL CHECK (length(index_hash) = 32),
    -- SHA-256 over the hashes of the leaves in the order of their positions.
    leaves_hash    bytea              NOT NULL CHECK (length(leaves_hash) = 32),
    gone           boolean            NOT NULL DEFAULT false
);

CREATE TABLE archive_stream (
    stream        bigint NOT NULL,
    first_version bigint NOT NULL CHECK (first_version >= 0),
    events        bigint NOT NULL CHECK (events >= 1),
    range         bigint NOT NULL REFERENCES archive (first_position),
    PRIMARY KEY (stream, first_version)
);

CREATE TABLE archive_log (
    tenant     bigint NOT NULL,
    first_leaf bigint NOT NULL CHECK (first_leaf >= 0),
    leaves     bigint NOT NULL CHECK (leaves >= 1),
    range      bigint NOT NULL REFERENCES archive (first_position),
    PRIMARY KEY (tenant, first_leaf)
);

-- Only rows that the database has found right itself come in: the hashes are those of the events
-- that stand here.
CREATE FUNCTION archive_is_right() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    counted bigint;
    found   bytea;
BEGIN
    IF NEW.gone THEN
        RAISE EXCEPTION 'a range is not gone when it is written'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    SELECT count(*), sha256(string_agg(leaf_hash, ''::bytea ORDER BY position))
    INTO counted, found
    FROM event WHERE position >= NEW.first_position AND position < NEW.end_position;
    IF counted <> NEW.end_position - NEW.first_position OR found <> NEW.leaves_hash THEN
        RAISE EXCEPTION 'the events from % to before % are others than those in the tiles',
            NEW.first_position, NEW.end_position
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER archive_is_right BEFORE INSERT ON archive
    FOR EACH ROW EXECUTE FUNCTION archive_is_right();

-- Drops the oldest partition, if all of it is in the archive. The one way in which events leave.
-- It waits for others only shortly: appends wait behind it meanwhile.
CREATE FUNCTION archive_let_go(from_position bigint, to_position bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '300ms' AS $$
DECLARE
    part    text := 'event_from_' || from_position;
    reached bigint := from_position;
    kept    record;
BEGIN
    PERFORM pg_advisory_xact_lock(7236280031450931);
    IF NOT EXISTS (SELECT FROM event_partition
                   WHERE first_position = from_position AND end_position = to_position)
       OR EXISTS (SELECT FROM event_partition WHERE first_position < from_position) THEN
        RAISE EXCEPTION 'the partition from % to before % is not the oldest',
            from_position, to_position USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF (SELECT position FROM head) < to_position THEN
        RAISE EXCEPTION 'the head is not behind the position %', to_position
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF EXISTS (SELECT FROM stream
               WHERE NOT closed AND kind = 'run'
                 AND first_position < to_position AND last_position >= from_position) THEN
        RAISE EXCEPTION 'a run with events before the position % goes on', to_position
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    FOR kept IN SELECT first_position, end_position FROM archive
                WHERE first_position >= from_position AND first_position < to_position
                ORDER BY first_position LOOP
        IF kept.first_position <> reached THEN
            EXIT;
        END IF;
        reached := kept.end_position;
    END LOOP;
    IF reached <> to_position THEN
        RAISE EXCEPTION 'the archive has nothing of the position %', reached
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    UPDATE archive SET gone = true
    WHERE first_position >= from_position AND first_position < to_position;
    DELETE FROM event_partition WHERE first_position = from_position;
    EXECUTE format('ALTER TABLE event DETACH PARTITION %I', part);
    EXECUTE format('DROP TABLE %I', part);
END
$$;

REVOKE ALL ON FUNCTION archive_let_go(bigint, bigint) FROM PUBLIC;

-- Forgets idempotency keys from before an instant, at most so many, and a row for each. The one way
-- in which keys go: a server has no right to delete of its own.
CREATE FUNCTION append_keys_forget(before bigint, most bigint) RETURNS SETOF integer
LANGUAGE sql SECURITY DEFINER AS $$
    DELETE FROM append_key
    WHERE (tenant, key) IN (SELECT tenant, key FROM append_key WHERE recorded_at < before LIMIT most)
    RETURNING 1
$$;

REVOKE ALL ON FUNCTION append_keys_forget(bigint, bigint) FROM PUBLIC;

-- Temporary tables of the caller must not stand in for ours.
DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION archive_let_go(bigint, bigint) SET search_path = %I, pg_temp',
        current_schema());
    EXECUTE format(
        'ALTER FUNCTION append_keys_forget(bigint, bigint) SET search_path = %I, pg_temp',
        current_schema());
    EXECUTE format(
        'ALTER FUNCTION archive_is_right() SET search_path = %I, pg_temp', current_schema());
END
$$;

-- Idempotency keys are forgotten after a while. This index costs an append next to nothing.
CREATE INDEX append_key_age ON append_key USING brin (recorded_at) WITH (pages_per_range = 16);
