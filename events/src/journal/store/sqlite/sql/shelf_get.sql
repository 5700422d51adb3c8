SELECT key, value, version, at FROM shelf
WHERE tenant = ?1 AND key = ?2 AND (expires_at IS NULL OR expires_at > ?3)
