UPDATE lease SET expires_at = ?3 WHERE name = ?1 AND epoch = ?2 AND (?4 IS NULL OR holder = ?4)
RETURNING epoch, holder, expires_at
