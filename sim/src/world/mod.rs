//! A world: accounts that act, one event after the other, the same from the same seed.
//!
//! Invariants: times do not decrease; the revisions of one DID increase, but for the creates after a sync, which bear
//! its own revision or one above it, all the same; a commit of several operations is consecutive and names different
//! records; memory does not grow with time.

mod account;
mod acts;
mod cast;
pub(crate) mod cid;
mod config;
mod dice;
mod happening;
mod mix;
mod odd;
mod queue;
mod records;
mod repo;
mod stories;
mod subjects;
#[cfg(test)]
mod tests;

pub use config::{DEFAULT_START_US, WorldConfig};
pub(crate) use dice::Dice;
pub use happening::{Commit, Happening, Operation, Record, Upstream, What};

use cast::Cast;
use mix::{Act, Mix};
use queue::{Queue, Waiting};
use records::Scene;
use subjects::Subjects;

/// The relay's first sequence number.
const UPSTREAM_BASE: i64 = 30_000_000_000;

/// A generator of happenings, without end.
#[derive(Clone, Debug)]
pub struct World {
    config: WorldConfig,
    dice: Dice,
    mix: Mix,
    cast: Cast,
    subjects: Subjects,
    queue: Queue,
    /// When the next act is, in microseconds since the beginning.
    next_act: f64,
    gap_us: f64,
    next_index: u64,
    upstream_seq: i64,
}

impl World {
    /// A world at its beginning.
    #[must_use]
    pub fn new(config: WorldConfig) -> Self {
        let mix = Mix::new(&config);
        Self {
            dice: Dice::new(config.seed),
            gap_us: mix.gap_us(config.rate),
            mix,
            cast: Cast::new(&config),
            subjects: Subjects::new(config.start_us),
            queue: Queue::default(),
            next_act: 0.0,
            next_index: 0,
            upstream_seq: UPSTREAM_BASE,
            config,
        }
    }

    /// What makes it.
    #[must_use]
    pub fn config(&self) -> &WorldConfig {
        &self.config
    }

    /// The next event. There always is one.
    #[allow(clippy::should_implement_trait, reason = "a world has no end, so it gives no Option")]
    pub fn next(&mut self) -> Happening {
        loop {
            let act_us = self.config.start_us + self.next_act as i64;
            match self.queue.pop(act_us) {
                Some((at_us, Waiting::Event { did, what })) => {
                    let index = self.next_index;
                    self.next_index += 1;
                    return Happening { index, at_us, did, what, verbatim: None };
                }
                Some((at_us, Waiting::Reactivate(number))) => self.reactivate(number, at_us),
                Some((at_us, Waiting::Recreate(number))) => self.recreate(number, at_us),
                None => {
                    self.act(act_us);
                    self.next_act += self.dice.gap(self.gap_us);
                }
            }
        }
    }

    fn act(&mut self, at_us: i64) {
        let act = self.mix.act(&mut self.dice);
        if act == Act::Resync {
            return self.resync(at_us);
        }
        // Without anybody to act, nothing happens.
        let Some(number) = self.cast.free(&mut self.dice, at_us) else { return };
        match act {
            Act::Like => self.react(number, at_us, "app.bsky.feed.like"),
            Act::Repost => self.react(number, at_us, "app.bsky.feed.repost"),
            Act::Post => self.post(number, at_us),
            Act::Follow => self.follow(number, at_us),
            Act::Block => self.block(number, at_us),
            Act::ListItem => self.list_item(number, at_us),
            Act::Profile => self.profile(number, at_us),
            Act::Stranger => self.stranger(number, at_us),
            Act::Delete => self.delete(at_us),
            Act::Identity => self.identity(number, at_us),
            Act::Deactivate => self.deactivate(number, at_us),
            Act::Remove => self.remove(number, at_us),
            Act::Nasty => self.nasty(number, at_us),
            Act::Resync => {}
        }
    }

    fn scene(&mut self, at_us: i64) -> Scene<'_> {
        Scene { dice: &mut self.dice, cast: &self.cast, subjects: &self.subjects, at_us }
    }
}
