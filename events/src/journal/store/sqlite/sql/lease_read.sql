SELECT epoch, holder, expires_at FROM lease WHERE name = ?1
