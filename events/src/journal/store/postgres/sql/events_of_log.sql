-- An event stands behind as many positions as there are events before it in its log.
SELECT position, stream, tenant_sequence, version, leaf_hash, leaf
FROM event
WHERE tenant = (SELECT id FROM tenant WHERE name = $1)
  AND tenant_sequence >= $2
  AND position > $2
ORDER BY tenant_sequence
LIMIT $3
