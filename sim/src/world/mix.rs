//! What happens how often, in parts of a thousand acts. Deletes are of records of any collection, so the shares of
//! collections, deletes counted, come out near those of the network: likes 69 %, posts 12 %, reposts 10 %, follows 6 %,
//! all else 3 %, and 2.6 % of all events are deletes.
//!
//! | act | ‰ |
//! |---|---|
//! | like | 674 |
//! | post (one in fifty with a thread gate and a post gate in the same commit) | 115 |
//! | repost | 98 |
//! | follow (one in fifty a starter pack: 3 to 12 follows in one commit) | 48 |
//! | delete of one record (one in thirty of two or three in one commit) | 26 |
//! | unknown collections | 8 |
//! | block | 7 |
//! | list item (with its list, where there is none) | 4 |
//! | profile | 4 |
//! | identity, with the handle, or one in three without | 2 |
//! | account deactivated, and active again after a while | 1 |
//!
//! Nasty acts, resyncs and removals of accounts come on top with the shares that the configuration gives them, and it says how
//! much of the last two lines there is.

use super::config::WorldConfig;
use super::dice::Dice;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Like,
    Post,
    Repost,
    Follow,
    Delete,
    Stranger,
    Block,
    ListItem,
    Profile,
    Identity,
    Deactivate,
    Nasty,
    Resync,
    Remove,
}

const ORDINARY: [(Act, f64); 11] = [
    (Act::Like, 674.0),
    (Act::Post, 115.0),
    (Act::Repost, 98.0),
    (Act::Follow, 48.0),
    (Act::Delete, 26.0),
    (Act::Stranger, 8.0),
    (Act::Block, 7.0),
    (Act::ListItem, 4.0),
    (Act::Profile, 4.0),
    (Act::Identity, 2.0),
    (Act::Deactivate, 1.0),
];

/// Events that an act makes on average, but for nasty acts, resyncs and removals.
const EVENTS_PER_ACT: f64 = 1.014;
/// The same for a resync or a removal: a sync or an account event, and the records of a small repository.
const EVENTS_PER_STORY: f64 = 8.0;

#[derive(Clone, Debug)]
pub(crate) struct Mix {
    nasty: f64,
    resyncs: f64,
    removals: f64,
    unrest: f64,
}

impl Mix {
    pub(crate) fn new(config: &WorldConfig) -> Self {
        Self { nasty: config.nasty, resyncs: config.resyncs, removals: config.removals, unrest: config.unrest }
    }

    pub(crate) fn act(&self, dice: &mut Dice) -> Act {
        let mut roll = dice.unit();
        for (act, share) in [(Act::Nasty, self.nasty), (Act::Resync, self.resyncs), (Act::Remove, self.removals)] {
            roll -= share;
            if roll < 0.0 {
                return act;
            }
        }
        let share = |(act, share): &(Act, f64)| match act {
            Act::Identity | Act::Deactivate => share * self.unrest,
            _ => *share,
        };
        ORDINARY[dice.weighted(ORDINARY.iter().map(share))].0
    }

    /// Mean time between acts at this many events per second, in microseconds.
    pub(crate) fn gap_us(&self, rate: f64) -> f64 {
        let per_act = EVENTS_PER_ACT + (self.resyncs + self.removals) * EVENTS_PER_STORY;
        1_000_000.0 * per_act / rate.max(1e-6)
    }
}
