-- What is wide is compressed by LZ4 where the server has it: several times as fast as its own method, and about as small. Rows
-- that are there stay as they are.
-- A query or a backup that runs for long would hold it, and it all commits: it is tried again.
SET LOCAL lock_timeout = '3s';
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        ALTER TABLE record_state ALTER COLUMN record SET COMPRESSION lz4, ALTER COLUMN hydrated SET COMPRESSION lz4;
    END IF;
END $$;
