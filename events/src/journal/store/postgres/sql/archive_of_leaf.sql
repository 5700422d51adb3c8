SELECT archive.first_position, archive.end_position, archive.index_path, archive.index_hash,
       archive.leaves_hash
FROM (SELECT archive_log.first_leaf, archive_log.leaves, archive_log.range
      FROM archive_log
      WHERE archive_log.tenant = (SELECT id FROM tenant WHERE name = $1)
        AND archive_log.first_leaf <= $2
      ORDER BY archive_log.first_leaf DESC
      LIMIT 1) AS part
JOIN archive ON archive.first_position = part.range
WHERE part.first_leaf + part.leaves > $2 AND archive.gone
