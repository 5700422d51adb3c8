COPY event (position, tenant, tenant_sequence, stream, version, leaf_hash, leaf)
FROM STDIN (FORMAT binary)
