INSERT INTO tenant (name, size, frontier) VALUES (?1, 0, x'')
