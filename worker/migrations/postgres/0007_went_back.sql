-- A catalog that was restored from a backup does not know what the archive's store holds of the time since. The claim that
-- sees it writes down where the archive's position was then, and whoever claims after it still finds that: the store has
-- to be looked through before anything lands. `mended_at` is since when that is done; what a writer of before the restore
-- puts late is looked for until a day after. On the row of the checkpoint `went_back_to` is of the last claim only.
--
-- Segments that are taken up so are committed before the position reaches them: it follows as the log is read again.
ALTER TABLE positions ADD COLUMN went_back_to bigint, ADD COLUMN mended_at timestamptz;
