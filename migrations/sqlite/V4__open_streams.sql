-- Which streams no event has closed. Kept with each append, because finding it out would need
-- a look at every history.
ALTER TABLE stream ADD COLUMN closed INTEGER NOT NULL DEFAULT 0 CHECK (closed IN (0, 1));

-- The type stands at the end of a leaf, before its format, so that nothing need be parsed.
UPDATE stream
SET closed = 1
WHERE kind = 'run'
  AND EXISTS (SELECT 1 FROM event
              WHERE event.stream = stream.id
                AND substr(event.leaf, -27) = CAST(',"ty":"run.finished","v":1}' AS BLOB));

CREATE INDEX stream_open ON stream (kind, id) WHERE closed = 0;
