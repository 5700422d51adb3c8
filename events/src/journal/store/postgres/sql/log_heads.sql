SELECT name, size, frontier FROM tenant ORDER BY id
