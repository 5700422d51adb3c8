SELECT count(*) FROM refinery_schema_history;
