INSERT INTO shelf_counter (tenant, key, value) VALUES (?1, ?2, ?4 + ?3)
ON CONFLICT (tenant, key) DO UPDATE SET value = max(shelf_counter.value, ?4) + ?3
RETURNING value
