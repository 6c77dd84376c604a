//! Profiles.

use super::columns::{CREATED_AT, Column, Kind, Projection};
use crate::record::Record;

pub(super) const PROFILES: Projection = Projection {
    name: "profiles",
    collection: "app.bsky.actor.profile",
    uri: false,
    columns: &[
        CREATED_AT,
        Column {
            name: "display_name",
            kind: Kind::Text,
            what: "`displayName`",
            read: |record| record.text(&["displayName"]),
        },
        Column {
            name: "description",
            kind: Kind::Text,
            what: "`description`",
            read: |record| record.text(&["description"]),
        },
        Column { name: "pronouns", kind: Kind::Text, what: "`pronouns`", read: |record| record.text(&["pronouns"]) },
        Column { name: "website", kind: Kind::Text, what: "`website`", read: |record| record.text(&["website"]) },
        Column {
            name: "avatar_cid",
            kind: Kind::Name,
            what: "content id of `avatar`",
            read: |record| record.blob(&["avatar"]),
        },
        Column {
            name: "banner_cid",
            kind: Kind::Name,
            what: "content id of `banner`",
            read: |record| record.blob(&["banner"]),
        },
        Column {
            name: "pinned_post_uri",
            kind: Kind::Name,
            what: "`pinnedPost.uri`",
            read: |record| record.name(&["pinnedPost", "uri"]),
        },
        Column {
            name: "starter_pack_uri",
            kind: Kind::Name,
            what: "`joinedViaStarterPack.uri`",
            read: |record| record.name(&["joinedViaStarterPack", "uri"]),
        },
        Column { name: "labels", kind: Kind::Texts, what: "`labels.values[].val`", read: Record::labels },
    ],
    indexes: &[],
};
