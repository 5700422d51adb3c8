SELECT size, frontier FROM tenant WHERE name = $1
