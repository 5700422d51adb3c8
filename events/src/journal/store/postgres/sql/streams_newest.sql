SELECT name
FROM stream
WHERE tenant = (SELECT id FROM tenant WHERE name = $1)
  AND starts_with(name, $2)
ORDER BY id DESC
LIMIT $3
