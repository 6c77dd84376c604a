//! Names as <https://atproto.com/specs/did> and <https://atproto.com/specs/nsid> allow them.

/// Whether this is a DID.
pub(crate) fn is_did(text: &str) -> bool {
    let Some((method, rest)) = text.strip_prefix("did:").and_then(|rest| rest.split_once(':')) else { return false };
    let last = rest.bytes().next_back();
    text.len() <= 2048
        && !method.is_empty()
        && method.bytes().all(|byte| byte.is_ascii_lowercase())
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:%-".contains(&byte))
        && last.is_some_and(|byte| byte != b':' && byte != b'%')
}

/// Whether this is an NSID.
pub(crate) fn is_nsid(text: &str) -> bool {
    let mut labels: Vec<&str> = text.split('.').collect();
    let name = labels.pop().unwrap_or_default();
    text.len() <= 317
        && labels.len() >= 2
        && labels.iter().all(|label| is_label(label))
        && labels[0].starts_with(|letter: char| letter.is_ascii_alphabetic())
        && name.len() <= 63
        && name.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{What, World, WorldConfig};

    #[test]
    fn names_are_told_from_others() {
        for did in ["did:plc:abc", "did:web:a.example", "did:web:a%3A8080", "did:x:a:b"] {
            assert!(is_did(did), "{did}");
        }
        for other in ["", "did", "did:plc", "did:plc:", "did:PLC:a", "did:plc:a:", "did:plc:a b", "DID:plc:a"] {
            assert!(!is_did(other), "{other}");
        }
        for nsid in ["a.b.c", "app.bsky.feed.post", "a-0.b-1.c", "com.example.fooBar"] {
            assert!(is_nsid(nsid), "{nsid}");
        }
        for other in ["", "a.b", "app.bsky.feed.po-st", "1.b.c", "a..c", "a.b.*", "a.-b.c", "a.b.1c"] {
            assert!(!is_nsid(other), "{other}");
        }
    }

    #[test]
    fn a_world_uses_names_of_the_right_form() {
        let mut world = World::new(WorldConfig { nasty: 0.5, accounts: 500, ..WorldConfig::seeded(2) });
        for happening in (0..5_000).map(|_| world.next()) {
            assert!(is_did(&happening.did));
            let What::Commit(commit) = happening.what else { continue };
            assert!(is_nsid(&commit.collection), "{}", commit.collection);
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:~".contains(&byte);
            assert!((1..=512).contains(&commit.rkey.len()) && commit.rkey.bytes().all(fits), "{}", commit.rkey);
        }
    }
}
