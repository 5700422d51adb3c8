SELECT timeline, position, recorded_at, tenants, streams, generation
FROM head
WHERE one = 1
FOR UPDATE
