//! `app.bsky.feed.post` and the gates that go with it.

use super::text::Text;
use super::{Scene, created_at, embed};
use crate::json::quoted;

/// A post.
pub(crate) fn post(scene: &mut Scene<'_>) -> String {
    let reply = scene.dice.chance(0.46);
    let mut text = body(scene, if reply { 54.0 } else { 72.0 });
    let embed = embed_of(scene, reply, &mut text);
    let reply = if reply { reply_of(scene) } else { String::new() };
    let (facets, langs) = (text.facets_field(), langs(scene, &text));
    let (created, text) = (created_at(scene), quoted(&text.text));
    format!(r#"{{"$type":"app.bsky.feed.post","createdAt":"{created}",{embed}{facets}{langs}{reply}"text":{text}}}"#)
}

fn body(scene: &mut Scene<'_>, median: f64) -> Text {
    // The lexicon allows 300 graphemes, marks included.
    let letters = scene.dice.about(median, 1.2) as usize;
    let mut text = Text::plain(scene.dice, letters.min(225));
    if scene.dice.chance(0.08) {
        let did = scene.cast.any_did(scene.dice);
        text.mark("@friend.sim.example", "mention", "did", &did);
    }
    if scene.dice.chance(0.10) {
        for _ in 0..scene.dice.between(1, 4) {
            let tag = scene.dice.pick(&["art", "写真", "été", "news", "музыка", "sunday"]);
            text.mark(&format!("#{tag}"), "tag", "tag", tag);
        }
    }
    text
}

fn embed_of(scene: &mut Scene<'_>, reply: bool, text: &mut Text) -> String {
    let bare = if reply { 230.0 } else { 50.0 };
    let embed = match scene.dice.weighted([bare, 18.0, 22.0, 12.0, 4.0, 2.0].into_iter()) {
        0 => return String::new(),
        1 => {
            let uri = format!("https://news.example/{:x}?a=1&b=2", scene.dice.bits());
            if scene.dice.chance(0.5) {
                text.mark("news.example/…", "link", "uri", &uri);
            }
            embed::external(scene.dice, &uri)
        }
        2 => embed::images(scene.dice),
        3 => embed::record(&scene.post()),
        4 => embed::video(scene.dice),
        _ => {
            let quoted = scene.post();
            embed::record_with_media(scene.dice, &quoted)
        }
    };
    format!(r#""embed":{embed},"#)
}

fn reply_of(scene: &mut Scene<'_>) -> String {
    let parent = scene.post();
    let root = if scene.dice.chance(0.55) { parent.clone() } else { scene.post() };
    format!(r#""reply":{{"parent":{},"root":{}}},"#, parent.json(), root.json())
}

fn langs(scene: &mut Scene<'_>, text: &Text) -> String {
    match scene.dice.unit() {
        roll if roll < 0.90 => format!(r#""langs":["{}"],"#, text.tag),
        roll if roll < 0.94 => format!(r#""langs":["{}","en-GB"],"#, text.tag),
        _ => String::new(),
    }
}

/// `app.bsky.feed.threadgate` of the post with this URI; its key is that of the post.
pub(crate) fn threadgate(scene: &mut Scene<'_>, post: &str) -> String {
    let created = created_at(scene);
    let allow = scene.dice.pick(&["followerRule", "followingRule", "mentionRule"]);
    let allow = format!(r#"[{{"$type":"app.bsky.feed.threadgate#{allow}"}}]"#);
    format!(r#"{{"$type":"app.bsky.feed.threadgate","allow":{allow},"createdAt":"{created}","post":"{post}"}}"#)
}

/// `app.bsky.feed.postgate` of the post with this URI; its key is that of the post.
pub(crate) fn postgate(scene: &mut Scene<'_>, post: &str) -> String {
    let created = created_at(scene);
    let rules = r#""detachedEmbeddingUris":[],"embeddingRules":[{"$type":"app.bsky.feed.postgate#disableRule"}]"#;
    format!(r#"{{"$type":"app.bsky.feed.postgate","createdAt":"{created}",{rules},"post":"{post}"}}"#)
}
