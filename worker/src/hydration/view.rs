//! From an AppView's views, and from records that pass in the stream, to what is known of an item.
//!
//! Both ways give the same JSON, so that nobody sees where an item came from:
//! - a profile: `{"handle":…,"displayName":…,"avatar":…,"createdAt":…}`, the avatar as the content id of its blob; what
//!   is not there is left out;
//! - a post: `{"cid":…,"record":…}`, the record as its account wrote it; one that is not plain ([`super::plain`]) or long is
//!   left out.
//!
//! Invariant: what is known of an item is bounded, whatever strangers write: it stands in every document that points at it.
//!
//! Shapes: `app.bsky.actor.defs#profileViewDetailed` and `#profileViewBasic`, `app.bsky.feed.defs#postView`.

use super::item::Item;
use super::plain::is_plain;
use crate::record::{Datum, Record};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The longest record of a post that is shown, in bytes: far above one of the longest text with all that it may embed.
const LONGEST_RECORD: usize = 16 << 10;
/// The longest other text: `displayName` has 640 bytes at most, a handle 253.
const LONGEST_TEXT: usize = 1 << 10;

/// A profile in an answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProfileView<'a> {
    #[serde(borrow)]
    pub(super) did: Cow<'a, str>,
    #[serde(borrow, default)]
    handle: Option<&'a RawValue>,
    #[serde(borrow, default)]
    display_name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    avatar: Option<&'a RawValue>,
    #[serde(borrow, default)]
    created_at: Option<&'a RawValue>,
    #[serde(default)]
    viewer: Option<Viewer>,
}

/// What the account that asks has to do with it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Viewer {
    #[serde(default)]
    blocked_by: Option<bool>,
}

/// A post in an answer.
#[derive(Debug, Deserialize)]
pub(super) struct PostView<'a> {
    #[serde(borrow)]
    pub(super) uri: Cow<'a, str>,
    #[serde(borrow)]
    cid: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) author: ProfileView<'a>,
    #[serde(borrow)]
    record: &'a RawValue,
}

/// A profile as it stands in the document.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Profile<'a> {
    #[serde(borrow)]
    pub(super) handle: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    display_name: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    avatar: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    created_at: Option<Cow<'a, str>>,
}

/// A post as it stands in the document.
#[derive(Debug, Serialize)]
struct Post<'a> {
    cid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'a RawValue>,
}

impl ProfileView<'_> {
    /// Whether the account that asks may not see it.
    pub(super) fn is_blocked(&self) -> bool {
        self.viewer.as_ref().and_then(|viewer| viewer.blocked_by).unwrap_or_default()
    }

    /// The profile's item.
    pub(super) fn item(&self) -> Option<Item> {
        Item::profile(&self.did)
    }

    /// The profile's JSON.
    pub(super) fn json(&self) -> String {
        let [handle, display_name, avatar, created_at] =
            [self.handle, self.display_name, self.avatar, self.created_at].map(text);
        let profile = Profile {
            handle: self::handle(handle.as_deref().unwrap_or_default()),
            display_name: display_name.filter(|text| fits(text)),
            avatar: avatar.as_deref().and_then(blob_of).map(Cow::Borrowed),
            created_at: created_at.filter(|text| fits(text)),
        };
        profile.json()
    }
}

impl<'a> Profile<'a> {
    /// The same, with another handle.
    pub(super) fn with_handle(self, handle: &'a str) -> Self {
        Self { handle: self::handle(handle), ..self }
    }

    /// Its JSON.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl PostView<'_> {
    /// The post's JSON.
    pub(super) fn json(&self) -> String {
        post(&self.cid, self.record)
    }
}

/// The profile that a record says, for an account of this handle.
pub(super) fn profile_of(handle: &str, record: &[u8]) -> String {
    let record = Record::new(record);
    let text = |datum: Datum| match datum {
        Datum::Text(text) if fits(&text) => Some(Cow::Owned(text)),
        _ => None,
    };
    let profile = Profile {
        handle: self::handle(handle),
        display_name: text(record.text(&["displayName"])),
        avatar: text(record.blob(&["avatar"])),
        created_at: text(record.text(&["createdAt"])),
    };
    profile.json()
}

/// The post that a record is; `None` for one that is no JSON by itself.
pub(super) fn post_of(cid: &str, record: &[u8]) -> Option<String> {
    Some(post(cid, serde_json::from_slice(record).ok()?))
}

fn post(cid: &str, record: &RawValue) -> String {
    let cid = if fits(cid) { cid } else { "" };
    let shown = |record: &&RawValue| record.get().len() <= LONGEST_RECORD && is_plain(record.get());
    let record = Some(record).filter(shown);
    serde_json::to_string(&Post { cid, record }).unwrap_or_default()
}

