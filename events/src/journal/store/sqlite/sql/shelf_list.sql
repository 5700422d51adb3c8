-- Keys are printable, so none begins with the prefix and lies behind its continuation by DEL.
SELECT key, value, version, at FROM shelf
WHERE tenant = ?1 AND key >= ?2 AND key < ?2 || char(127) AND key > ?3
  AND (expires_at IS NULL OR expires_at > ?4)
ORDER BY key LIMIT ?5
