SELECT timeline, position, recorded_at FROM head
