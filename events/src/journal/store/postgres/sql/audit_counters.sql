-- In one statement, so that all is of the same instant.
SELECT head.timeline, head.position, head.recorded_at, tenant.name, tenant.size, tenant.frontier
FROM head LEFT JOIN tenant ON true
ORDER BY tenant.id
