//! Embeds of posts: `app.bsky.embed.*`.

use super::text;
use crate::world::cid;
use crate::world::dice::Dice;
use crate::world::subjects::Ref;

/// A blob as the data model has it.
pub(crate) fn blob(dice: &mut Dice, mime: &str, most: i64) -> String {
    let (cid, size) = (cid::of_blob(dice.bits()), dice.between(9_000, most));
    format!(r#"{{"$type":"blob","mimeType":"{mime}","ref":{{"$link":"{cid}"}},"size":{size}}}"#)
}

fn aspect(dice: &mut Dice) -> String {
    format!(r#"{{"height":{},"width":{}}}"#, dice.between(300, 2000), dice.between(300, 2000))
}

/// One to four images.
pub(crate) fn images(dice: &mut Dice) -> String {
    let count = 1 + dice.weighted([55.0, 15.0, 10.0, 20.0].into_iter());
    let images: Vec<String> = (0..count).map(|_| image(dice)).collect();
    format!(r#"{{"$type":"app.bsky.embed.images","images":[{}]}}"#, images.join(","))
}

fn image(dice: &mut Dice) -> String {
    let letters = if dice.chance(0.4) { dice.about(90.0, 0.7) } else { 0.0 };
    let alt = text::quoted(dice, letters as usize);
    let (ratio, blob) = (aspect(dice), blob(dice, "image/jpeg", 1_000_000));
    format!(r#"{{"alt":{alt},"aspectRatio":{ratio},"image":{blob}}}"#)
}

/// A link with its card.
pub(crate) fn external(dice: &mut Dice, uri: &str) -> String {
    let length = dice.between(0, 300) as usize;
    let (description, title) = (text::quoted(dice, length), text::quoted(dice, 45));
    let thumb = match dice.chance(0.7) {
        true => format!(r#""thumb":{},"#, blob(dice, "image/jpeg", 900_000)),
        false => String::new(),
    };
    let uri = crate::json::quoted(uri);
    let external = format!(r#"{{"description":{description},{thumb}"title":{title},"uri":{uri}}}"#);
    format!(r#"{{"$type":"app.bsky.embed.external","external":{external}}}"#)
}

/// A quoted record.
pub(crate) fn record(subject: &Ref) -> String {
    format!(r#"{{"$type":"app.bsky.embed.record","record":{}}}"#, subject.json())
}

/// A quoted record beside images.
pub(crate) fn record_with_media(dice: &mut Dice, subject: &Ref) -> String {
    let (media, record) = (images(dice), record(subject));
    format!(r#"{{"$type":"app.bsky.embed.recordWithMedia","media":{media},"record":{record}}}"#)
}

/// A video.
pub(crate) fn video(dice: &mut Dice) -> String {
    let (ratio, video) = (aspect(dice), blob(dice, "video/mp4", 40_000_000));
    format!(r#"{{"$type":"app.bsky.embed.video","alt":"","aspectRatio":{ratio},"video":{video}}}"#)
}
