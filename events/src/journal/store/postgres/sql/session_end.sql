-- The instant of its start tells a session from a later one that was given the same number.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE pid = $1 AND extract(epoch FROM backend_start)::text = $2
