-- Whether rows of records that are gone were looked for, behind the older records: a worker of an older pipeline file removes
-- none from a projection that it does not know. Those that were filled before are looked through once.
ALTER TABLE projections ADD COLUMN swept boolean NOT NULL DEFAULT false;
UPDATE projections SET did = '', rkey = '' WHERE done;
