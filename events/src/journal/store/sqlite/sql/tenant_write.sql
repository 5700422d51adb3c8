UPDATE tenant SET size = ?2, frontier = ?3 WHERE id = ?1
