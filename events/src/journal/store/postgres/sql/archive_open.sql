SELECT tenant.name, stream.name
FROM stream JOIN tenant ON tenant.id = stream.tenant
WHERE NOT stream.closed
  AND stream.kind = 'run'
  AND stream.first_position < $2
  AND stream.last_position >= $1
ORDER BY stream.id
LIMIT 1
