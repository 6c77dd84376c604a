-- What users query: records, accounts, dead_letters. It grows, and nothing in it changes its meaning.

-- The latest state of each record, and tombstones: rows whose record is NULL.
CREATE TABLE record_state (
    did        TEXT    NOT NULL,
    collection TEXT    NOT NULL,
    rkey       TEXT    NOT NULL,
    rev        TEXT    NOT NULL,
    cid        TEXT,
    record     TEXT,
    time_us    INTEGER NOT NULL,
    indexed_at TEXT    NOT NULL,
    slice      TEXT    NOT NULL,
    partition  INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    hydration  TEXT    NOT NULL DEFAULT 'none',
    hydrated   TEXT
);
CREATE UNIQUE INDEX record_state_key ON record_state (did, collection, rkey);
CREATE INDEX record_state_time ON record_state (collection, time_us);
CREATE INDEX record_state_tombstones ON record_state (indexed_at) WHERE record IS NULL;

CREATE VIEW records AS
    SELECT did, collection, rkey, rev, cid, record, time_us, indexed_at, slice, partition, seq, hydration, hydrated
    FROM record_state WHERE record IS NOT NULL;

CREATE TABLE accounts (
    did     TEXT PRIMARY KEY,
    handle  TEXT,
    active  INTEGER,
    status  TEXT,
    time_us INTEGER NOT NULL,
    seq     INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE dead_letters (
    id        INTEGER PRIMARY KEY,
    slice     TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    seq       INTEGER NOT NULL,
    did       TEXT,
    reason    TEXT    NOT NULL,
    detail    TEXT    NOT NULL,
    payload   BLOB    NOT NULL,
    time_us   INTEGER NOT NULL,
    tries     INTEGER NOT NULL DEFAULT 1
);

-- The catalog: what the pipeline is, and where it is.

CREATE TABLE pipeline (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    name   TEXT    NOT NULL,
    slices TEXT    NOT NULL,
    seq    INTEGER NOT NULL DEFAULT 0,
    host   TEXT,
    cursor INTEGER,
    source_time_us INTEGER,
    source_id BLOB
);

CREATE TABLE shards (
    slice        TEXT    NOT NULL,
    partition    INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    position     INTEGER NOT NULL DEFAULT 0,
    time_us      INTEGER,
    entries      INTEGER NOT NULL DEFAULT 0,
    commits      INTEGER NOT NULL DEFAULT 0,
    identities   INTEGER NOT NULL DEFAULT 0,
    accounts     INTEGER NOT NULL DEFAULT 0,
    syncs        INTEGER NOT NULL DEFAULT 0,
    dead_letters INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (slice, partition)
) WITHOUT ROWID;

-- What the dedup window remembers; one row for each commit.
CREATE TABLE dedup (
    seq       INTEGER PRIMARY KEY,
    newest_us INTEGER NOT NULL,
    marks     BLOB    NOT NULL
);
CREATE INDEX dedup_newest ON dedup (newest_us);

-- The lowest revision that counts, after a sync or a deleted account.
CREATE TABLE floors (
    slice     TEXT    NOT NULL,
    did       TEXT    NOT NULL,
    rev       TEXT    NOT NULL,
    inclusive INTEGER NOT NULL,
    PRIMARY KEY (slice, did)
) WITHOUT ROWID;

CREATE TABLE gaps (
    id       INTEGER PRIMARY KEY,
    found_at TEXT    NOT NULL,
    host     TEXT    NOT NULL,
    from_us  INTEGER NOT NULL,
    to_us    INTEGER,
    reason   TEXT    NOT NULL
);

-- The archive: segments, and what waits in them until they are committed.

CREATE TABLE segments (
    id        INTEGER PRIMARY KEY,
    slice     TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    epoch     INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    hour      INTEGER NOT NULL,
    opened_us INTEGER NOT NULL,
    state     TEXT    NOT NULL CHECK (state IN ('open', 'intent', 'committed')),
    path      TEXT    UNIQUE,
    rows      INTEGER NOT NULL DEFAULT 0,
    bytes     INTEGER NOT NULL DEFAULT 0,
    checksum  TEXT
);
CREATE INDEX segments_pending ON segments (state) WHERE state <> 'committed';

CREATE TABLE waiting (
    id        INTEGER PRIMARY KEY,
    segment   INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER NOT NULL,
    rows      INTEGER NOT NULL,
    chunk     BLOB    NOT NULL
);
CREATE INDEX waiting_segment ON waiting (segment, id);

-- Windows of the rotation: the one that is open, and those that were cut off.
CREATE TABLE rotations (
    id        INTEGER PRIMARY KEY,
    begun_us  INTEGER NOT NULL,
    ended_us  INTEGER,
    first_seq INTEGER NOT NULL,
    last_seq  INTEGER,
    state     TEXT    NOT NULL CHECK (state IN ('open', 'intent', 'committed', 'removed')),
    path      TEXT    UNIQUE,
    rows      INTEGER
);
