//! The schedule: a pure function of the seed, the size of the run and what is there.
//!
//! A step is due when so many events of the world are committed. So faults are spread over the whole run, however fast
//! it goes, and one that holds everything up is over before the next.

use crate::act::{Act, Cut, Role, S3Fault, Server};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng as Dice;
use std::fmt;
use std::time::Duration;
use turbo_sim::{Kind as SourceKind, Mood};

/// What the faults can fall on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct There {
    /// Workers at most.
    pub workers: usize,
    /// Hosts of the source.
    pub hosts: usize,
    /// Whether the archive is in S3.
    pub s3: bool,
    /// Whether there is an AppView.
    pub appview: bool,
    /// After so long without a heartbeat a process is gone.
    pub lease: Duration,
}

/// One fault, and when it is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Events that are committed by then.
    pub at: u64,
    /// What happens.
    pub act: Act,
}

/// Faults without their figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    KillWorker,
    KillIngester,
    PauseWorker,
    PauseIngester,
    StopWorker,
    StopIngester,
    Scale,
    RestartNats,
    CrashNats,
    HangNats,
    CutNats,
    SlowNats,
    RestartPostgres,
    CrashPostgres,
    HangPostgres,
    CutPostgres,
    SlowPostgres,
    RestartS3,
    SlowS3,
    S3Request,
    SourceCut,
    SourceDown,
    SourceAnew,
    SourceOther,
    AppView,
}

/// How often each kind is met, and whether it costs little time.
const KINDS: [(Kind, f64, bool); 25] = [
    (Kind::KillWorker, 12.0, true),
    (Kind::KillIngester, 8.0, true),
    (Kind::PauseWorker, 8.0, true),
    (Kind::PauseIngester, 5.0, true),
    (Kind::StopWorker, 6.0, true),
    (Kind::StopIngester, 4.0, true),
    (Kind::Scale, 10.0, true),
    (Kind::RestartNats, 4.0, true),
    (Kind::CrashNats, 4.0, false),
    (Kind::HangNats, 3.0, false),
    (Kind::CutNats, 10.0, true),
    (Kind::SlowNats, 2.0, false),
    (Kind::RestartPostgres, 4.0, true),
    (Kind::CrashPostgres, 3.0, false),
    (Kind::HangPostgres, 3.0, false),
    (Kind::CutPostgres, 10.0, true),
    (Kind::SlowPostgres, 2.0, false),
    (Kind::RestartS3, 2.0, false),
    (Kind::SlowS3, 2.0, false),
    (Kind::S3Request, 14.0, true),
    (Kind::SourceCut, 6.0, true),
    (Kind::SourceDown, 5.0, true),
    (Kind::SourceAnew, 4.0, true),
    (Kind::SourceOther, 8.0, true),
    (Kind::AppView, 12.0, true),
];

/// What an AppView does that says nothing wrong: one that lies can not be told from one that knows better.
const MOODS: [Mood; 6] = [Mood::Down, Mood::Broken, Mood::SlowLoris, Mood::Malformed, Mood::Huge, Mood::Busy];

/// Faults of the source that leave no frame that means nothing: what such a frame leaves is no event, which the truth
/// does not know.
const OTHER: [SourceKind; 8] = [
    SourceKind::Stall,
    SourceKind::HalfOpen,
    SourceKind::Duplicate,
    SourceKind::Reorder,
    SourceKind::Loading,
    SourceKind::TooManyRequests,
    SourceKind::TooSlow,
    SourceKind::NewDictionary,
];

