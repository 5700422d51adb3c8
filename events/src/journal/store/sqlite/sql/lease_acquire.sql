-- The epoch is the clock's time where that is more than the next number: a file that was put back
-- from a copy does not give out the same epoch to somebody else.
INSERT INTO lease (name, epoch, holder, expires_at) VALUES (?1, max(1, ?3), ?2, ?4)
ON CONFLICT (name) DO UPDATE
SET epoch = max(lease.epoch + 1, excluded.epoch), holder = excluded.holder, expires_at = excluded.expires_at
WHERE lease.expires_at <= ?3 OR lease.holder = excluded.holder
RETURNING epoch, holder, expires_at
