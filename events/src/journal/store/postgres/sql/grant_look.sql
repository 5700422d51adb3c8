-- Whether the role exists, whether it is above all rights, and the schema of the record.
SELECT rolsuper, current_schema() FROM pg_roles WHERE rolname = $1
