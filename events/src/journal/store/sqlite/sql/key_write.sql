INSERT INTO append_key (tenant, key, content, first_position, last_position, recorded_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6)
