UPDATE lease SET expires_at = ?3 WHERE name = ?1 AND epoch = ?2
RETURNING epoch, holder, expires_at
