SELECT content, first_position, last_position, recorded_at
FROM append_key
WHERE tenant = ?1 AND key = ?2
