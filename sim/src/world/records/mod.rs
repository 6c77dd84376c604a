//! Records as JSON, as servers send them: keys in alphabetical order at every level, no space, Go's escapes. Each
//! follows its lexicon.

pub(crate) mod embed;
pub(crate) mod nasty;
pub(crate) mod post;
pub(crate) mod profile;
pub(crate) mod social;
pub(crate) mod stranger;
pub(crate) mod text;
mod words;

use super::cast::Cast;
use super::dice::Dice;
use super::subjects::{Ref, Subjects};
use crate::time;

/// What a record may speak of.
pub(crate) struct Scene<'a> {
    pub(crate) dice: &'a mut Dice,
    pub(crate) cast: &'a Cast,
    pub(crate) subjects: &'a Subjects,
    pub(crate) at_us: i64,
}

impl Scene<'_> {
    pub(crate) fn post(&mut self) -> Ref {
        self.subjects.post(self.dice, self.cast)
    }

    pub(crate) fn old(&mut self, collection: &str) -> Ref {
        self.subjects.old(self.dice, self.cast, collection)
    }
}

impl Ref {
    /// As `com.atproto.repo.strongRef`.
    pub(crate) fn json(&self) -> String {
        format!(r#"{{"cid":"{}","uri":"{}"}}"#, self.cid, self.uri)
    }
}

/// The author's clock: a little behind the truth, sometimes ahead of it.
fn created_at(scene: &mut Scene<'_>) -> String {
    let behind = scene.dice.between(-300_000, 2_500_000);
    time::millis(scene.at_us - behind)
}
