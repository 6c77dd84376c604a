-- The source's position at the end of the log's generation before this one: what a log that was begun anew brings again.
ALTER TABLE positions ADD COLUMN had_host text, ADD COLUMN had_cursor bigint;
