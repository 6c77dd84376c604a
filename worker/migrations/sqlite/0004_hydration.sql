-- Records that landed with less than their slice looks up, by the log sequence of their version: the oldest first.
CREATE TABLE hydration_queue (
    seq        INTEGER PRIMARY KEY,
    slice      TEXT    NOT NULL,
    partition  INTEGER NOT NULL,
    did        TEXT    NOT NULL,
    collection TEXT    NOT NULL,
    rkey       TEXT    NOT NULL,
    queued_us  INTEGER NOT NULL
);
