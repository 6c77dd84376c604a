//! Records of other applications, whose lexicons nobody here knows.

use super::{Scene, created_at, text};

/// How the record's key is chosen.
pub(crate) enum Key {
    /// A new TID: always a create.
    Tid,
    /// `self`: a create, then updates.
    Own,
    /// `<did>::<server's did>`, as `place.stream.broadcast.origin` has it: a create, then updates.
    Pair,
}

/// A record of an unknown collection.
pub(crate) fn stranger(scene: &mut Scene<'_>, did: &str) -> (&'static str, Key, String) {
    match scene.dice.weighted([30.0, 25.0, 20.0, 15.0, 8.0, 2.0].into_iter()) {
        0 => ("place.stream.broadcast.origin", Key::Pair, origin(scene, did)),
        1 => ("fm.teal.alpha.actor.status", Key::Own, playing(scene)),
        2 => ("app.bsky.actor.status", Key::Own, live(scene)),
        3 => ("place.stream.chat.message", Key::Tid, said(scene)),
        4 => ("com.whtwnd.blog.entry", Key::Tid, article(scene, 700.0)),
        _ => ("com.whtwnd.blog.entry", Key::Tid, article(scene, 4_000.0)),
    }
}

/// The second half of the key of an origin.
pub(crate) const SERVER: &str = "did:web:prod-sea0.stream.place";

fn origin(scene: &mut Scene<'_>, did: &str) -> String {
    let created = created_at(scene);
    let escaped = did.replace(':', "%3A");
    let url = format!("wss://stream.example/xrpc/place.stream.live.subscribeSegments?streamer={escaped}");
    let parties = format!(r#""broadcaster":"did:web:stream.place","server":"{SERVER}","streamer":"{did}""#);
    format!(r#"{{"$type":"place.stream.broadcast.origin",{parties},"updatedAt":"{created}","websocketURL":"{url}"}}"#)
}

fn playing(scene: &mut Scene<'_>) -> String {
    let (created, artist, track) = (created_at(scene), text::quoted(scene.dice, 14), text::quoted(scene.dice, 22));
    let item = format!(r#"{{"artists":[{{"artistName":{artist}}}],"duration":{},"trackName":{track}}}"#, 212);
    format!(r#"{{"$type":"fm.teal.alpha.actor.status","item":{item},"time":"{created}"}}"#)
}

fn live(scene: &mut Scene<'_>) -> String {
    let (created, title) = (created_at(scene), text::quoted(scene.dice, 40));
    let external = format!(r#"{{"description":"live","title":{title},"uri":"https://live.example/a?b=1\u0026c=2"}}"#);
    let embed = format!(r#"{{"$type":"app.bsky.embed.external","external":{external}}}"#);
    let status = "app.bsky.actor.status#live";
    format!(r#"{{"$type":"app.bsky.actor.status","createdAt":"{created}","embed":{embed},"status":"{status}"}}"#)
}

fn said(scene: &mut Scene<'_>) -> String {
    let (created, said, streamer) = (created_at(scene), text::quoted(scene.dice, 50), scene.cast.any_did(scene.dice));
    format!(r#"{{"$type":"place.stream.chat.message","createdAt":"{created}","streamer":"{streamer}","text":{said}}}"#)
}

fn article(scene: &mut Scene<'_>, median: f64) -> String {
    let bytes = scene.dice.about(median, 0.5).min(4_800.0) as usize;
    let (content, created, title) = (text::quoted(scene.dice, bytes), created_at(scene), text::quoted(scene.dice, 40));
    format!(
        r#"{{"$type":"com.whtwnd.blog.entry","content":{content},"createdAt":"{created}","title":{title},"visibility":"public"}}"#
    )
}
