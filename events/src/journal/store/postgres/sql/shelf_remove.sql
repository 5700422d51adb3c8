DELETE FROM shelf WHERE tenant = $1 AND key = $2
RETURNING expires_at IS NULL OR expires_at > (extract(epoch FROM clock_timestamp()) * 1000)::bigint
