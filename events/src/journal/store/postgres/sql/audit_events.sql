SELECT event.position, coalesce(tenant.name, ''), event.tenant_sequence,
       coalesce(stream.name, ''), event.version, event.leaf_hash, event.leaf
FROM (SELECT * FROM event WHERE position > $1 ORDER BY position LIMIT $2) AS event
LEFT JOIN tenant ON tenant.id = event.tenant
LEFT JOIN stream ON stream.id = event.stream
ORDER BY event.position