/// The faults of a run. In a long one every kind is met, where there are as many faults as kinds.
pub fn plan(seed: u64, events: u64, faults: usize, long: bool, there: &There) -> Vec<Step> {
    let mut dice = Dice::seed_from_u64(seed ^ 0x0a_c1e5);
    let kinds: Vec<(Kind, f64)> =
        KINDS.iter().filter(|(kind, _, cheap)| (long || *cheap) && fits(*kind, there)).map(|k| (k.0, k.1)).collect();
    let mut drawn: Vec<Kind> = kinds.iter().map(|(kind, _)| *kind).collect();
    shuffle(&mut drawn, &mut dice);
    drawn.truncate(faults);
    while drawn.len() < faults {
        drawn.push(weighted(&kinds, &mut dice));
    }
    shuffle(&mut drawn, &mut dice);
    let (first, last) = (events / 50, events * 95 / 100);
    let mut due: Vec<u64> = drawn.iter().map(|_| dice.random_range(first..=last.max(first))).collect();
    due.sort_unstable();
    let acts: Vec<Act> = drawn.into_iter().map(|kind| act(kind, there, &mut dice)).collect();
    due.into_iter().zip(acts).map(|(at, act)| Step { at, act }).collect()
}

/// The kind of an act.
pub fn kind(act: &Act) -> Kind {
    match act {
        Act::Kill { role: Role::Worker, .. } => Kind::KillWorker,
        Act::Kill { role: Role::Ingester, .. } => Kind::KillIngester,
        Act::Pause { role: Role::Worker, .. } => Kind::PauseWorker,
        Act::Pause { role: Role::Ingester, .. } => Kind::PauseIngester,
        Act::Stop { role: Role::Worker, .. } => Kind::StopWorker,
        Act::Stop { role: Role::Ingester, .. } => Kind::StopIngester,
        Act::Scale { .. } => Kind::Scale,
        Act::Restart { server, .. } => of(*server, [Kind::RestartNats, Kind::RestartPostgres, Kind::RestartS3]),
        Act::Crash { server, .. } => of(*server, [Kind::CrashNats, Kind::CrashPostgres, Kind::RestartS3]),
        Act::Hang { server, .. } => of(*server, [Kind::HangNats, Kind::HangPostgres, Kind::SlowS3]),
        Act::Cut { server, .. } => of(*server, [Kind::CutNats, Kind::CutPostgres, Kind::S3Request]),
        Act::Slow { server, .. } => of(*server, [Kind::SlowNats, Kind::SlowPostgres, Kind::SlowS3]),
        Act::S3 { .. } => Kind::S3Request,
        Act::AppView { .. } => Kind::AppView,
        Act::Source { fault, .. } => match SourceKind::of(fault) {
            SourceKind::Cut => Kind::SourceCut,
            SourceKind::Down => Kind::SourceDown,
            SourceKind::NewSequences => Kind::SourceAnew,
            _ => Kind::SourceOther,
        },
    }
}

/// The kinds that a long run has to meet.
pub fn kinds(there: &There) -> Vec<Kind> {
    KINDS.iter().map(|(kind, ..)| *kind).filter(|kind| fits(*kind, there)).collect()
}

fn of(server: Server, [nats, postgres, s3]: [Kind; 3]) -> Kind {
    match server {
        Server::Nats => nats,
        Server::Postgres => postgres,
        Server::S3 => s3,
    }
}

fn fits(kind: Kind, there: &There) -> bool {
    match kind {
        Kind::RestartS3 | Kind::SlowS3 | Kind::S3Request => there.s3,
        Kind::Scale => there.workers > 1,
        Kind::AppView => there.appview,
        _ => true,
    }
}

