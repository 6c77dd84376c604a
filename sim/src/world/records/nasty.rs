//! Records that are hard to digest. All are JSON by the letter of RFC 8259; some no server would send, since none has
//! them in its data model (repeated keys, lone surrogates, numbers beyond 64 bits).

use super::{Scene, created_at, text};

/// What is nasty about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nasty {
    Nul,
    Deep,
    Huge,
    LoneSurrogate,
    BigNumber,
    RepeatedKey,
    Empty,
    OddKey,
    OddCollection,
    /// Created, deleted and created again at once.
    Quick,
    /// A delete of what never was.
    NeverWas,
}

/// All of them, with how often each is met. Huge ones are rare, since one weighs as much as 400 others.
pub(crate) const NASTIES: [(Nasty, f64); 11] = [
    (Nasty::Nul, 12.0),
    (Nasty::Deep, 6.0),
    (Nasty::Huge, 1.0),
    (Nasty::LoneSurrogate, 10.0),
    (Nasty::BigNumber, 10.0),
    (Nasty::RepeatedKey, 10.0),
    (Nasty::Empty, 10.0),
    (Nasty::OddKey, 14.0),
    (Nasty::OddCollection, 10.0),
    (Nasty::Quick, 10.0),
    (Nasty::NeverWas, 7.0),
];

/// How deep the deep ones are.
const DEPTH: usize = 500;
/// How many bytes of text the huge ones have.
const HUGE: usize = 200_000;

/// A post that is nasty in this way; an ordinary short one where the nastiness is not in the record.
pub(crate) fn post(scene: &mut Scene<'_>, nasty: Nasty) -> String {
    let created = created_at(scene);
    let extra = match nasty {
        Nasty::Empty => return String::from("{}"),
        Nasty::Nul => r#""text":"before\u0000after\u0000""#.into(),
        Nasty::Deep => format!(r#""deep":{}0{},"text":"deep""#, "[".repeat(DEPTH), "]".repeat(DEPTH)),
        Nasty::Huge => {
            let mut text = text::Text::plain(scene.dice, HUGE).text;
            text.truncate(text.floor_char_boundary(HUGE));
            format!(r#""text":{}"#, crate::json::quoted(&text))
        }
        Nasty::LoneSurrogate => r#""text":"\ud800 and \udfff\ud83e""#.into(),
        Nasty::BigNumber => r#""n":[123456789012345678901234567890,-1E400,1.5e-999,-0],"text":"big""#.into(),
        Nasty::RepeatedKey => r#""text":"first","text":"second""#.into(),
        _ => format!(r#""text":{}"#, text::quoted(scene.dice, 30)),
    };
    format!(r#"{{"$type":"app.bsky.feed.post","createdAt":"{created}",{extra}}}"#)
}

/// A record key that the syntax allows and nobody expects.
pub(crate) fn key(scene: &mut Scene<'_>, did: &str) -> String {
    match scene.dice.below(9) {
        0 => String::from(":"),
        1 => String::from("~"),
        2 => String::from("..."),
        3 => String::from("._"),
        4 => String::from("-"),
        5 => format!("{did}::did:web:stream.example"),
        6 => "k".repeat(512),
        7 => String::from("a.b:c~d_e-F"),
        _ => format!("~{}", scene.dice.below(1000)),
    }
}

/// A collection that the syntax allows and nobody expects.
pub(crate) fn collection(scene: &mut Scene<'_>) -> &'static str {
    scene.dice.pick(&[
        "a-0.b-1.c",
        "org.example.x9999999999999999999999999999999999999999999999999999999999999",
        "app.bsky.feed.postscript",
        "app.bsky.feed",
        "xn--bcher-kva.example.Record",
        "net.anisota.beta.game.session.with.many.parts.in.its.name",
    ])
}
