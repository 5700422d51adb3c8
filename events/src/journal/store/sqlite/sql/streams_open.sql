-- As `streams_open_of_kind`, over all kinds.
WITH cursor AS (
    SELECT kind, id FROM stream
    WHERE tenant = (SELECT id FROM tenant WHERE name = ?2) AND name = ?3
)
SELECT tenant.name, stream.name
FROM stream INDEXED BY stream_open JOIN tenant ON tenant.id = stream.tenant
WHERE stream.closed = 0
  AND substr(stream.name, 1, length(?1)) = ?1
  AND (?2 IS NULL OR (stream.kind, stream.id) > (SELECT kind, id FROM cursor))
ORDER BY stream.kind, stream.id
LIMIT ?4
