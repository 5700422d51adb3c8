UPDATE head SET timeline = ?1, position = ?2, recorded_at = ?3
