-- The head stays here: whoever asks for what is behind it is then never told of a gap.
SELECT oldest.first_position, oldest.end_position
FROM (SELECT first_position, end_position FROM event_partition
      ORDER BY first_position LIMIT 1) AS oldest
WHERE oldest.end_position <= (SELECT position FROM head)
