INSERT INTO event (position, tenant, tenant_sequence, stream, version, leaf_hash, leaf)
SELECT added.*
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[],
            $7::bytea[]) AS added
