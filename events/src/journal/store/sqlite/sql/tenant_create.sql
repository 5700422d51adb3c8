INSERT INTO tenant (id, name, size, frontier) VALUES (?1, ?2, ?3, ?4)