fn act(kind: Kind, there: &There, dice: &mut Dice) -> Act {
    use {Role::*, Server::*};
    let which = dice.random_range(0..6);
    let back = seconds(dice, 0.0, 8.0);
    let zombie = there.lease.mul_f64(dice.random_range(1.2..2.5));
    let down = seconds(dice, 0.2, 6.0);
    let lasts = seconds(dice, 2.0, 12.0);
    let how = pick(&[Cut::MidRead, Cut::LostReply, Cut::MidWrite], dice);
    let slow = |server, dice: &mut Dice| Act::Slow { server, each: seconds(dice, 0.01, 0.3), lasts };
    match kind {
        Kind::KillWorker => Act::Kill { role: Worker, which, back },
        Kind::KillIngester => Act::Kill { role: Ingester, which, back },
        Kind::PauseWorker => Act::Pause { role: Worker, which, lasts: zombie },
        Kind::PauseIngester => Act::Pause { role: Ingester, which, lasts: zombie },
        Kind::StopWorker => Act::Stop { role: Worker, which, back },
        Kind::StopIngester => Act::Stop { role: Ingester, which, back },
        Kind::Scale => Act::Scale { to: dice.random_range(1..=there.workers) },
        Kind::RestartNats => Act::Restart { server: Nats, down },
        Kind::CrashNats => Act::Crash { server: Nats, down },
        Kind::HangNats => Act::Hang { server: Nats, lasts },
        Kind::CutNats => Act::Cut { server: Nats, how },
        Kind::SlowNats => slow(Nats, dice),
        Kind::RestartPostgres => Act::Restart { server: Postgres, down },
        Kind::CrashPostgres => Act::Crash { server: Postgres, down },
        Kind::HangPostgres => Act::Hang { server: Postgres, lasts: Duration::from_secs(10) },
        Kind::CutPostgres => Act::Cut { server: Postgres, how },
        Kind::SlowPostgres => slow(Postgres, dice),
        Kind::RestartS3 => Act::Restart { server: S3, down },
        Kind::SlowS3 => slow(S3, dice),
        Kind::S3Request => Act::S3 { how: s3(dice), requests: dice.random_range(1..=6) },
        Kind::AppView => Act::AppView { mood: pick(&MOODS, dice), lasts },
        Kind::SourceCut => source(&[SourceKind::Cut], there, dice),
        Kind::SourceDown => source(&[SourceKind::Down], there, dice),
        Kind::SourceAnew => source(&[SourceKind::NewSequences], there, dice),
        Kind::SourceOther => source(&OTHER, there, dice),
    }
}

fn s3(dice: &mut Dice) -> S3Fault {
    let late = S3Fault::Late(seconds(dice, 1.0, 8.0));
    pick(
        &[S3Fault::Unavailable, S3Fault::LostReply, S3Fault::HalfBody, S3Fault::HalfReply, S3Fault::Silence, late],
        dice,
    )
}

/// The figures of a source's fault are drawn by the simulator itself.
fn source(kinds: &[SourceKind], there: &There, dice: &mut Dice) -> Act {
    let mut drawn = turbo_sim::Schedule::seeded(dice.random(), Duration::from_millis(2500), kinds);
    let Some(planned) = drawn.next(1) else { return Act::Scale { to: there.workers } };
    // Most faults are to be felt.
    let behind = if dice.random_bool(0.7) { 0 } else { dice.random_range(0..there.hosts.max(1)) };
    Act::Source { behind, fault: planned.fault }
}

fn seconds(dice: &mut Dice, low: f64, high: f64) -> Duration {
    Duration::from_millis((dice.random_range(low..high) * 1000.0) as u64)
}

fn pick<T: Copy>(from: &[T], dice: &mut Dice) -> T {
    from[dice.random_range(0..from.len())]
}

fn shuffle<T>(list: &mut [T], dice: &mut Dice) {
    for at in (1..list.len()).rev() {
        list.swap(at, dice.random_range(0..=at));
    }
}

fn weighted(kinds: &[(Kind, f64)], dice: &mut Dice) -> Kind {
    let mut left = dice.random_range(0.0..kinds.iter().map(|kind| kind.1).sum());
    let found = kinds.iter().find(|(_, weight)| {
        left -= weight;
        left < 0.0
    });
    found.or(kinds.last()).map_or(Kind::KillWorker, |kind| kind.0)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:>9} events: {}", self.at, self.act)
    }
}
