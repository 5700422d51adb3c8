-- ?6: -1 replaces whatever is there; 0 only what has expired.
INSERT INTO shelf (tenant, key, value, version, at, expires_at)
VALUES (?1, ?2, ?3, 1, ?4, ?5)
ON CONFLICT (tenant, key) DO UPDATE
SET value = excluded.value, version = shelf.version + 1, at = excluded.at, expires_at = excluded.expires_at
WHERE ?6 = -1 OR shelf.expires_at <= ?4
RETURNING version
