WITH clock AS (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now
)
UPDATE shelf
SET value = $3::bytea, version = version + 1, at = clock.now, expires_at = clock.now + $4::bigint
FROM clock
WHERE tenant = $1::text AND key = $2::text AND version = $5::bigint
  AND (expires_at IS NULL OR expires_at > clock.now)
RETURNING version
