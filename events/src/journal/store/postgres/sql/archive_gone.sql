SELECT coalesce(max(end_position), 1) FROM archive WHERE gone
