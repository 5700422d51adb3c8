SELECT event.position, coalesce(tenant.name, ''), event.tenant_sequence,
       coalesce(stream.name, ''), event.version, event.leaf_hash, event.leaf
FROM event
LEFT JOIN tenant ON tenant.id = event.tenant
LEFT JOIN stream ON stream.id = event.stream
WHERE event.position > ?1
ORDER BY event.position
LIMIT ?2
