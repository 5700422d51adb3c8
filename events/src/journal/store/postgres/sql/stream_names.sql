SELECT stream.id, tenant.name, stream.name
FROM stream JOIN tenant ON tenant.id = stream.tenant
WHERE stream.id = ANY ($1)
