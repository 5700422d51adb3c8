-- A range with all by which it is looked up; nothing, where it is kept already.
WITH kept AS (
    INSERT INTO archive (first_position, end_position, index_path, index_hash, leaves_hash)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (first_position) DO NOTHING
    RETURNING first_position
),
streams AS (
    INSERT INTO archive_stream (stream, first_version, events, range)
    SELECT stream.id, part.first_version, part.events, kept.first_position
    FROM kept, unnest($6::text[], $7::text[], $8::bigint[], $9::bigint[])
               AS part (tenant, stream, first_version, events)
    JOIN tenant ON tenant.name = part.tenant
    JOIN stream ON stream.tenant = tenant.id AND stream.name = part.stream
    RETURNING 1
),
logs AS (
    INSERT INTO archive_log (tenant, first_leaf, leaves, range)
    SELECT tenant.id, part.first_leaf, part.leaves, kept.first_position
    FROM kept, unnest($10::text[], $11::bigint[], $12::bigint[])
               AS part (tenant, first_leaf, leaves)
    JOIN tenant ON tenant.name = part.tenant
    RETURNING 1
)
SELECT (SELECT count(*) FROM kept), (SELECT count(*) FROM streams), (SELECT count(*) FROM logs)
