-- The epoch is the clock's time where that is more than the next number: a database that has gone
-- back to an older state does not give out the same epoch to somebody else.
-- Whoever takes a lease raises the generation of the head: what was decided under the old epoch
-- and is still on its way can then no longer be written.
WITH clock AS (
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now
),
taken AS (
    INSERT INTO lease (name, epoch, holder, expires_at)
    SELECT $1::text, greatest(1, clock.now), $2::text, clock.now + $3::bigint FROM clock
    ON CONFLICT (name) DO UPDATE
    SET epoch = greatest(lease.epoch + 1, excluded.epoch), holder = excluded.holder, expires_at = excluded.expires_at
    WHERE lease.expires_at <= excluded.expires_at - $3::bigint OR lease.holder = excluded.holder
    RETURNING epoch, holder, expires_at
),
raised AS (
    UPDATE head SET generation = generation + 1 WHERE one = 1 AND EXISTS (SELECT FROM taken)
)
SELECT true, epoch, holder, expires_at FROM taken
UNION ALL
SELECT false, epoch, holder, expires_at
FROM lease
WHERE name = $1::text AND NOT EXISTS (SELECT FROM taken)
