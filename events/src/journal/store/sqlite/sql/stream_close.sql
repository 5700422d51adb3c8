UPDATE stream SET closed = 1 WHERE id = ?1 AND closed = 0
