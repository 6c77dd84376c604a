//! The subject of an event in the enriched stream.
//!
//! | subject behind `tpe.<namespace>.<pipeline>.<slice>.<partition>` | of |
//! |---|---|
//! | `.<collection>`, with its dots | a commit whose collection is an NSID |
//! | `.commit` | a commit whose collection is none |
//! | `.identity`, `.account`, `.sync` | the other kinds |
//!
//! An NSID has three parts at least, and nothing in it that a subject can not bear, so no collection is taken for a word.

use turbo_core::event::{Body, Event};

/// The longest NSID, in characters.
const MAX_NSID: usize = 317;
/// The longest part of one.
const MAX_PART: usize = 63;

/// What the subject of an event ends with.
pub(super) fn of(event: &Event) -> &str {
    match &event.body {
        Body::Commit(commit) if is_nsid(&commit.collection) => &commit.collection,
        _ => event.kind().as_str(),
    }
}

/// Whether a text is an NSID (<https://atproto.com/specs/nsid>): three parts or more of letters, digits and hyphens, the
/// first not begun by a digit and the last without hyphens.
fn is_nsid(text: &str) -> bool {
    let mut parts = text.split('.');
    let (Some(first), Some(last)) = (parts.next(), parts.next_back()) else { return false };
    let mut middle = parts.peekable();
    let begins = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic());
    text.len() <= MAX_NSID
        && middle.peek().is_some()
        && is_label(first)
        && begins(first)
        && middle.all(is_label)
        && is_label(last)
        && begins(last)
        && !last.contains('-')
}

fn is_label(part: &str) -> bool {
    (1..=MAX_PART).contains(&part.len())
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !part.starts_with('-')
        && !part.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nsids_are_told_from_what_a_subject_can_not_bear() {
        let long = format!("a.{}.c", "b".repeat(63));
        for good in ["app.bsky.feed.post", "a.b.c", "a-0.b-1.c3", "xn--a.b.c", "a.0.b", "cn.8.lex.stuff", &long] {
            assert!(is_nsid(good), "{good}");
        }
        let too_long = format!("a.{}.c", "b".repeat(64));
        let parts = format!("a.{}c", "bbbbbbbbb.".repeat(32));
        for bad in [
            "",
            ".",
            "..",
            "...",
            "a",
            "a.b",
            "a..b",
            ".a.b.c",
            "a.b.c.",
            "0a.b.c",
            "a.b.3",
            "a.b.c-d",
            "a.-b.c",
            "a.b-.c",
            "a.*.c",
            "a.b.>",
            "a.b.c d",
            "a.b\u{0}.c",
            "a.b.ç",
            "a.b.c\r\nPUB x 0\r\n",
            "identity",
            &too_long,
            &parts,
        ] {
            assert!(!is_nsid(bad), "{bad:?}");
        }
    }
}
