-- Until when the source was had of a host at the end of the log's generation before this one, by the host's own time: what it
-- numbers anew later bears small numbers too, and is new.
ALTER TABLE positions ADD COLUMN had_time_us bigint;
