SELECT name
FROM stream
WHERE tenant = (SELECT id FROM tenant WHERE name = ?1)
  AND substr(name, 1, length(?2)) = ?2
  AND id < coalesce(
      (SELECT id FROM stream
       WHERE tenant = (SELECT id FROM tenant WHERE name = ?1) AND name = ?3),
      CASE WHEN ?3 IS NULL THEN 9223372036854775807 ELSE 0 END)
ORDER BY id DESC
LIMIT ?4
