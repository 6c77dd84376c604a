//! A run: the pipeline reads the world while the schedule goes on, until all is committed or nothing moves any more.

use crate::act::{Act, Server};
use crate::crew::Crew;
use crate::hands::Hand;
use crate::manifest::LEASE;
use crate::progress::Progress;
use crate::schedule::Step;
use crate::stage::Stage;
use crate::watch::{Seen, Watch};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often what is due is done.
const TICK: Duration = Duration::from_millis(50);
/// How long nothing may move, while no fault holds it, before the run is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long all has to stay committed.
const STILL: Duration = Duration::from_secs(5);
/// So many processes that end by themselves before anything is in the log are no accident.
const HOPELESS: usize = 20;

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All that is in the log is committed, and nothing more comes.
    Settled,
    /// Nothing moves any more, though not all is committed.
    Stuck,
}

/// A run that goes on.
pub struct Run<'a> {
    pub stage: Arc<Stage>,
    pub crew: &'a mut Crew,
    pub watch: &'a Watch,
    pub progress: &'a mut Progress,
    /// Events of the world.
    pub events: u64,
    steps: VecDeque<Step>,
    hands: BTreeMap<Server, Hand>,
    /// Servers that hang or are slow, until then.
    held: Vec<(Instant, Server)>,
    /// When a fault went on last.
    disturbed: Instant,
    now: String,
    /// The host that sent something last, and what each of them has sent.
    read_last: (usize, Vec<u64>),
}

impl<'a> Run<'a> {
    pub fn new(
        stage: Arc<Stage>,
        crew: &'a mut Crew,
        watch: &'a Watch,
        progress: &'a mut Progress,
        events: u64,
        steps: &[Step],
    ) -> Self {
        let hand = |server| (server, Hand::over(stage.clone(), server));
        let hands = [Server::Nats, Server::Postgres, Server::S3].map(hand).into();
        Self {
            read_last: (0, vec![0; stage.network.hosts()]),
            steps: steps.iter().cloned().collect(),
            now: "no fault yet".to_owned(),
            disturbed: Instant::now(),
            held: Vec::new(),
            stage,
            crew,
            watch,
            progress,
            events,
            hands,
        }
    }

    /// Goes on to the end.
    ///
    /// # Errors
    /// The program can not be run, or a server does not come back.
    pub fn go_on(&mut self) -> io::Result<End> {
        loop {
            self.crew.tend()?;
            self.let_go();
            self.listen();
            let seen = self.watch.now();
            while self.steps.front().is_some_and(|step| step.at <= seen.committed) {
                if let Some(step) = self.steps.pop_front() {
                    let on = self.perform(&step.act);
                    self.now = format!("{}{on}", step.act);
                    self.progress.say(&format!("at {} events: {}", seen.committed, self.now));
                    self.disturbed = Instant::now();
                }
            }
            self.tell(&seen);
            if let Some(end) = self.end(&seen) {
                return Ok(end);
            }
            if self.hands.values().any(Hand::has_failed) {
                return Err(io::Error::other("a server did not come back"));
            }
            if seen.logged == 0 && self.crew.told.odd.len() > HOPELESS {
                return Err(io::Error::other("the processes end by themselves before they do anything"));
            }
            std::thread::sleep(TICK);
        }
    }

    fn end(&mut self, seen: &Seen) -> Option<End> {
        if !self.held.is_empty() || self.hands.values().any(Hand::is_busy) || !self.crew.is_whole() {
            self.disturbed = Instant::now();
        }
        let (still, undisturbed) = (seen.changed.elapsed(), self.disturbed.elapsed());
        let all_told = self.stage.network.happened() >= self.events && self.steps.is_empty();
        // What is not yet known to be wrong may still come; what came twice shows as more than all.
        let whole = seen.committed >= self.events && seen.all_committed();
        // Whoever is gone by then is known to be gone, and what was his has another owner.
        if all_told && whole && still >= STILL && undisturbed >= 2 * LEASE && seen.answered.elapsed() < STILL {
            return Some(End::Settled);
        }
        if still.min(undisturbed) < PATIENCE {
            return None;
        }
        // Events that the pipeline may pass over are no loss: the comparison knows.
        Some(if all_told && seen.all_committed() { End::Settled } else { End::Stuck })
    }

    fn tell(&mut self, seen: &Seen) {
        let (ingesters, workers) = self.crew.alive();
        let (happened, now) = (self.stage.network.happened(), &self.now);
        let more = || {
            let sinks: Vec<String> = seen.positions.iter().map(|(sink, n)| format!("{sink} {n}")).collect();
            let left = self.steps.len();
            format!(
                "{happened} made, log {}, {}; {ingesters} ingesters, {workers} workers; {left} faults left; {now}",
                seen.logged,
                sinks.join(", ")
            )
        };
        self.progress.at(seen.committed, more);
    }

    /// Does it; says what it fell on.
    fn perform(&mut self, act: &Act) -> String {
        let on = |name: String| format!(" ({name})");
        match *act {
            Act::Kill { role, which, back } => on(self.crew.kill(role, which, back)),
            Act::Pause { role, which, lasts } => on(self.crew.pause(role, which, lasts)),
            Act::Stop { role, which, back } => on(self.crew.stop(role, which, back)),
            Act::Scale { to } => {
                self.crew.scale(to);
                String::new()
            }
            Act::Restart { server, down } => self.restart(server, false, down),
            Act::Crash { server, down } => self.restart(server, true, down),
            Act::Hang { server, lasts } => {
                self.stage.hang(server, true);
                self.held.push((Instant::now() + lasts, server));
                String::new()
            }
            Act::Slow { server, each, lasts } => {
                self.stage.slow(server, each);
                self.held.push((Instant::now() + lasts, server));
                String::new()
            }
            Act::Cut { server, how } => {
                self.stage.cut(server, how);
                String::new()
            }
            Act::S3 { how, requests } => {
                self.stage.fail_s3(how, requests);
                String::new()
            }
            Act::AppView { mood, lasts } => {
                self.stage.network.appview_mood(mood, lasts);
                String::new()
            }
            Act::Source { behind, ref fault } => {
                let host = (self.read_last.0 + behind) % self.stage.network.hosts();
                let fell = self.stage.network.fault(host, fault);
                on(format!("host {host}, {fell} subscriptions"))
            }
        }
    }

    fn restart(&mut self, server: Server, crash: bool, down: Duration) -> String {
        if let Some(hand) = self.hands.get_mut(&server) {
            hand.restart(crash, down);
        }
        String::new()
    }

    /// Finds out which host is read.
    fn listen(&mut self) {
        for (host, sent) in self.read_last.1.iter_mut().enumerate() {
            let rows = self.stage.network.stats(host).rows;
            if std::mem::replace(sent, rows) != rows {
                self.read_last.0 = host;
            }
        }
    }

    /// Servers that hang or are slow go on when it is time.
    fn let_go(&mut self) {
        let now = Instant::now();
        for (_, server) in self.held.extract_if(.., |(until, _)| *until <= now) {
            self.stage.hang(server, false);
            self.stage.slow(server, Duration::ZERO);
        }
    }
}
