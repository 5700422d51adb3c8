SELECT name
FROM stream
WHERE tenant = (SELECT id FROM tenant WHERE name = ?1)
  AND substr(name, 1, length(?2)) = ?2
ORDER BY id DESC
LIMIT ?3
