-- Held by the session, so that it outlives the transaction of each migration.
SELECT pg_advisory_lock($1)
