-- A whole batch, under the condition that the head still is what it was decided against: where
-- it is not, `guard` is empty and so is everything that is joined to it.
WITH guard AS (
    UPDATE head
    SET timeline = $4, position = $5, recorded_at = $6, tenants = $7, streams = $8
    WHERE one = 1 AND position = $1 AND generation = $2 AND timeline = $3
    RETURNING position
),
events AS (
    INSERT INTO event (position, tenant, tenant_sequence, stream, version, leaf_hash, leaf)
    SELECT added.*
    FROM guard, unnest($9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[],
                       $14::bytea[], $15::bytea[]) AS added
),
new_tenants AS (
    INSERT INTO tenant (id, name, size, frontier)
    SELECT made.*
    FROM guard, unnest($16::bigint[], $17::text[], $18::bigint[], $19::bytea[]) AS made
),
tenants AS (
    UPDATE tenant
    SET size = changed.size, frontier = changed.frontier
    FROM guard, unnest($20::bigint[], $21::bigint[], $22::bytea[]) AS changed (id, size, frontier)
    WHERE tenant.id = changed.id
),
new_streams AS (
    INSERT INTO stream (id, tenant, name, size, first_position, last_position, closed)
    SELECT made.*
    FROM guard, unnest($23::bigint[], $24::bigint[], $25::text[], $26::bigint[], $27::bigint[],
                       $28::bigint[], $29::boolean[]) AS made
),
streams AS (
    UPDATE stream
    SET size = changed.size, last_position = changed.last_position,
        closed = stream.closed OR changed.closes
    FROM guard, unnest($30::bigint[], $31::bigint[], $32::bigint[], $33::boolean[])
                AS changed (id, size, last_position, closes)
    WHERE stream.id = changed.id
),
keys AS (
    INSERT INTO append_key (tenant, key, content, first_position, last_position, recorded_at)
    SELECT kept.*
    FROM guard, unnest($34::bigint[], $35::text[], $36::bytea[], $37::bigint[], $38::bigint[],
                       $39::bigint[]) AS kept
)
SELECT pg_notify('dagbook_head', guard.position::text) FROM guard
