-- The index `stream_open` has only streams that nothing has closed. A cursor that nobody knows is
-- behind everything.
SELECT tenant.name, open.name
FROM (SELECT id, tenant, name
      FROM stream
      WHERE NOT closed
        AND kind = $1
        AND starts_with(name, $2)
        AND id > coalesce(
            (SELECT stream.id FROM stream
             WHERE tenant = (SELECT id FROM tenant WHERE name = $3::text) AND name = $4::text),
            CASE WHEN $3::text IS NULL THEN 0 ELSE 9223372036854775807 END)
      ORDER BY id
      LIMIT $5) AS open
JOIN tenant ON tenant.id = open.tenant
ORDER BY open.id
