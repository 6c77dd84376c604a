//! Faults over time, from a seed.

use super::{Fault, Kind};
use crate::world::Dice;
use std::fmt;
use std::time::Duration;

/// An endless series of faults: the same seed, interval, kinds and number of hosts give the same one.
#[derive(Clone, Debug)]
pub struct Schedule {
    seed: u64,
    mean_interval: Duration,
    kinds: Vec<Kind>,
    dice: Dice,
    given: u64,
}

/// One fault of a schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planned {
    /// Its number, from 0.
    pub number: u64,
    /// Time since the one before.
    pub after: Duration,
    /// Which host, below the number of hosts asked for.
    pub host: usize,
    /// What goes wrong.
    pub fault: Fault,
}

impl Schedule {
    /// Faults of these kinds, each as likely as the others, `mean_interval` apart on average.
    #[must_use]
    pub fn seeded(seed: u64, mean_interval: Duration, kinds: &[Kind]) -> Self {
        Self { seed, mean_interval, kinds: kinds.to_vec(), dice: Dice::new(seed ^ 0xfa17), given: 0 }
    }

    /// The next fault for one of so many hosts; none where there are no kinds or no hosts.
    pub fn next(&mut self, hosts: usize) -> Option<Planned> {
        if self.kinds.is_empty() || hosts == 0 {
            return None;
        }
        let after = Duration::from_secs_f64(self.dice.gap(self.mean_interval.as_secs_f64()));
        let (host, kind) = (self.dice.below(hosts), self.dice.pick(&self.kinds));
        let fault = kind.draw(&mut self.dice, self.mean_interval);
        self.given += 1;
        Some(Planned { number: self.given - 1, after, host, fault })
    }

    /// The first faults for so many hosts, one on each line.
    #[must_use]
    pub fn preview(&self, hosts: usize, count: usize) -> String {
        let mut anew = Self::seeded(self.seed, self.mean_interval, &self.kinds);
        let lines = std::iter::from_fn(|| anew.next(hosts)).take(count);
        lines.map(|planned| format!("{planned}\n")).collect()
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fault {} after {:?} on host {}: {}", self.number, self.after, self.host, self.fault)
    }
}

impl fmt::Display for Schedule {
    /// The flags that run it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> = self.kinds.iter().map(Kind::to_string).collect();
        let millis = self.mean_interval.as_millis();
        write!(f, "--faults {} --fault-interval {millis}ms --fault-kinds {}", self.seed, kinds.join(","))
    }
}
