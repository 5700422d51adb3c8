DELETE FROM append_key
WHERE (tenant, key) IN (SELECT tenant, key FROM append_key WHERE recorded_at < ?1 LIMIT ?2)
