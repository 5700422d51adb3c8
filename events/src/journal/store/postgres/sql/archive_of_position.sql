SELECT archive.first_position, archive.end_position, archive.index_path, archive.index_hash,
       archive.leaves_hash
FROM archive
WHERE first_position <= $1 AND end_position > $1 AND gone
ORDER BY first_position DESC
LIMIT 1
