SELECT wanted.at, stream.id, stream.size
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (tenant, name, at)
JOIN tenant ON tenant.name = wanted.tenant
JOIN stream ON stream.tenant = tenant.id AND stream.name = wanted.name
