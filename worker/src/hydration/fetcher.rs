//! The task that looks up what is wanted.
//!
//! Invariants: calls are sent by the turns of one [`Pacer`], a bounded number at a time; every item that was taken from
//! [`Wanted`] is answered or given back to the cache as failed; a name that is refused is found by halves and counts as
//! missing, so that it spoils no call again; what is too large for one answer is asked for by halves too.

use super::cache::{Cache, Entry, Known};
use super::changes::Change;
use super::client::{self, AppView, Error};
use super::hosts::Hosts;
use super::item::{Item, Kind};
use super::limits::Limits;
use super::pacer::{Outcome, Pacer};
use super::report::{Report, Told};
use super::shared::SharedCache;
use super::wanted::Wanted;
use crate::telemetry::events;
use crate::telemetry::metrics as m;
use jiff::Timestamp;
use metrics::counter;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Calls on their way at once.
const IN_FLIGHT: usize = 8;
/// Looks into what all workers share, of up to a call's items each, on their way at once.
const LOOKS: usize = 4;
/// From how many items that were not there on nothing more is looked for: the hosts are what is waited for.
const AHEAD: usize = 200;

/// What others ask of the fetcher, and see of it.
#[derive(Clone)]
pub struct Handle(Arc<Parts>);

struct Parts {
    cache: Arc<Cache>,
    wanted: Mutex<Wanted>,
    more: Notify,
    /// Grows with each answer that was kept.
    landed: watch::Sender<u64>,
}

impl Handle {
    /// For this cache; nothing is wanted yet.
    #[must_use]
    pub fn new(cache: Arc<Cache>) -> Self {
        let (wanted, more, landed) = (Mutex::default(), Notify::new(), watch::Sender::new(0));
        Self(Arc::new(Parts { cache, wanted, more, landed }))
    }

    /// Records that have just arrived want these.
    pub fn fresh(&self, items: impl IntoIterator<Item = Item>) {
        let mut wanted = self.wanted();
        items.into_iter().for_each(|item| wanted.fresh(item));
        drop(wanted);
        self.0.more.notify_one();
    }

    /// Records that wait in the catalog want these.
    pub fn deferred(&self, items: impl IntoIterator<Item = Item>) {
        let mut wanted = self.wanted();
        items.into_iter().for_each(|item| wanted.deferred(item));
        drop(wanted);
        self.0.more.notify_one();
    }

    /// How many are wanted: by new records, and by those of the catalog.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        self.wanted().len()
    }

    /// Changes whenever answers have come.
    #[must_use]
    pub fn landed(&self) -> watch::Receiver<u64> {
        self.0.landed.subscribe()
    }

    /// Bytes in the cache, and items.
    #[must_use]
    pub fn cached(&self) -> (u64, u64) {
        self.0.cache.size()
    }

    fn wanted(&self) -> MutexGuard<'_, Wanted> {
        self.0.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks up what is wanted.
pub struct Fetcher {
    handle: Handle,
    hosts: Hosts,
    pacer: Pacer,
    report: Report,
    calls: JoinSet<Ended>,
    /// Halves of calls that were refused.
    halves: VecDeque<Call>,
    /// What all workers share, where they do.
    shared: Option<SharedCache>,
    /// What is being looked for there.
    looks: JoinSet<Looked>,
    /// What was not there; all of it is marked in the cache as asked for.
    missed: Wanted,
}

/// What a call asks for; all of it is marked in the cache as asked for.
struct Call {
    kind: Kind,
    items: Vec<Item>,
    /// Profiles that come with posts.
    beside: Vec<Item>,
}

/// Items, and what all workers share of them.
struct Looked {
    items: Vec<Item>,
    known: Vec<(Item, Entry)>,
}

/// A call that has ended.
struct Ended {
    call: Call,
    host: Arc<AppView>,
    sent: (Instant, i64),
    answer: Result<client::Told, Error>,
    limits: Option<Limits>,
}

impl Fetcher {
    /// Asks these hosts, of which there is one at least.
    #[must_use]
    pub fn new(handle: Handle, hosts: Vec<AppView>, pacer: Pacer, report: Report) -> Self {
        let hosts = Hosts::new(hosts);
        let (calls, halves, missed) = (JoinSet::new(), VecDeque::new(), Wanted::default());
        Self { handle, hosts, pacer, report, calls, halves, shared: None, looks: JoinSet::new(), missed }
    }

    /// The same, which looks first into what all workers share.
    #[must_use]
    pub fn sharing(self, shared: Option<SharedCache>) -> Self {
        Self { shared, ..self }
    }

    /// Runs until the token fires.
    pub async fn run(mut self, stop: CancellationToken) {
        let parts = Arc::clone(&self.handle.0);
        let mut next = None;
        loop {
            self.look();
            if next.is_none() && self.calls.len() < IN_FLIGHT {
                next = self.next();
            }
            tokio::select! {
                () = stop.cancelled() => return,
                Some(looked) = self.looks.join_next() => self.looked(looked),
                Some(ended) = self.calls.join_next() => self.ended(ended),
                () = self.pacer.turn(), if next.is_some() => next.take().into_iter().for_each(|call| self.send(call)),
                () = parts.more.notified(), if next.is_none() => {}
            }
        }
    }

    /// What is asked for next: without what is on its way.
    fn next(&mut self) -> Option<Call> {
        if let Some(half) = self.halves.pop_front() {
            return Some(half);
        }
        let cache = &self.handle.0.cache;
        let (kind, items) = match self.shared {
            Some(_) => self.missed.next(|_, _| true)?,
            None => self.wanted()?,
        };
        let authors = items.iter().filter(|item| item.kind() == Kind::Post).map(Item::did);
        let beside = authors.filter_map(Item::profile).filter(|item| cache.asks(item)).collect();
        Some(Call { kind, items, beside })
    }

