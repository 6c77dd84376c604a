//! Why a shard waits.

use super::Seen;
use crate::log::nats::Depth;
use crate::sinks::postgres::Standing;
use turbo_core::plan::WorkerId;
use turbo_core::shard::Shard;

/// A worker whose heartbeat is older than this is not taken for one that lives.
const OLD_SECONDS: f64 = 5.0;

impl Seen {
    /// Why the shard waits, where it does; `standing` is `None` where the catalog does not answer.
    pub(super) fn why(&self, shard: Shard, standing: Option<&Standing>, depth: Depth) -> Option<String> {
        let Some(standing) = standing else { return Some("the catalog does not answer".to_owned()) };
        let planned = self.plan.owner(shard);
        let Some(owner) = &standing.row.owner else {
            return Some(match planned.filter(|planned| self.lives(planned)) {
                None => "no worker lives that could own it".to_owned(),
                Some(planned) => format!("{planned} is about to claim it"),
            });
        };
        if let Some(gone) = self.gone(owner) {
            return Some(match planned.filter(|planned| *planned != owner && self.lives(planned)) {
                None => gone,
                Some(planned) => format!("{gone}; {planned} takes it over"),
            });
        }
        if planned != Some(owner) {
            let to = planned.map_or_else(|| "nobody yet".to_owned(), WorkerId::to_string);
            return Some(format!("it moves to {to}"));
        }
        let error = self.beats.get(owner).and_then(|beat| beat.says["error"].as_str());
        let behind = standing.sinks.iter().filter(|(_, position)| **position < standing.row.position);
        if let Some((sink, position)) = behind.min_by_key(|(_, position)| **position) {
            let error = error.map(|error| format!(": {error}")).unwrap_or_default();
            return Some(format!("{sink} is at {position}, the checkpoint at {}{error}", standing.row.position));
        }
        match depth.waiting {
            // Nothing waits.
            Some(0) => None,
            Some(_) => error.map(|error| format!("its owner is held: {error}")),
            None => Some(
                "what waits is not known: nothing is announced of it, or its last message is another program's"
                    .to_owned(),
            ),
        }
    }

    fn lives(&self, worker: &WorkerId) -> bool {
        self.beats.get(worker).is_some_and(|beat| self.age(beat) <= OLD_SECONDS)
    }

    /// What is said of an owner that does not live.
    fn gone(&self, owner: &WorkerId) -> Option<String> {
        match self.beats.get(owner) {
            None => Some("its owner is gone".to_owned()),
            Some(beat) if !self.lives(owner) => Some(format!("its owner was not heard for {:.0} s", self.age(beat))),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
#[path = "why_tests.rs"]
mod tests;
