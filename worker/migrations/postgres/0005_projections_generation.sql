-- The generation of the pipeline file that switched the projections: an older one leaves them alone.
ALTER TABLE pipeline ADD COLUMN projections_generation bigint NOT NULL DEFAULT 0;
