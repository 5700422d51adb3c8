-- What the server's own role may do: add events and count them, never change one.
GRANT USAGE ON SCHEMA :schema TO :role;
REVOKE ALL ON event, event_partition, head, tenant, stream, append_key, lease, shelf, shelf_counter,
    archive, archive_stream, archive_log FROM :role;
GRANT SELECT, INSERT ON event TO :role;
GRANT SELECT, UPDATE ON head TO :role;
GRANT SELECT, INSERT, UPDATE ON tenant, stream, lease TO :role;
GRANT SELECT, INSERT ON append_key TO :role;
GRANT SELECT, INSERT, UPDATE, DELETE ON shelf, shelf_counter TO :role;
GRANT SELECT, INSERT ON archive, archive_stream, archive_log TO :role;
-- Drops a partition only where all of it was found in the archive.
GRANT EXECUTE ON FUNCTION archive_let_go(bigint, bigint) TO :role;
GRANT EXECUTE ON FUNCTION append_keys_forget(bigint, bigint) TO :role;
GRANT SELECT ON event_partition, refinery_schema_history TO :role;
GRANT EXECUTE ON FUNCTION event_partitions_ahead(bigint, integer) TO :role;
