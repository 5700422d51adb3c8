SELECT stream.id,
       coalesce((SELECT max(event.version) + 1 FROM event WHERE event.stream = stream.id), 0)
FROM stream
WHERE stream.tenant = (SELECT id FROM tenant WHERE name = ?1) AND stream.name = ?2
