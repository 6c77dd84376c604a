//! Lists of accounts, and who is on them.

use super::columns::{CREATED_AT, Column, Kind, Projection, SUBJECT_DID};
use crate::record::Record;

pub(super) const LISTS: Projection = Projection {
    name: "lists",
    collection: "app.bsky.graph.list",
    uri: true,
    columns: &[
        CREATED_AT,
        Column {
            name: "purpose",
            kind: Kind::Name,
            what: "`purpose`: `app.bsky.graph.defs#modlist`, `…#curatelist`, `…#referencelist`",
            read: |record| record.name(&["purpose"]),
        },
        Column { name: "name", kind: Kind::Text, what: "`name`", read: |record| record.text(&["name"]) },
        Column {
            name: "description",
            kind: Kind::Text,
            what: "`description`",
            read: |record| record.text(&["description"]),
        },
        Column {
            name: "avatar_cid",
            kind: Kind::Name,
            what: "content id of `avatar`",
            read: |record| record.blob(&["avatar"]),
        },
        Column { name: "labels", kind: Kind::Texts, what: "`labels.values[].val`", read: Record::labels },
    ],
    indexes: &["USING hash (uri)"],
};

pub(super) const LIST_ITEMS: Projection = Projection {
    name: "list_items",
    collection: "app.bsky.graph.listitem",
    uri: false,
    columns: &[
        CREATED_AT,
        SUBJECT_DID,
        Column {
            name: "list_uri",
            kind: Kind::Name,
            what: "`list`: the list that it is on",
            read: |record| record.name(&["list"]),
        },
    ],
    indexes: &["(list_uri)", "(subject_did)"],
};
