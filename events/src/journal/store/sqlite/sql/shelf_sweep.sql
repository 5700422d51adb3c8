DELETE FROM shelf WHERE rowid IN (
    SELECT rowid FROM shelf WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2
)
