//! Whether known events of a stream agree on where it is in the window.
//!
//! One alone does not say so: behind a sync the commits of the last revision come again, however much later, and bear the ids
//! that they had. Those of a stream that is in the window stand beside each other there too, and nearly all between them are
//! known.

use crate::window::{ORDER_US, Place};
use std::collections::HashSet;

/// So many of different revisions have to agree, where the window has as many.
pub(super) const ENOUGH: usize = 4;
/// Where events are few, those that have so few between them stand beside each other, however long that took.
const FEW: usize = 16;

/// Known events beside each other.
#[derive(Debug)]
pub(super) struct Agreed {
    first: Place,
    /// Key and revision of each; several commits of one revision are told again together.
    revisions: HashSet<(u64, u64)>,
    enough: usize,
    /// Events since the first of them that are not known.
    unknown: usize,
}

impl Agreed {
    /// Begins with the event of this place. `last`: no stream shows more of the window, so what stands behind this one there has
    /// to be enough. Elsewhere one alone is not, where the window has another.
    pub(super) fn begin(first: Place, last: bool) -> Self {
        let enough = if last { first.behind } else { first.behind.max(2.min(first.all)) };
        Self { first, revisions: HashSet::new(), enough, unknown: 0 }
    }

    /// Whether the next known event stands beside these, and hardly anything between them is unknown.
    pub(super) fn is_beside(&self, place: &Place) -> bool {
        let is_near = place.time_us.abs_diff(self.first.time_us) <= ORDER_US.unsigned_abs()
            || place.before_end.abs_diff(self.first.before_end) <= FEW;
        is_near && self.unknown <= self.revisions.len()
    }

    /// Takes a known event.
    pub(super) fn takes(&mut self, place: &Place) {
        self.revisions.insert(place.revision);
    }

    /// An event that is not known was shown.
    pub(super) fn misses(&mut self) {
        self.unknown += 1;
    }

    pub(super) fn is_enough(&self) -> bool {
        self.revisions.len() >= self.enough
    }
}
