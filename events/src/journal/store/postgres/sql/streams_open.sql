-- As `streams_open_of_kind`, over all kinds.
WITH cursor AS (
    SELECT kind, id FROM stream
    WHERE tenant = (SELECT id FROM tenant WHERE name = $2::text) AND name = $3::text
)
SELECT tenant.name, open.name
FROM (SELECT id, tenant, name, kind
      FROM stream
      WHERE NOT closed
        AND starts_with(name, $1)
        AND ($2::text IS NULL
             OR (kind, id) > ((SELECT kind FROM cursor), (SELECT id FROM cursor)))
      ORDER BY kind, id
      LIMIT $4) AS open
JOIN tenant ON tenant.id = open.tenant
ORDER BY open.kind, open.id
