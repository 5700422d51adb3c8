SELECT position, stream, tenant_sequence, version, leaf_hash, leaf
FROM event
WHERE stream = (SELECT stream.id
                FROM stream JOIN tenant ON tenant.id = stream.tenant
                WHERE tenant.name = ?1 AND stream.name = ?2)
  AND version >= ?3
ORDER BY version
LIMIT ?4