/// What is text; anything else in its place, and text that is no Unicode, is left out like what is not there.
fn text(json: Option<&RawValue>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    serde_json::from_str::<Text<'_>>(json?.get()).ok().map(|text| text.0)
}

fn fits(text: &str) -> bool {
    (1..=LONGEST_TEXT).contains(&text.len()) && !text.contains('\0')
}

/// As the protocol names a handle that is none (<https://atproto.com/specs/handle>).
fn handle(handle: &str) -> Cow<'_, str> {
    Cow::Borrowed(if fits(handle) { handle } else { "handle.invalid" })
}

/// The content id in the address of a picture: `…/img/avatar/plain/<did>/<cid>@jpeg`, with or without what follows `@`.
fn blob_of(address: &str) -> Option<&str> {
    let name = address.rsplit('/').next()?.split('@').next()?;
    fits(name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_the_same_from_an_answer_and_from_the_stream() {
        let answer = r#"{"did":"did:plc:a","handle":"a.example","displayName":"A \"a\"","description":"…",
            "avatar":"https://cdn.example/img/avatar/plain/did:plc:a/bafkreiab@jpeg","createdAt":"2024-01-01T00:00:00Z",
            "followersCount":3,"labels":[]}"#;
        let view: ProfileView<'_> = serde_json::from_str(answer).unwrap();
        let record = br#"{"$type":"app.bsky.actor.profile","displayName":"A \"a\"","description":"x","createdAt":"2024-01-01T00:00:00Z",
            "avatar":{"$type":"blob","ref":{"$link":"bafkreiab"},"mimeType":"image/jpeg","size":1}}"#;
        let expected =
            r#"{"handle":"a.example","displayName":"A \"a\"","avatar":"bafkreiab","createdAt":"2024-01-01T00:00:00Z"}"#;
        assert_eq!(view.json(), expected);
        assert_eq!(profile_of("a.example", record), expected);
        assert!(!view.is_blocked());
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        let view: ProfileView<'_> = serde_json::from_str(
            r#"{"did":"did:plc:a","handle":"handle.invalid","displayName":"","viewer":{"blockedBy":true}}"#,
        )
        .unwrap();
        assert_eq!(view.json(), r#"{"handle":"handle.invalid"}"#);
        assert_eq!(profile_of("handle.invalid", b"{\"displayName\":3}"), r#"{"handle":"handle.invalid"}"#);
        assert!(view.is_blocked());
    }

    #[test]
    fn what_can_not_be_read_of_a_profile_is_left_out() {
        let view: ProfileView<'_> = serde_json::from_str(
            r#"{"did":"did:plc:a","handle":"a.example","displayName":"\ud800","avatar":3,"createdAt":null,"viewer":null}"#,
        )
        .unwrap();
        assert_eq!((view.json().as_str(), view.is_blocked()), (r#"{"handle":"a.example"}"#, false));
        let view: ProfileView<'_> = serde_json::from_str(r#"{"did":"did:plc:a","viewer":{"blockedBy":null}}"#).unwrap();
        assert_eq!((view.json().as_str(), view.is_blocked()), (r#"{"handle":"handle.invalid"}"#, false));
    }

    #[test]
    fn a_post_keeps_its_record_as_it_was_written() {
        let record = r#"{ "text":"a\u00e9b", "n":1E99 }"#;
        let answer = format!(
            r#"{{"uri":"at://did:plc:a/app.bsky.feed.post/k","cid":"c","author":{{"did":"did:plc:a","handle":"h"}},"record":{record},"likeCount":1}}"#
        );
        let view: PostView<'_> = serde_json::from_str(&answer).unwrap();
        let expected = format!(r#"{{"cid":"c","record":{record}}}"#);
        assert_eq!(view.json(), expected);
        assert_eq!(post_of("c", record.as_bytes()), Some(expected));
        assert_eq!(post_of("c", b"{"), None);
        assert_eq!(post_of("c", br#"{"text":"\u0000"}"#).unwrap(), r#"{"cid":"c"}"#);
    }

    #[test]
    fn what_is_long_is_left_out() {
        let record = |bytes: usize| format!(r#"{{"text":"{}"}}"#, "x".repeat(bytes));
        let shown = post_of("c", record(LONGEST_RECORD - 11).as_bytes()).unwrap();
        assert_eq!(shown.len(), LONGEST_RECORD + r#"{"cid":"c","record":}"#.len());
        assert_eq!(post_of("c", record(LONGEST_RECORD - 10).as_bytes()).unwrap(), r#"{"cid":"c"}"#);
        let long = "x".repeat(LONGEST_TEXT + 1);
        let record = format!(
            r#"{{"displayName":"{long}","createdAt":"{long}","avatar":{{"$type":"blob","ref":{{"$link":"{long}"}}}}}}"#
        );
        assert_eq!(profile_of(&long, record.as_bytes()), r#"{"handle":"handle.invalid"}"#);
    }
}
