//! Posts.

use super::columns::{CREATED_AT, Column, Kind, Projection};
use crate::record::{Datum, QUOTES, Record, blob, name};
use serde_json::Value;

const EMBED: &str = "app.bsky.embed.";

pub(super) const POSTS: Projection = Projection {
    name: "posts",
    collection: "app.bsky.feed.post",
    uri: true,
    columns: &[
        CREATED_AT,
        Column { name: "text", kind: Kind::Text, what: "`text`", read: |record| record.text(&["text"]) },
        Column {
            name: "langs",
            kind: Kind::Texts,
            what: "`langs`: languages, as the client claims them",
            read: |record| record.names(&["langs"]),
        },
        Column {
            name: "reply_root_uri",
            kind: Kind::Name,
            what: "`reply.root.uri`: the first post of the thread",
            read: |record| record.name(&["reply", "root", "uri"]),
        },
        Column {
            name: "reply_parent_uri",
            kind: Kind::Name,
            what: "`reply.parent.uri`: the post that it answers",
            read: |record| record.name(&["reply", "parent", "uri"]),
        },
        Column {
            name: "embed_kind",
            kind: Kind::Name,
            what: "`embed.$type`, without `app.bsky.embed.`: `images`, `gallery`, `video`, `external`, `record`, \
                   `recordWithMedia`, or what others name",
            read: |record| match record.name(&["embed", "$type"]) {
                Datum::Text(kind) => Datum::Text(kind.strip_prefix(EMBED).map_or(kind.clone(), str::to_owned)),
                other => other,
            },
        },
        Column {
            name: "embed_uri",
            kind: Kind::Name,
            what: "`embed.external.uri` or `embed.media.external.uri`: the page that is shown as a card",
            read: |record| first(record, &[&["embed", "external", "uri"], &["embed", "media", "external", "uri"]]),
        },
        Column {
            name: "quote_uri",
            kind: Kind::Name,
            what: "`embed.record.uri` or `embed.record.record.uri`: the record that is quoted",
            read: |record| first(record, &QUOTES),
        },
        Column {
            name: "media_cids",
            kind: Kind::Texts,
            what: "content ids of the images or of the video; NULL without an embed",
            read: media,
        },
        Column {
            name: "mentions",
            kind: Kind::Texts,
            what: "DIDs in `facets`; NULL where `facets` is no list",
            read: |record| facets(record, "mention", "did"),
        },
        Column {
            name: "links",
            kind: Kind::Texts,
            what: "URIs in `facets`; NULL where `facets` is no list",
            read: |record| facets(record, "link", "uri"),
        },
        Column {
            name: "hashtags",
            kind: Kind::Texts,
            what: "tags in `facets`; NULL where `facets` is no list",
            read: |record| facets(record, "tag", "tag"),
        },
        Column {
            name: "tags",
            kind: Kind::Texts,
            what: "`tags`: tags beside the text",
            read: |record| record.names(&["tags"]),
        },
        Column {
            name: "labels",
            kind: Kind::Texts,
            what: "`labels.values[].val`: what the author says of it",
            read: Record::labels,
        },
    ],
    indexes: &[
        "USING hash (uri)",
        "(time_us)",
        "(reply_root_uri) WHERE reply_root_uri IS NOT NULL",
        "(reply_parent_uri) WHERE reply_parent_uri IS NOT NULL",
        "(quote_uri) WHERE quote_uri IS NOT NULL",
    ],
};

fn first(record: &Record, paths: &[&[&str]]) -> Datum {
    let mut found = paths.iter().map(|path| record.name(path));
    found.find(|datum| *datum != Datum::Null).unwrap_or(Datum::Null)
}

/// The values of one kind of feature, in the order of the text's facets.
fn facets(record: &Record, kind: &str, field: &str) -> Datum {
    record.facets(kind, field).map_or(Datum::Null, |values| Datum::Texts(values.filter_map(name).collect()))
}

fn media(record: &Record) -> Datum {
    if !record.at(&["embed"]).is_some_and(Value::is_object) {
        return Datum::Null;
    }
    let mut cids = Vec::new();
    for of in [&["embed"][..], &["embed", "media"]] {
        let list = |name| record.list(&[of, &[name]].concat());
        cids.extend(list("images").iter().chain(list("items")).filter_map(|image| blob(image.get("image")?)));
        cids.extend(record.at(&[of, &["video"]].concat()).and_then(blob));
    }
    Datum::Texts(cids)
}
