SELECT timeline, position, recorded_at,
       (SELECT coalesce(max(id), 0) FROM tenant),
       (SELECT coalesce(max(id), 0) FROM stream)
FROM head
