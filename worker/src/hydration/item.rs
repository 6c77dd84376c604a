//! What can be looked up: a profile by its DID, a post by its URI.
//!
//! Invariant: a name that is made here is one that an AppView takes. It refuses a whole call for one name that is none,
//! and records may say anything.

use std::fmt;

/// The longest DID, in bytes: `did:web:` and the longest host name. The protocol (<https://atproto.com/specs/did>) allows
/// 2,048, but blesses no method that has such; 25 of them would be more than a host takes in one request.
const LONGEST_DID: usize = 261;
/// The longest record key (<https://atproto.com/specs/record-key>), in bytes.
const LONGEST_KEY: usize = 512;
const POST: &str = "app.bsky.feed.post";

/// The name of something that can be looked up. Cheap to hash; the order is that of the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Item {
    /// The profile of this DID.
    Profile(Box<str>),
    /// The post with this URI, `at://<did>/app.bsky.feed.post/<rkey>`.
    Post(Box<str>),
}

/// The two kinds of item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A profile.
    Profile,
    /// A post.
    Post,
}

impl Kind {
    /// The word used in labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Post => "post",
        }
    }
}

impl Item {
    /// The profile of a DID, where the text is one.
    #[must_use]
    pub fn profile(did: &str) -> Option<Self> {
        is_did(did).then(|| Self::Profile(did.into()))
    }

    /// The post of a URI, where the text is one that names its author by DID.
    #[must_use]
    pub fn post(uri: &str) -> Option<Self> {
        let (did, rest) = uri.strip_prefix("at://")?.split_once('/')?;
        let (collection, rkey) = rest.split_once('/')?;
        (collection == POST && is_did(did) && is_key(rkey)).then(|| Self::Post(uri.into()))
    }

    /// The kind of the item.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Profile(_) => Kind::Profile,
            Self::Post(_) => Kind::Post,
        }
    }

    /// The DID, or the URI.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Profile(name) | Self::Post(name) => name,
        }
    }

    /// The profile of who wrote it, if it is a post.
    #[must_use]
    pub fn author(&self) -> Option<Self> {
        matches!(self, Self::Post(_)).then(|| Self::Profile(self.did().into()))
    }

    /// The DID that it is of: of the profile, or of the post's author.
    #[must_use]
    pub fn did(&self) -> &str {
        match self {
            Self::Profile(did) => did,
            Self::Post(uri) => uri.strip_prefix("at://").and_then(|rest| rest.split('/').next()).unwrap_or_default(),
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `did:`, a method of small letters, `:`, and what names it there. Percent signs stand before two hex digits.
fn is_did(text: &str) -> bool {
    let Some((method, name)) = text.strip_prefix("did:").and_then(|rest| rest.split_once(':')) else { return false };
    let of_name = |c: u8| c.is_ascii_alphanumeric() || b"._:%-".contains(&c);
    text.len() <= LONGEST_DID
        && !method.is_empty()
        && method.bytes().all(|c| c.is_ascii_lowercase())
        && name.bytes().all(of_name)
        && !matches!(name.bytes().last(), None | Some(b':' | b'%'))
}

fn is_key(text: &str) -> bool {
    let of_key = |c: u8| c.is_ascii_alphanumeric() || b"._:~-".contains(&c);
    (1..=LONGEST_KEY).contains(&text.len()) && text != "." && text != ".." && text.bytes().all(of_key)
}

#[cfg(test)]
#[path = "item_tests.rs"]
mod tests;
