-- Whatever another sweep has in hand is left to it.
WITH old AS (
    SELECT tenant, key FROM shelf
    WHERE expires_at <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    ORDER BY expires_at LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
)
DELETE FROM shelf USING old
WHERE shelf.tenant = old.tenant AND shelf.key = old.key
RETURNING 1
