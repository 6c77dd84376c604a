//! The processes of the pipeline: two ingesters, and workers whose number changes. What is killed comes back.
//!
//! Invariants:
//! - everything is done from one thread, in [`Crew::tend`] and in the acts;
//! - a process that ends though nobody told it to is started again, as a cluster would, and is told in the end.

use crate::act::Role;
use crate::process::{Launch, Process};
use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

/// Ingesters: one that reads, one that stands by.
pub const INGESTERS: usize = 2;
/// How long one that ended by itself is left alone.
const AGAIN: Duration = Duration::from_secs(1);
/// How long one may take to leave after SIGTERM, beyond the drain of the pipeline file.
const LEAVING: Duration = Duration::from_secs(60);

/// All processes.
pub struct Crew {
    launch: Launch,
    drain: Duration,
    slots: Vec<Slot>,
    pub told: Told,
}

/// What is told of processes that have ended.
#[derive(Debug, Default)]
pub struct Told {
    /// What was not as it should be, with the end of the log.
    pub odd: Vec<String>,
    /// Processes that did not stop within their drain.
    pub overdue: Vec<String>,
    /// Those that left in good order: nothing may be theirs any more.
    pub left: BTreeSet<String>,
}

/// A place for one process.
struct Slot {
    role: Role,
    name: String,
    /// Processes so far.
    lives: u32,
    /// Whether there should be one.
    wanted: bool,
    state: State,
}

enum State {
    /// Nothing runs; from then on it may be started again.
    Down {
        until: Instant,
    },
    Runs(Process),
    /// It stands still until then.
    Paused {
        process: Process,
        until: Instant,
    },
    /// It was told to stop; it comes back after so long.
    Leaving {
        process: Process,
        since: Instant,
        back: Duration,
    },
}

impl Crew {
    /// A crew of ingesters and so many workers at most, of which `workers` run.
    pub fn new(launch: Launch, drain: Duration, most: usize, workers: usize) -> Self {
        let slot = |role: Role, number: usize, wanted| Slot {
            role,
            name: format!("{role}-{number}"),
            lives: 0,
            wanted,
            state: State::Down { until: Instant::now() },
        };
        let ingesters = (0..INGESTERS).map(|number| slot(Role::Ingester, number, true));
        let workers = (0..most).map(|number| slot(Role::Worker, number, number < workers));
        Self { launch, drain, slots: ingesters.chain(workers).collect(), told: Told::default() }
    }

    /// Starts, continues, reaps: whatever is due.
    ///
    /// # Errors
    /// The program can not be run.
    pub fn tend(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for slot in &mut self.slots {
            slot.tend(now, &self.launch, self.drain, &mut self.told)?;
        }
        Ok(())
    }

    /// `kill -9`.
    pub fn kill(&mut self, role: Role, which: usize, back: Duration) -> String {
        let Some(slot) = self.running(role, which) else { return "there is none".into() };
        slot.take(|mut process| {
            process.kill();
            State::Down { until: Instant::now() + back }
        })
    }

    /// SIGSTOP.
    pub fn pause(&mut self, role: Role, which: usize, lasts: Duration) -> String {
        let Some(slot) = self.running(role, which) else { return "there is none".into() };
        slot.take(|process| {
            process.signal("STOP");
            State::Paused { process, until: Instant::now() + lasts }
        })
    }

    /// SIGTERM.
    pub fn stop(&mut self, role: Role, which: usize, back: Duration) -> String {
        let Some(slot) = self.running(role, which) else { return "there is none".into() };
        slot.take(|process| {
            process.signal("TERM");
            State::Leaving { process, since: Instant::now(), back }
        })
    }

    /// So many workers from now on.
    pub fn scale(&mut self, to: usize) {
        let workers = self.slots.iter_mut().filter(|slot| slot.role == Role::Worker);
        for (number, slot) in workers.enumerate() {
            slot.wanted = number < to;
            if !slot.wanted && matches!(slot.state, State::Runs(_)) {
                slot.take(|process| {
                    process.signal("TERM");
                    State::Leaving { process, since: Instant::now(), back: Duration::ZERO }
                });
            }
        }
    }