    /// The first that are wanted, of one kind; they are marked as asked for.
    fn wanted(&self) -> Option<(Kind, Vec<Item>)> {
        let cache = &self.handle.0.cache;
        // What was told since it was wanted needs no call any more.
        let asks = |item: &Item, since: Instant| cache.get(item, since.elapsed()).is_none() && cache.asks(item);
        self.handle.wanted().next(asks)
    }

    /// Looks into what all workers share, a little ahead of the calls.
    fn look(&mut self) {
        let Some(shared) = &self.shared else { return };
        while self.looks.len() < LOOKS
            && self.missed.len().0 < AHEAD
            && let Some((_, items)) = self.wanted()
        {
            let shared = shared.clone();
            self.looks.spawn(async move {
                let known = shared.get(&items).await;
                Looked { items, known }
            });
        }
    }

    fn looked(&mut self, looked: Result<Looked, JoinError>) {
        let Ok(Looked { items, known }) = looked else { return };
        let mut known: HashMap<Item, Entry> = known.into_iter().collect();
        let any = !known.is_empty();
        for item in items {
            match known.remove(&item) {
                Some(entry) => drop(self.handle.0.cache.answered(&item, entry)),
                None => self.missed.fresh(item),
            }
        }
        if any {
            self.handle.0.landed.send_modify(|count| *count += 1);
        }
    }

    fn send(&mut self, call: Call) {
        let Some(host) = self.hosts.current() else { return };
        let sent = (Instant::now(), Timestamp::now().as_microsecond());
        self.calls.spawn(async move {
            let (answer, limits) = host.look_up(call.kind, &call.items).await;
            Ended { call, host, sent, answer, limits }
        });
    }

    fn ended(&mut self, ended: Result<Ended, JoinError>) {
        // A call that ended by a fault of ours tells nothing of the host, but the breaker waits for it.
        let Ok(Ended { call, host, sent, answer, limits }) = ended else {
            return self.pacer.ended(Outcome::Failed, None);
        };
        let many = call.items.len() > 1;
        let outcome = match &answer {
            Ok(_) | Err(Error::Refused(_)) => Outcome::Answered,
            Err(Error::Large) if many => Outcome::Answered,
            Err(Error::Busy(wait)) => Outcome::Busy(*wait),
            Err(Error::Session(_) | Error::Status(_) | Error::Unreachable(_) | Error::Malformed | Error::Large) => {
                Outcome::Failed
            }
        };
        self.pacer.ended(outcome, limits);
        self.tell(&host, outcome, answer.as_ref().err());
        if outcome == Outcome::Failed && self.pacer.is_open() {
            self.hosts.failed(&host);
        }
        match answer {
            Ok(told) => self.told(&call, told, sent),
            Err(Error::Refused(_) | Error::Large) if many => return self.halve(call),
            // It is no name, whatever it looks like.
            Err(Error::Refused(_)) => {
                let known = call.items.iter().map(|item| (item.clone(), Known::Missing)).collect();
                self.told(&call, client::Told { known, beside: HashMap::new() }, sent);
            }
            // The records wait in the catalog, and want it again.
            Err(_) => self.told(&call, client::Told { known: HashMap::new(), beside: HashMap::new() }, sent),
        }
        self.handle.0.landed.send_modify(|count| *count += 1);
    }

    fn tell(&self, host: &AppView, outcome: Outcome, error: Option<&Error>) {
        let label = match (outcome, error) {
            (Outcome::Failed, _) => "failed",
            (Outcome::Busy(_), _) => "busy",
            (Outcome::Answered, Some(_)) => "refused",
            (Outcome::Answered, None) => "answered",
        };
        counter!(m::HYDRATION_REQUESTS, "outcome" => label).increment(1);
        let error = error.filter(|error| !matches!(error, Error::Refused(_))).map(ToString::to_string);
        let (host, left_alone) = (host.host(), self.pacer.is_open());
        self.report.tell(|told| {
            match (&error, &told.error) {
                (Some(error), before) => events::HydrationFailed { host, error, first: before.is_none() }.emit(),
                (None, Some(_)) => events::HydrationAnswered { host }.emit(),
                (None, None) => {}
            }
            told.requests += 1;
            *told = Told { host: host.to_owned(), error, left_alone, ..told.clone() };
        });
    }

    /// Everything that the call has asked for is kept as it was told, and shared, or given back.
    fn told(&self, call: &Call, mut told: client::Told, sent: (Instant, i64)) {
        let cache = &self.handle.0.cache;
        let mut kept = Vec::new();
        for item in call.items.iter().chain(&call.beside) {
            let Some(known) = told.known.remove(item).or_else(|| told.beside.remove(item)) else {
                cache.failed(item);
                continue;
            };
            if cache.answered(item, Entry { known: known.clone(), at: sent.0, at_us: sent.1 }) {
                kept.push(Change::Item(item.clone(), Some((known, sent.1))));
            }
        }
        if let Some(shared) = self.shared.clone() {
            tokio::spawn(async move { shared.tell(&kept).await });
        }
    }

    /// One of the names is refused: it is in one of the halves.
    fn halve(&mut self, mut call: Call) {
        let items = call.items.split_off(call.items.len() / 2);
        let (beside, rest) =
            call.beside.into_iter().partition(|profile| items.iter().any(|item| item.did() == profile.did()));
        self.halves.push_back(Call { kind: call.kind, items, beside });
        self.halves.push_back(Call { kind: call.kind, items: call.items, beside: rest });
    }
}
