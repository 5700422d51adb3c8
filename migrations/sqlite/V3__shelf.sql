-- Small things that change, beside the record; nothing is decided from them. `tenant` is a name,
-- because a tenant may have things here before its first event.
CREATE TABLE shelf (
    tenant     TEXT    NOT NULL,
    key        TEXT    NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    value      BLOB    NOT NULL CHECK (length(value) <= 262144),
    version    INTEGER NOT NULL CHECK (version >= 1),
    at         INTEGER NOT NULL,
    -- Unix milliseconds by the clock of the store; NULL: it is kept for good.
    expires_at INTEGER,
    UNIQUE (tenant, key)
) STRICT;

CREATE INDEX shelf_expiring ON shelf (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE shelf_counter (
    tenant TEXT    NOT NULL,
    key    TEXT    NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    value  INTEGER NOT NULL CHECK (value >= 0),
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
