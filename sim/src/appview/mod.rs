//! A simulated AppView: profiles and posts of the world as they are at the time, with a limit on requests and bad
//! manners on demand.
//!
//! It answers `app.bsky.actor.getProfiles` and `app.bsky.feed.getPosts` as their lexicons say: at most 25 names in a
//! call, one name that is none refuses the whole call, what is not there is left out, and the order is anyone's.

mod answer;
mod limit;
mod manners;
mod sessions;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use answer::{Answer, Body};
pub use limit::AppViewStats;
pub use manners::{Account, AppViewConfig, Mood};

use crate::host::clock::Clock;
use crate::serve::Request;
use crate::world::{Dice, Happening};
use limit::Limit;
use manners::Moods;
use sessions::Sessions;
use state::State;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A simulated AppView.
#[derive(Debug)]
pub(crate) struct AppView {
    pub(crate) config: AppViewConfig,
    clock: Arc<Clock>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) state: State,
    pub(crate) limit: Limit,
    pub(crate) moods: Moods,
    pub(crate) sessions: Sessions,
    pub(crate) dice: Dice,
}

impl AppView {
    pub(crate) fn new(config: AppViewConfig, clock: Arc<Clock>, start_us: i64) -> Self {
        let (limit, dice) = (Limit::new(config.limit, config.window), Dice::new(config.seed ^ 0xa99));
        let state = State::new(config.seed, config.missing, start_us);
        Self {
            config,
            clock,
            inner: Mutex::new(Inner { state, limit, moods: Moods::default(), sessions: Sessions::default(), dice }),
        }
    }

    /// Tells of what happened.
    pub(crate) fn tell(&self, happenings: &[Arc<Happening>]) {
        let mut inner = self.inner();
        happenings.iter().for_each(|happening| inner.state.add(happening));
    }

    /// From now on, for so long, it is in this mood.
    pub(crate) fn mood(&self, mood: Mood, lasts: Duration) {
        self.inner().moods.set(mood, lasts);
    }

    pub(crate) fn stats(&self) -> AppViewStats {
        let inner = self.inner();
        AppViewStats { sessions: inner.sessions.made, refreshes: inner.sessions.refreshed, ..inner.limit.stats() }
    }

    /// All tokens that were given count no more.
    pub(crate) fn forget_sessions(&self) {
        self.inner().sessions.forget();
    }

    /// How long an answer takes, and the answer.
    pub(crate) fn answer(&self, request: &Request, body: &[u8]) -> (Duration, Answer) {
        let mut inner = self.inner();
        let (least, most) = self.config.latency;
        let latency = least + most.saturating_sub(least).mul_f64(inner.dice.unit());
        (latency, answer::answer(&mut inner, &self.config, request, body, self.clock.now_us()))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
