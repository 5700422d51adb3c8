UPDATE lease
SET expires_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + $3::bigint
WHERE name = $1 AND epoch = $2 AND ($4::text IS NULL OR holder = $4)
RETURNING epoch, holder, expires_at
