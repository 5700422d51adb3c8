SELECT timeline, position, recorded_at,
       coalesce((SELECT max(end_position) - 1 FROM event_partition), 0)
FROM head
