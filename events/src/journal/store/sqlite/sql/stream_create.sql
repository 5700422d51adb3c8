INSERT INTO stream (tenant, name) VALUES (?1, ?2)
