-- Typed tables of the common collections. Made from the code: worker/src/sinks/postgres/projections.

-- Projections that are on, and how far older records were taken into them.
CREATE TABLE projections (
    name    text PRIMARY KEY,
    since   timestamptz NOT NULL DEFAULT now(),
    time_us bigint NOT NULL DEFAULT -9223372036854775808,
    did     text COLLATE "C" NOT NULL DEFAULT '',
    rkey    text COLLATE "C" NOT NULL DEFAULT '',
    done    boolean NOT NULL DEFAULT false
);

-- app.bsky.feed.post
CREATE TABLE posts (
    did text COLLATE "C" NOT NULL,
    rkey text COLLATE "C" NOT NULL,
    rev text COLLATE "C" NOT NULL,
    cid text COLLATE "C",
    time_us bigint NOT NULL,
    seq bigint NOT NULL,
    uri text COLLATE "C" GENERATED ALWAYS AS ('at://' || did || '/app.bsky.feed.post/' || rkey) STORED,
    created_at timestamptz,
    text text,
    langs text[],
    reply_root_uri text COLLATE "C",
    reply_parent_uri text COLLATE "C",
    embed_kind text COLLATE "C",
    embed_uri text COLLATE "C",
    quote_uri text COLLATE "C",
    media_cids text[],
    mentions text[],
    links text[],
    hashtags text[],
    tags text[],
    labels text[],
    PRIMARY KEY (did, rkey)
);
CREATE INDEX ON posts USING hash (uri);
CREATE INDEX ON posts (time_us);
CREATE INDEX ON posts (reply_root_uri) WHERE reply_root_uri IS NOT NULL;
CREATE INDEX ON posts (reply_parent_uri) WHERE reply_parent_uri IS NOT NULL;
CREATE INDEX ON posts (quote_uri) WHERE quote_uri IS NOT NULL;

-- app.bsky.feed.like
CREATE TABLE likes (
    did text COLLATE "C" NOT NULL,
    rkey text COLLATE "C" NOT NULL,
    rev text COLLATE "C" NOT NULL,
    cid text COLLATE "C",
    time_us bigint NOT NULL,
    seq bigint NOT NULL,
    created_at timestamptz,
    subject_uri text COLLATE "C",
    subject_did text COLLATE "C",
    subject_cid text COLLATE "C",
    via_uri text COLLATE "C",
    PRIMARY KEY (did, rkey)
);
CREATE INDEX ON likes (subject_uri);

-- app.bsky.feed.repost
CREATE TABLE reposts (
    did text COLLATE "C" NOT NULL,
    rkey text COLLATE "C" NOT NULL,
    rev text COLLATE "C" NOT NULL,
    cid text COLLATE "C",
    time_us bigint NOT NULL,
    seq bigint NOT NULL,
    created_at timestamptz,
    subject_uri text COLLATE "C",
    subject_did text COLLATE "C",
    subject_cid text COLLATE "C",
    via_uri text COLLATE "C",
    PRIMARY KEY (did, rkey)
);
CREATE INDEX ON reposts (subject_uri);

-- app.bsky.graph.follow
CREATE TABLE follows (
    did text COLLATE "C" NOT NULL,
    rkey text COLLATE "C" NOT NULL,
    rev text COLLATE "C" NOT NULL,
    cid text COLLATE "C",
    time_us bigint NOT NULL,
    seq bigint NOT NULL,
    created_at timestamptz,
    subject_did text COLLATE "C",
    PRIMARY KEY (did, rkey)
);
CREATE INDEX ON follows (subject_did);

-- app.bsky.graph.block
CREATE TABLE blocks (
    did text COLLATE "C" NOT NULL,
    rkey text COLLATE "C" NOT NULL,
    rev text COLLATE "C" NOT NULL,
    cid text COLLATE "C",
    time_us bigint NOT NULL,
    seq bigint NOT NULL,
    created_at timestamptz,
    subject_did text COLLATE "C",
    PRIMARY KEY (did, rkey)
);
CREATE INDEX ON blocks (subject_did);

-- app.bsky.graph.list
CREATE TABLE lists (
    did text COLLATE "C" NOT NULL,
    rkey text COLLATE "C" NOT NULL,
    rev text COLLATE "C" NOT NULL,
    cid text COLLATE "C",
    time_us bigint NOT NULL,
    seq bigint NOT NULL,
    uri text COLLATE "C" GENERATED ALWAYS AS ('at://' || did || '/app.bsky.graph.list/' || rkey) STORED,
    created_at timestamptz,
    purpose text COLLATE "C",
    name text,
    description text,
    avatar_cid text COLLATE "C",
    labels text[],
    PRIMARY KEY (did, rkey)
);
CREATE INDEX ON lists USING hash (uri);

-- app.bsky.graph.listitem
CREATE TABLE list_items (
    did text COLLATE "C" NOT NULL,
    rkey text COLLATE "C" NOT NULL,
    rev text COLLATE "C" NOT NULL,
    cid text COLLATE "C",
    time_us bigint NOT NULL,
    seq bigint NOT NULL,
    created_at timestamptz,
    subject_did text COLLATE "C",
    list_uri text COLLATE "C",
    PRIMARY KEY (did, rkey)
);
CREATE INDEX ON list_items (list_uri);
CREATE INDEX ON list_items (subject_did);

-- app.bsky.actor.profile
CREATE TABLE profiles (
    did text COLLATE "C" NOT NULL,
    rkey text COLLATE "C" NOT NULL,
    rev text COLLATE "C" NOT NULL,
    cid text COLLATE "C",
    time_us bigint NOT NULL,
    seq bigint NOT NULL,
    created_at timestamptz,
    display_name text,
    description text,
    pronouns text,
    website text,
    avatar_cid text COLLATE "C",
    banner_cid text COLLATE "C",
    pinned_post_uri text COLLATE "C",
    starter_pack_uri text COLLATE "C",
    labels text[],
    PRIMARY KEY (did, rkey)
);
