-- The name of this very catalog: what is written at an archive's store, since the names of objects are unique for one
-- catalog only. A catalog that is made anew is another; one that is restored from a backup is the same.
ALTER TABLE pipeline ADD COLUMN catalog uuid NOT NULL DEFAULT gen_random_uuid();
