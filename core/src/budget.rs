//! One budget of requests for the whole pipeline: each worker has a share of the rate, and the shares of all workers
//! never add up to more than the whole, whoever comes, goes, or is cut off.
//!
//! A share is `1 / n` of the rate, for the `n` workers of a plan. Invariants of [`Share`]:
//! - **it ends**: [`PERIOD`] after the worker knew for the last time that it had seen every plan, it has nothing;
//! - **it begins late**: what a plan takes away is gone at once, what it gives counts [`PERIOD`] after it was seen; a
//!   worker that has seen no plan before starts at nothing;
//! - a plan that was missed may have given less than both that stand beside it: the worker starts at nothing again, as
//!   it does where the place of the plans is another one ([`Share::forget`]).
//!
//! So at any time each worker has at most what the plan of [`PERIOD`] before gives it: one that knows an older plan
//! only has nothing any more, and one that knows a newer plan still holds the smaller of both. All times are of the
//! worker's own monotonic clock.

use std::collections::VecDeque;
use std::time::Duration;

/// How long a share is valid without news, and how long after its plan it begins.
pub const PERIOD: Duration = Duration::from_secs(10);

/// A worker's share of the budget.
#[derive(Clone, Debug, Default)]
pub struct Share {
    /// What counts now, and what counted until a time less than [`PERIOD`] ago: the oldest first.
    parts: VecDeque<Part>,
    /// The plan that was seen last: its number, and how many workers it has.
    plan: Option<(u64, Option<u32>)>,
    /// Up to here every plan is known.
    known: Option<Duration>,
}

/// One of `among` equal parts; nothing where that is `None`.
#[derive(Clone, Copy, Debug)]
struct Part {
    among: Option<u32>,
    since: Duration,
}

impl Share {
    /// The share of a worker that has the budget for itself, for good.
    #[must_use]
    pub fn whole() -> Self {
        let parts = VecDeque::from([Part { among: Some(1), since: Duration::ZERO }]);
        Self { parts, plan: None, known: Some(Duration::MAX) }
    }

    /// The worker sees a plan with its number; the plan has `among` workers, or does not name this one (`None`).
    pub fn planned(&mut self, number: u64, among: Option<u32>, now: Duration) {
        if self.plan == Some((number, among)) {
            return;
        }
        let follows = self.plan.is_some_and(|(last, _)| last.checked_add(1) == Some(number));
        self.plan = Some((number, among));
        if !follows {
            self.parts.push_back(Part { among: None, since: now });
        }
        self.parts.push_back(Part { among: among.filter(|among| *among > 0), since: now });
        // Of what has ended a period ago nothing is asked any more.
        while self.parts.get(1).is_some_and(|next| next.since.saturating_add(PERIOD) <= now) {
            self.parts.pop_front();
        }
    }

    /// The place of the plans is another one: what was seen of plans says nothing of those that are written there.
    pub fn forget(&mut self) {
        self.plan = None;
    }

    /// Every plan that was written before `then` has been seen: `then` is when something was sent to the place of the
    /// plans whose answer, in their order, has come.
    pub fn knows(&mut self, then: Duration) {
        self.known = self.known.max(Some(then));
    }

    /// Among how many equal shares this worker has one, at this time; `None` for nothing.
    #[must_use]
    pub fn at(&self, now: Duration) -> Option<u32> {
        if self.known?.saturating_add(PERIOD) <= now {
            return None;
        }
        let ends = self.parts.iter().skip(1).map(|next| next.since.saturating_add(PERIOD));
        let counts = self.parts.iter().zip(ends.chain([Duration::MAX])).filter(|(_, end)| now < *end);
        counts.map(|(part, _)| part.among).try_fold(0, |most, among| Some(most.max(among?))).filter(|most| *most > 0)
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
