SELECT wanted.at, lease.epoch
FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, at)
JOIN lease ON lease.name = wanted.name
