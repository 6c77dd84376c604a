//! What accounts do to records and to each other: likes, reposts, follows, blocks.

use super::columns::{CREATED_AT, Projection, SUBJECT_CID, SUBJECT_DID, SUBJECT_OWNER, SUBJECT_URI, VIA_URI};

pub(super) const LIKES: Projection = Projection {
    name: "likes",
    collection: "app.bsky.feed.like",
    uri: false,
    columns: &[CREATED_AT, SUBJECT_URI, SUBJECT_OWNER, SUBJECT_CID, VIA_URI],
    indexes: &["(subject_uri)"],
};

pub(super) const REPOSTS: Projection = Projection {
    name: "reposts",
    collection: "app.bsky.feed.repost",
    uri: false,
    columns: &[CREATED_AT, SUBJECT_URI, SUBJECT_OWNER, SUBJECT_CID, VIA_URI],
    indexes: &["(subject_uri)"],
};

pub(super) const FOLLOWS: Projection = Projection {
    name: "follows",
    collection: "app.bsky.graph.follow",
    uri: false,
    columns: &[CREATED_AT, SUBJECT_DID],
    indexes: &["(subject_did)"],
};

pub(super) const BLOCKS: Projection = Projection {
    name: "blocks",
    collection: "app.bsky.graph.block",
    uri: false,
    columns: &[CREATED_AT, SUBJECT_DID],
    indexes: &["(subject_did)"],
};
