-- Keys are printable, so none begins with the prefix and lies behind its continuation by DEL.
SELECT key, value, version, at FROM shelf
WHERE tenant = $1::text AND key >= $2::text AND key < $2::text || chr(127) AND key > $3::text
  AND (expires_at IS NULL OR expires_at > (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
ORDER BY key LIMIT $4::bigint
