INSERT INTO stream (id, tenant, name) VALUES (?1, ?2, ?3)
