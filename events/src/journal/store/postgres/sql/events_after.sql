SELECT position, stream, tenant_sequence, version, leaf_hash, leaf
FROM event
WHERE position > $1
ORDER BY position
LIMIT $2
