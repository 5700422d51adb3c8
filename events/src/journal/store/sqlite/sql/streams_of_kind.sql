SELECT name
FROM stream
WHERE tenant = (SELECT id FROM tenant WHERE name = ?1)
  AND kind = ?2
  AND substr(name, 1, length(?3)) = ?3
  AND id < coalesce(
      (SELECT id FROM stream
       WHERE tenant = (SELECT id FROM tenant WHERE name = ?1) AND name = ?4),
      CASE WHEN ?4 IS NULL THEN 9223372036854775807 ELSE 0 END)
ORDER BY id DESC
LIMIT ?5