    /// Asks everybody to leave in good order.
    pub fn leave(&mut self) {
        for slot in &mut self.slots {
            slot.wanted = false;
            if matches!(slot.state, State::Runs(_)) {
                slot.take(|process| {
                    process.signal("TERM");
                    State::Leaving { process, since: Instant::now(), back: Duration::ZERO }
                });
            }
        }
    }

    /// Whether nothing runs any more.
    pub fn is_gone(&self) -> bool {
        self.slots.iter().all(|slot| matches!(slot.state, State::Down { .. }))
    }

    /// Whether everybody runs who should, and nobody else.
    pub fn is_whole(&self) -> bool {
        self.slots.iter().all(|slot| match slot.state {
            State::Runs(_) => slot.wanted,
            State::Down { .. } => !slot.wanted,
            State::Paused { .. } | State::Leaving { .. } => false,
        })
    }

    /// How many run, of ingesters and workers.
    pub fn alive(&self) -> (usize, usize) {
        let of =
            |role| self.slots.iter().filter(|slot| slot.role == role && matches!(slot.state, State::Runs(_))).count();
        (of(Role::Ingester), of(Role::Worker))
    }

    /// What each says of itself, for a failure.
    pub fn testimony(&self) -> String {
        let mut text = String::new();
        for slot in &self.slots {
            let process = match &slot.state {
                State::Runs(process) | State::Paused { process, .. } | State::Leaving { process, .. } => process,
                State::Down { .. } => continue,
            };
            let stats = process.get("/stats").unwrap_or_else(|why| why);
            text += &format!("--- {}, process {}\n/stats: {stats}\n", slot.name, process.id());
            text += &format!("the end of its log:\n{}\n", process.end_of_log(4000));
        }
        text
    }

    fn running(&mut self, role: Role, which: usize) -> Option<&mut Slot> {
        let runs = |slot: &&mut Slot| slot.role == role && matches!(slot.state, State::Runs(_));
        let mut slots: Vec<&mut Slot> = self.slots.iter_mut().filter(runs).collect();
        if slots.is_empty() { None } else { Some(slots.swap_remove(which % slots.len())) }
    }
}

impl Slot {
    /// Does something to the process; returns its name.
    fn take(&mut self, act: impl FnOnce(Process) -> State) -> String {
        let had = std::mem::replace(&mut self.state, State::Down { until: Instant::now() });
        self.state = match had {
            State::Runs(process) => act(process),
            other => other,
        };
        self.name.clone()
    }

    fn tend(&mut self, now: Instant, launch: &Launch, drain: Duration, told: &mut Told) -> io::Result<()> {
        let had = std::mem::replace(&mut self.state, State::Down { until: now });
        self.state = match had {
            State::Down { until } if self.wanted && now >= until => {
                self.lives += 1;
                State::Runs(Process::start(launch, self.role, &self.name, self.lives)?)
            }
            State::Paused { process, until } if now >= until => {
                process.signal("CONT");
                State::Runs(process)
            }
            State::Runs(mut process) => match process.ended() {
                Some(status) => {
                    told.odd.push(format!("{} ended by itself, {status}:\n{}", self.name, process.end_of_log(1500)));
                    State::Down { until: now + AGAIN }
                }
                None if !self.wanted => {
                    process.signal("TERM");
                    State::Leaving { process, since: now, back: Duration::ZERO }
                }
                None => State::Runs(process),
            },
            State::Leaving { mut process, since, back } => match process.ended() {
                Some(status) => {
                    if status.success() {
                        told.left.insert(process.called.clone());
                    } else {
                        let end = process.end_of_log(1500);
                        told.odd.push(format!("{} was told to stop and ended with {status}:\n{end}", self.name));
                    }
                    State::Down { until: now + back }
                }
                None if since.elapsed() > drain + LEAVING => {
                    let end = process.end_of_log(4000);
                    told.overdue.push(format!("{} did not stop within {:?}:\n{end}", self.name, since.elapsed()));
                    process.kill();
                    State::Down { until: now + back }
                }
                None => State::Leaving { process, since, back },
            },
            same => same,
        };
        Ok(())
    }
}
