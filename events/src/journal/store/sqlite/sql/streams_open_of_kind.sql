-- The index `stream_open` has only streams that nothing has closed. A cursor that nobody knows is
-- behind everything.
SELECT tenant.name, stream.name
FROM stream INDEXED BY stream_open JOIN tenant ON tenant.id = stream.tenant
WHERE stream.closed = 0
  AND stream.kind = ?1
  AND substr(stream.name, 1, length(?2)) = ?2
  AND stream.id > coalesce(
      (SELECT cursor.id FROM stream AS cursor
       WHERE cursor.tenant = (SELECT id FROM tenant WHERE name = ?3) AND cursor.name = ?4),
      CASE WHEN ?3 IS NULL THEN 0 ELSE 9223372036854775807 END)
ORDER BY stream.id
LIMIT ?5
