-- The record: events as canonical bytes, and only what is needed to find and extend them.

-- One row of counters, updated in the transaction of every append: whoever holds its lock is
-- the only one who appends. Positions, and the short ids of tenants and streams, come from here
-- and never from a sequence, so that they are dense and in commit order.
CREATE TABLE head (
    one         smallint PRIMARY KEY CHECK (one = 1),
    timeline    bigint   NOT NULL CHECK (timeline >= 1),
    position    bigint   NOT NULL CHECK (position >= 0),
    recorded_at bigint   NOT NULL,
    tenants     bigint   NOT NULL CHECK (tenants >= 0),
    streams     bigint   NOT NULL CHECK (streams >= 0),
    -- Raised by whoever must be sure that nothing that was decided before can still be written:
    -- a lease that changes hands, a writer that lost an answer.
    generation  bigint   NOT NULL CHECK (generation >= 0)
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

INSERT INTO head (one, timeline, position, recorded_at, tenants, streams, generation)
VALUES (1, 1, 0, 0, 0, 0, 0);

-- `size` and `frontier` are the head of the tenant's RFC 6962 log.
CREATE TABLE tenant (
    id       bigint             PRIMARY KEY,
    name     text   COLLATE "C" NOT NULL UNIQUE,
    size     bigint             NOT NULL CHECK (size >= 0),
    frontier bytea              NOT NULL CHECK (length(frontier) % 32 = 0)
) WITH (fillfactor = 50);

ALTER TABLE tenant ALTER COLUMN frontier SET STORAGE PLAIN;

-- No foreign keys: ids are given under the lock of `head`, and checking each row again would
-- cost a look and a lock more.
CREATE TABLE stream (
    id             bigint             PRIMARY KEY,
    tenant         bigint             NOT NULL,
    name           text   COLLATE "C" NOT NULL,
    -- What stands before the first slash: `run`, `pipeline`, `schedule`.
    kind           text   COLLATE "C" NOT NULL GENERATED ALWAYS AS (split_part(name, '/', 1)) STORED,
    size           bigint             NOT NULL CHECK (size >= 1),
    -- Where its events stand, so that a reader opens only the partitions between.
    first_position bigint             NOT NULL,
    last_position  bigint             NOT NULL CHECK (last_position >= first_position),
    UNIQUE (tenant, name)
) WITH (fillfactor = 80);

CREATE INDEX stream_newest ON stream (tenant, kind, id);

-- (stream, version) and (tenant, tenant_sequence) are unique as well. No index can say so over
-- all partitions; it holds because both are counted in `stream` and `tenant`, by whoever holds
-- the lock of `head`.
CREATE TABLE event (
    position        bigint NOT NULL PRIMARY KEY,
    tenant          bigint NOT NULL,
    tenant_sequence bigint NOT NULL CHECK (tenant_sequence >= 0),
    stream          bigint NOT NULL,
    version         bigint NOT NULL CHECK (version >= 0),
    leaf_hash       bytea  NOT NULL CHECK (length(leaf_hash) = 32),
    leaf            bytea  NOT NULL CHECK (length(leaf) <= 61440)
) PARTITION BY RANGE (position);

-- Small documents hardly shrink, and every append would pay for the attempt.
ALTER TABLE event ALTER COLUMN leaf SET STORAGE EXTERNAL;

CREATE INDEX event_of_stream ON event (stream, version);
CREATE INDEX event_of_log ON event (tenant, tenant_sequence);

CREATE FUNCTION event_is_never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are never %d', lower(TG_OP)
        USING ERRCODE = 'restrict_violation',
              HINT = 'What must be erasable belongs in the sealed part of an event.';
END
$$;

CREATE TRIGGER event_is_never_updated BEFORE UPDATE ON event
    FOR EACH ROW EXECUTE FUNCTION event_is_never_changed();
CREATE TRIGGER event_is_never_deleted BEFORE DELETE ON event
    FOR EACH ROW EXECUTE FUNCTION event_is_never_changed();
CREATE TRIGGER event_is_never_truncated BEFORE TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION event_is_never_changed();

-- Partitions of `event`: positions from `first_position` up to, not including, `end_position`.
CREATE TABLE event_partition (
    first_position bigint PRIMARY KEY,
    end_position   bigint NOT NULL UNIQUE CHECK (end_position > first_position)
);

-- Makes partitions until there are `ahead` whole ones behind the one that the head is in, and
-- answers the position behind the last. A table is made first and attached then, which hinders
-- neither readers nor the writer. Row triggers come with the attachment, those of statements do
-- not. Runs as its owner: the server's own role makes no tables.
CREATE FUNCTION event_partitions_ahead(width bigint, ahead integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    wanted  bigint;
    reached bigint;
    part    text;
BEGIN
    IF width IS NULL OR width < 1 OR ahead IS NULL OR ahead < 0 OR ahead > 100000 THEN
        RAISE EXCEPTION 'partitions of % positions, % of them ahead, make no sense', width, ahead
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- One at a time; who comes second finds the work done. The number is this function's own.
    PERFORM pg_advisory_xact_lock(7236280031450931);
    SELECT position + 1 + width * ahead INTO STRICT wanted FROM head;
    SELECT coalesce(max(end_position), 1) INTO STRICT reached FROM event_partition;
    WHILE reached <= wanted LOOP
        part := 'event_from_' || reached;
        EXECUTE format('CREATE TABLE %I (LIKE event INCLUDING ALL EXCLUDING INDEXES)', part);
        EXECUTE format(
            'ALTER TABLE event ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
            part, reached, reached + width);
        EXECUTE format(
            'CREATE TRIGGER event_is_never_truncated BEFORE TRUNCATE ON %I '
            'FOR EACH STATEMENT EXECUTE FUNCTION event_is_never_changed()', part);
        INSERT INTO event_partition VALUES (reached, reached + width);
        reached := reached + width;
    END LOOP;
    RETURN reached;
END
$$;

REVOKE ALL ON FUNCTION event_partitions_ahead(bigint, integer) FROM PUBLIC;

-- Temporary tables of the caller must not stand in for ours.
DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION event_partitions_ahead(bigint, integer) SET search_path = %I, pg_temp',
        current_schema());
END
$$;

-- Idempotency keys of appends. `content` is the digest of what was asked for.
CREATE TABLE append_key (
    tenant         bigint             NOT NULL,
    key            text   COLLATE "C" NOT NULL,
    content        bytea              NOT NULL CHECK (length(content) = 32),
    first_position bigint             NOT NULL,
    last_position  bigint             NOT NULL CHECK (last_position >= first_position),
    recorded_at    bigint             NOT NULL,
    PRIMARY KEY (tenant, key)
);

-- Who may act for the site. The epoch grows with every change of hands and is never given back.
CREATE TABLE lease (
    name       text   COLLATE "C" PRIMARY KEY,
    epoch      bigint             NOT NULL CHECK (epoch >= 1),
    holder     text               NOT NULL,
    -- Unix milliseconds by the clock of the database.
    expires_at bigint             NOT NULL
) WITH (fillfactor = 50);
