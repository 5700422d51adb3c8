SELECT name
FROM stream
WHERE tenant = (SELECT id FROM tenant WHERE name = $1)
  AND kind = $2
  AND starts_with(name, $3)
ORDER BY id DESC
LIMIT $4
