-- $5: -1 replaces whatever is there; 0 only what has expired.
WITH clock AS (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now
)
INSERT INTO shelf (tenant, key, value, version, at, expires_at)
SELECT $1::text, $2::text, $3::bytea, 1, clock.now, clock.now + $4::bigint FROM clock
ON CONFLICT (tenant, key) DO UPDATE
SET value = excluded.value, version = shelf.version + 1, at = excluded.at, expires_at = excluded.expires_at
WHERE $5::bigint = -1 OR shelf.expires_at <= excluded.at
RETURNING version
