//! The short records: likes, reposts, follows, blocks, lists and their items.

use super::{Scene, created_at, text};

/// `app.bsky.feed.like` or `app.bsky.feed.repost`; one in five came by somebody's repost.
pub(crate) fn reaction(scene: &mut Scene<'_>, collection: &str) -> String {
    let (created, subject) = (created_at(scene), scene.post().json());
    let via = match scene.dice.chance(0.2) {
        true => format!(r#","via":{}"#, scene.old("app.bsky.feed.repost").json()),
        false => String::new(),
    };
    format!(r#"{{"$type":"{collection}","createdAt":"{created}","subject":{subject}{via}}}"#)
}

/// `app.bsky.graph.follow` or `app.bsky.graph.block`.
pub(crate) fn towards(scene: &mut Scene<'_>, collection: &str) -> String {
    let (created, subject) = (created_at(scene), scene.cast.any_did(scene.dice));
    format!(r#"{{"$type":"{collection}","createdAt":"{created}","subject":"{subject}"}}"#)
}

/// `app.bsky.graph.list`.
pub(crate) fn list(scene: &mut Scene<'_>) -> String {
    let created = created_at(scene);
    let purpose = scene.dice.pick(&["curatelist", "modlist"]);
    let (description, name) = (text::quoted(scene.dice, 60), text::quoted(scene.dice, 12));
    let tail = format!(r#""name":{name},"purpose":"app.bsky.graph.defs#{purpose}""#);
    format!(r#"{{"$type":"app.bsky.graph.list","createdAt":"{created}","description":{description},{tail}}}"#)
}

/// `app.bsky.graph.listitem` on the list with this URI.
pub(crate) fn list_item(scene: &mut Scene<'_>, list: &str) -> String {
    let (created, subject) = (created_at(scene), scene.cast.any_did(scene.dice));
    let subject = format!(r#""list":"{list}","subject":"{subject}""#);
    format!(r#"{{"$type":"app.bsky.graph.listitem","createdAt":"{created}",{subject}}}"#)
}
