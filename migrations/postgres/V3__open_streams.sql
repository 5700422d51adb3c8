-- Which streams no event has closed. Kept with each append, because finding it out would need
-- a look at every history.
ALTER TABLE stream ADD COLUMN closed boolean NOT NULL DEFAULT false;

-- The type stands at the end of a leaf, before its format, so that nothing need be parsed.
UPDATE stream
SET closed = true
WHERE kind = 'run'
  AND EXISTS (SELECT FROM event
              WHERE event.stream = stream.id
                AND event.position BETWEEN stream.first_position AND stream.last_position
                AND substr(event.leaf, length(event.leaf) - 26)
                    = convert_to(',"ty":"run.finished","v":1}', 'UTF8'));

CREATE INDEX stream_open ON stream (kind, id) WHERE NOT closed;
