SELECT wanted.at, tenant.id, tenant.size, tenant.frontier
FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, at)
JOIN tenant ON tenant.name = wanted.name
