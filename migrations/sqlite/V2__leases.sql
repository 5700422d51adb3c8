-- Who may act for the site. The epoch grows with every change of hands and is never given back.
CREATE TABLE lease (
    name       TEXT    PRIMARY KEY,
    epoch      INTEGER NOT NULL CHECK (epoch >= 1),
    holder     TEXT    NOT NULL,
    -- Unix milliseconds by the clock of the store.
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
