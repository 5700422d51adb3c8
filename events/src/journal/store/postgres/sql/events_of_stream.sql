-- Its first and last position leave only the partitions between them to be opened.
WITH wanted AS MATERIALIZED (
    SELECT stream.id, stream.first_position, stream.last_position
    FROM stream JOIN tenant ON tenant.id = stream.tenant
    WHERE tenant.name = $1 AND stream.name = $2
)
SELECT position, stream, tenant_sequence, version, leaf_hash, leaf
FROM event
WHERE stream = (SELECT id FROM wanted)
  AND position >= (SELECT first_position FROM wanted)
  AND position <= (SELECT last_position FROM wanted)
  AND version >= $3
ORDER BY version
LIMIT $4
