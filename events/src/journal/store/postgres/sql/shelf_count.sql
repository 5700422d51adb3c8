-- Not waited for on the disk: who uses a number appends an event with it, and what is durable
-- is so in order, so that the number is kept before the event is. One that nobody used may be
-- given again.
INSERT INTO shelf_counter (tenant, key, value) VALUES ($1::text, $2::text, $4::bigint + $3::bigint)
ON CONFLICT (tenant, key) DO UPDATE SET value = greatest(shelf_counter.value, $4::bigint) + $3::bigint
RETURNING value, set_config('synchronous_commit', 'off', true)
