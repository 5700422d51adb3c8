-- The record: events as canonical bytes, and only what is needed to find and extend them.

-- One row of counters, updated in the transaction of every append. Positions come from here
-- and never from a rowid sequence, so that they are dense and in commit order.
CREATE TABLE head (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    timeline    INTEGER NOT NULL CHECK (timeline >= 1),
    position    INTEGER NOT NULL CHECK (position >= 0),
    recorded_at INTEGER NOT NULL
) STRICT;

INSERT INTO head (one, timeline, position, recorded_at) VALUES (1, 1, 0, 0);

-- `size` and `frontier` are the head of the tenant's RFC 6962 log.
CREATE TABLE tenant (
    id       INTEGER PRIMARY KEY,
    name     TEXT    NOT NULL UNIQUE,
    size     INTEGER NOT NULL CHECK (size >= 0),
    frontier BLOB    NOT NULL
) STRICT;

-- How many events a stream has is not kept here: the index on (stream, version) knows it, and
-- an append would otherwise have to rewrite one row more per stream.
CREATE TABLE stream (
    id     INTEGER PRIMARY KEY,
    tenant INTEGER NOT NULL REFERENCES tenant (id),
    name   TEXT    NOT NULL,
    -- What stands before the first slash: `run`, `pipeline`, `schedule`.
    kind   TEXT    NOT NULL GENERATED ALWAYS AS (substr(name, 1, instr(name || '/', '/') - 1)) VIRTUAL,
    UNIQUE (tenant, name)
) STRICT;

CREATE INDEX stream_newest ON stream (tenant, kind, id);

CREATE TABLE event (
    position        INTEGER PRIMARY KEY,
    tenant          INTEGER NOT NULL,
    tenant_sequence INTEGER NOT NULL CHECK (tenant_sequence >= 0),
    stream          INTEGER NOT NULL,
    version         INTEGER NOT NULL CHECK (version >= 0),
    leaf_hash       BLOB    NOT NULL CHECK (length(leaf_hash) = 32),
    leaf            BLOB    NOT NULL CHECK (length(leaf) <= 61440),
    UNIQUE (stream, version),
    UNIQUE (tenant, tenant_sequence)
) STRICT;

CREATE TRIGGER event_is_never_updated BEFORE UPDATE ON event
BEGIN
    SELECT RAISE(ABORT, 'events are never updated');
END;

CREATE TRIGGER event_is_never_deleted BEFORE DELETE ON event
BEGIN
    SELECT RAISE(ABORT, 'events are never deleted');
END;

-- Idempotency keys of appends. `content` is the digest of what was asked for.
CREATE TABLE append_key (
    tenant         INTEGER NOT NULL REFERENCES tenant (id),
    key            TEXT    NOT NULL,
    content        BLOB    NOT NULL CHECK (length(content) = 32),
    first_position INTEGER NOT NULL,
    last_position  INTEGER NOT NULL CHECK (last_position >= first_position),
    recorded_at    INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
