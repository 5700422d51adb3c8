SELECT timeline, position, recorded_at FROM head WHERE one = 1
