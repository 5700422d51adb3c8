SELECT archive.first_position, archive.end_position, archive.index_path, archive.index_hash,
       archive.leaves_hash
FROM archive
WHERE first_position >= $1
ORDER BY first_position
LIMIT $2
