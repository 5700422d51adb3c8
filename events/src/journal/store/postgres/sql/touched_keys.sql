SELECT wanted.at, append_key.content, append_key.first_position, append_key.last_position,
       append_key.recorded_at
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (tenant, key, at)
JOIN tenant ON tenant.name = wanted.tenant
JOIN append_key ON append_key.tenant = tenant.id AND append_key.key = wanted.key
