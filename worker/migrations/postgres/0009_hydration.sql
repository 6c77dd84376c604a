-- Records that landed with less than their slice looks up, by the log sequence of their version: the oldest first in each
-- shard. The owner of the shard completes them.
CREATE TABLE hydration_queue (
    slice      text COLLATE "C" NOT NULL,
    partition  integer     NOT NULL,
    seq        bigint      NOT NULL,
    did        text COLLATE "C" NOT NULL,
    collection text COLLATE "C" NOT NULL,
    rkey       text COLLATE "C" NOT NULL,
    queued_at  timestamptz NOT NULL,
    PRIMARY KEY (slice, partition, seq)
);
