INSERT INTO event (position, tenant, tenant_sequence, stream, version, leaf_hash, leaf)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
