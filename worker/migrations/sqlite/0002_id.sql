-- What tells this file from every other one: an archive belongs to one file, since names of objects begin anew in another.
ALTER TABLE pipeline ADD COLUMN id TEXT;
