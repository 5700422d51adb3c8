UPDATE shelf SET value = ?3, version = version + 1, at = ?4, expires_at = ?5
WHERE tenant = ?1 AND key = ?2 AND version = ?6 AND (expires_at IS NULL OR expires_at > ?4)
RETURNING version
