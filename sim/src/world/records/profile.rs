//! `app.bsky.actor.profile`.

use super::{Scene, created_at, embed, text};

/// A profile.
pub(crate) fn profile(scene: &mut Scene<'_>) -> String {
    let mut fields = vec![String::from(r#""$type":"app.bsky.actor.profile""#)];
    if scene.dice.chance(0.9) {
        fields.push(format!(r#""avatar":{}"#, embed::blob(scene.dice, "image/jpeg", 900_000)));
    }
    if scene.dice.chance(0.6) {
        fields.push(format!(r#""banner":{}"#, embed::blob(scene.dice, "image/png", 900_000)));
    }
    fields.push(format!(r#""createdAt":"{}""#, created_at(scene)));
    if scene.dice.chance(0.8) {
        fields.push(format!(r#""description":{}"#, text::quoted(scene.dice, 110)));
    }
    fields.push(format!(r#""displayName":{}"#, text::quoted(scene.dice, 14)));
    if scene.dice.chance(0.1) {
        fields.push(format!(r#""pinnedPost":{}"#, scene.post().json()));
    }
    format!("{{{}}}", fields.join(","))
}
