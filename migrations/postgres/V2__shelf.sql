-- Small things that change, beside the record; nothing is decided from them. `tenant` is a name,
-- because a tenant may have things here before its first event.
CREATE TABLE shelf (
    tenant     text   COLLATE "C" NOT NULL,
    key        text   COLLATE "C" NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    value      bytea              NOT NULL CHECK (length(value) <= 262144),
    version    bigint             NOT NULL CHECK (version >= 1),
    at         bigint             NOT NULL,
    -- Unix milliseconds by the clock of the database; NULL: it is kept for good.
    expires_at bigint,
    PRIMARY KEY (tenant, key)
) WITH (fillfactor = 80);

CREATE INDEX shelf_expiring ON shelf (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE shelf_counter (
    tenant text   COLLATE "C" NOT NULL,
    key    text   COLLATE "C" NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
    value  bigint             NOT NULL CHECK (value >= 0),
    PRIMARY KEY (tenant, key)
) WITH (fillfactor = 80);

-- Servers that were given their rights before these tables were there go on without being asked
-- for again: whoever may take leases may use the shelf.
DO $$
DECLARE
    server name;
BEGIN
    FOR server IN
        SELECT DISTINCT grantee.rolname
        FROM pg_class AS lease, aclexplode(lease.relacl) AS given
        JOIN pg_roles AS grantee ON grantee.oid = given.grantee
        WHERE lease.oid = 'lease'::regclass
          AND given.privilege_type = 'INSERT'
          AND given.grantee <> lease.relowner
    LOOP
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON shelf, shelf_counter TO %I', server);
    END LOOP;
END
$$;
