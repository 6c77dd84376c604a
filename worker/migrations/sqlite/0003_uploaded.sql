-- Whether a window's file is in the bucket too.
ALTER TABLE rotations ADD COLUMN uploaded INTEGER NOT NULL DEFAULT 0;
