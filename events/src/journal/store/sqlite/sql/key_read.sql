SELECT content, first_position, last_position, recorded_at
FROM append_key
WHERE tenant = (SELECT id FROM tenant WHERE name = ?1) AND key = ?2
