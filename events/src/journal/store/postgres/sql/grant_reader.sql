-- What a reader may do: auditors, replays, reports.
GRANT USAGE ON SCHEMA :schema TO :role;
REVOKE ALL ON event, event_partition, head, tenant, stream, append_key, lease FROM :role;
GRANT SELECT ON event, event_partition, head, tenant, stream, append_key, lease TO :role;
GRANT SELECT ON refinery_schema_history TO :role;
