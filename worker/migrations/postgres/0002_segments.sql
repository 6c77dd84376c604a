-- The segments of the archive: each is one log range of one (shard, epoch) and one object.
--
-- intent: the object may be there, whole or in parts, and is nobody's yet. committed: the object is part of the archive,
-- and the archive's position is at or above its last sequence. burnt: the claim was lost before the commit; an empty file
-- lies over the key, so that nothing late takes its place, and goes with this row a day later.
CREATE TABLE segments (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slice      text COLLATE "C" NOT NULL,
    partition  integer     NOT NULL,
    epoch      bigint      NOT NULL,
    first_seq  bigint      NOT NULL,
    last_seq   bigint      NOT NULL,
    rows       bigint      NOT NULL,
    bytes      bigint      NOT NULL,
    checksum   text        NOT NULL,
    path       text COLLATE "C" NOT NULL UNIQUE,
    state      text        NOT NULL CHECK (state IN ('intent', 'committed', 'burnt')),
    changed_at timestamptz NOT NULL
);
CREATE INDEX segments_shard ON segments (slice, partition, first_seq, id);
CREATE INDEX segments_open ON segments (slice, partition) WHERE state = 'intent';
CREATE INDEX segments_burnt ON segments (changed_at) WHERE state = 'burnt';
