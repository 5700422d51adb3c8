-- What a role may do to events beside reading and adding them: through rights of its own, of
-- roles that it is a member of, as the owner, or as a superuser.
SELECT has_table_privilege($1, 'event', 'UPDATE'),
       has_table_privilege($1, 'event', 'DELETE'),
       has_table_privilege($1, 'event', 'TRUNCATE'),
       pg_has_role($1, (SELECT relowner FROM pg_class WHERE oid = 'event'::regclass), 'USAGE'),
       has_table_privilege($1, 'event', 'INSERT') AND has_table_privilege($1, 'head', 'UPDATE')
