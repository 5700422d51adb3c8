-- What a reader may do: auditors, replays, reports. The shelf is no part of the record.
GRANT USAGE ON SCHEMA :schema TO :role;
REVOKE ALL ON event, event_partition, head, tenant, stream, append_key, lease, shelf, shelf_counter,
    archive, archive_stream, archive_log FROM :role;
GRANT SELECT ON event, event_partition, head, tenant, stream, append_key, lease,
    archive, archive_stream, archive_log TO :role;
GRANT SELECT ON refinery_schema_history TO :role;
