INSERT INTO shelf_counter (tenant, key, value) VALUES ($1::text, $2::text, $4::bigint + $3::bigint)
ON CONFLICT (tenant, key) DO UPDATE SET value = greatest(shelf_counter.value, $4::bigint) + $3::bigint
RETURNING value
