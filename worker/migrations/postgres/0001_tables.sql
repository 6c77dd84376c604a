-- What users query: records, accounts, dead_letters, gaps. It grows, and nothing in it changes its meaning.
-- Texts that are compared or sorted by the pipeline are in byte order (COLLATE "C"), as revisions are.

-- The latest state of each record, and tombstones: rows whose record is NULL.
CREATE TABLE record_state (
    did        text COLLATE "C" NOT NULL,
    collection text COLLATE "C" NOT NULL,
    rkey       text COLLATE "C" NOT NULL,
    rev        text COLLATE "C" NOT NULL,
    cid        text COLLATE "C",
    record     jsonb,
    time_us    bigint      NOT NULL,
    indexed_at timestamptz NOT NULL,
    slice      text COLLATE "C" NOT NULL,
    partition  integer     NOT NULL,
    seq        bigint      NOT NULL,
    hydration  text        NOT NULL DEFAULT 'none',
    hydrated   jsonb,
    PRIMARY KEY (did, collection, rkey)
) WITH (fillfactor = 90);
CREATE INDEX record_state_time ON record_state (collection, time_us);
CREATE INDEX record_state_tombstones ON record_state (indexed_at) WHERE record IS NULL;

CREATE VIEW records AS
    SELECT did, collection, rkey, rev, cid, record, time_us, indexed_at, slice, partition, seq, hydration, hydrated
    FROM record_state WHERE record IS NOT NULL;

-- The record at an AT URI: at://did/collection/rkey.
CREATE FUNCTION record_at(uri text) RETURNS SETOF records LANGUAGE sql STABLE AS $$
    SELECT * FROM records
    WHERE uri LIKE 'at://%'
      AND did = split_part(uri, '/', 3) AND collection = split_part(uri, '/', 4) AND rkey = split_part(uri, '/', 5)
$$;

-- Shared by the slices: replaced only by a higher sequence.
CREATE TABLE accounts (
    did     text COLLATE "C" PRIMARY KEY,
    handle  text,
    active  boolean,
    status  text,
    time_us bigint NOT NULL,
    seq     bigint NOT NULL
);
CREATE INDEX accounts_handle ON accounts USING hash (handle);

CREATE TABLE dead_letters (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slice     text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    seq       bigint  NOT NULL,
    did       text COLLATE "C",
    reason    text    NOT NULL,
    detail    text    NOT NULL,
    payload   bytea   NOT NULL,
    time_us   bigint  NOT NULL,
    tries     integer NOT NULL DEFAULT 1,
    -- The revision that it bears, where it is a change of a record.
    rev       text COLLATE "C",
    -- When it was asked for again; the shard's owner takes it up.
    asked_at  timestamptz
);
CREATE INDEX dead_letters_did ON dead_letters (did) WHERE did IS NOT NULL;
CREATE INDEX dead_letters_asked ON dead_letters (slice, partition, seq) WHERE asked_at IS NOT NULL;

CREATE TABLE gaps (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    found_at timestamptz NOT NULL,
    host     text   NOT NULL,
    from_us  bigint NOT NULL,
    to_us    bigint,
    reason   text   NOT NULL
);

-- The catalog: what the pipeline is, who owns what, and where each sink is.

CREATE TABLE pipeline (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    name   text NOT NULL,
    slices text NOT NULL,
    -- The sinks beside the database, by the newest pipeline file, and which one that is.
    sinks            text[] NOT NULL DEFAULT '{}',
    sinks_generation bigint NOT NULL DEFAULT 0
);

-- One row for each (shard, sink). Epoch and position stand in one row: a commit is fenced by both.
CREATE TABLE positions (
    slice     text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    sink      text    NOT NULL,
    epoch     bigint  NOT NULL DEFAULT 0,
    owner     text,
    position  bigint  NOT NULL DEFAULT 0,
    number    bigint  NOT NULL DEFAULT 0,
    time_us   bigint,
    -- The source's position of the last event: what a log that was lost is read again from.
    host      text,
    cursor    bigint,
    source_id bytea,
    PRIMARY KEY (slice, partition, sink)
) WITH (fillfactor = 50);

-- What was committed, for each shard.
CREATE TABLE counters (
    slice        text COLLATE "C" NOT NULL,
    partition    integer NOT NULL,
    entries      bigint NOT NULL DEFAULT 0,
    commits      bigint NOT NULL DEFAULT 0,
    identities   bigint NOT NULL DEFAULT 0,
    accounts     bigint NOT NULL DEFAULT 0,
    syncs        bigint NOT NULL DEFAULT 0,
    dead_letters bigint NOT NULL DEFAULT 0,
    -- Dead letters that landed, or were found to be superseded, when they were sent again.
    redriven     bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (slice, partition)
) WITH (fillfactor = 50);

-- The lowest revision that counts, after a sync or a deleted account.
CREATE TABLE floors (
    slice     text COLLATE "C" NOT NULL,
    did       text COLLATE "C" NOT NULL,
    rev       text COLLATE "C" NOT NULL,
    inclusive boolean NOT NULL,
    -- Where the floor lets its own revision pass: the log sequence of the sync that set it.
    seq       bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (slice, did)
);
