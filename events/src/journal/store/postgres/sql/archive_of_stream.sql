-- Of all ranges with events of the stream the last one that does not begin behind the version.
SELECT archive.first_position, archive.end_position, archive.index_path, archive.index_hash,
       archive.leaves_hash
FROM (SELECT archive_stream.first_version, archive_stream.events, archive_stream.range
      FROM archive_stream
      WHERE archive_stream.stream = (
                SELECT stream.id FROM stream JOIN tenant ON tenant.id = stream.tenant
                WHERE tenant.name = $1 AND stream.name = $2)
        AND archive_stream.first_version <= $3
      ORDER BY archive_stream.first_version DESC
      LIMIT 1) AS part
JOIN archive ON archive.first_position = part.range
WHERE part.first_version + part.events > $3 AND archive.gone
