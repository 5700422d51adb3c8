INSERT INTO lease (name, epoch, holder, expires_at) VALUES (?1, 1, ?2, ?4)
ON CONFLICT (name) DO UPDATE
SET epoch = lease.epoch + 1, holder = excluded.holder, expires_at = excluded.expires_at
WHERE lease.expires_at <= ?3 OR lease.holder = excluded.holder
RETURNING epoch, holder, expires_at
