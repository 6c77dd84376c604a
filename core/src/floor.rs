//! Floors: which revisions of a repository still count after an event of the whole repository.
//!
//! - A `sync` sets the floor to its revision, never lower than before; revisions at or above it pass, since the
//!   creates that follow a sync may bear its own revision.
//! - A deleted account sets the floor to the highest revision seen; only newer ones pass, until a sync sets the floor
//!   anew, at an equal revision too.

/// The lowest revision that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Floor {
    /// A revision (TID text, which sorts by time).
    pub rev: Box<str>,
    /// Whether the revision itself passes.
    pub inclusive: bool,
}

impl Floor {
    /// Whether an event of this revision still counts.
    #[must_use]
    pub fn admits(&self, rev: &str) -> bool {
        rev > &*self.rev || (self.inclusive && rev == &*self.rev)
    }

    /// The floor after a sync to `rev`.
    #[must_use]
    pub fn after_sync(before: Option<&Self>, rev: &str) -> Self {
        match before {
            Some(floor) if rev < &*floor.rev => floor.clone(),
            _ => Self { rev: rev.into(), inclusive: true },
        }
    }

    /// The floor after the account was deleted, where `highest` is the highest revision seen.
    #[must_use]
    pub fn after_deletion(before: Option<&Self>, highest: &str) -> Self {
        let rev = before.map_or(highest, |floor| highest.max(&floor.rev));
        Self { rev: rev.into(), inclusive: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_admits_its_own_revision_and_never_lowers() {
        let floor = Floor::after_sync(None, "5");
        assert!(floor.admits("5") && floor.admits("6") && !floor.admits("4"));
        assert_eq!(Floor::after_sync(Some(&floor), "3"), floor);
    }

    #[test]
    fn a_deletion_refuses_what_was_seen_until_a_sync_at_an_equal_revision() {
        let floor = Floor::after_deletion(Some(&Floor::after_sync(None, "5")), "4");
        assert!(!floor.admits("5") && floor.admits("6"));
        assert!(Floor::after_sync(Some(&floor), "5").admits("5"));
        assert!(!Floor::after_sync(Some(&floor), "4").admits("5"));
    }
}
