//! The task that looks up what is wanted.
//!
//! Invariants: calls are sent by the turns of one [`Pacer`], a bounded number at a time; every item that was taken from
//! [`Wanted`] is answered or given back to the cache as failed; a name that is refused is found by halves, so that it spoils no
//! other; so is a view that can not be read, and what is too large for one answer. By itself it counts as missing only where
//! the same host refuses it twice, and answers another item between: else it is the host that refuses.

use super::cache::{Cache, Entry, Known};
use super::calls::{Call, Doubt, Ended, Hosts};
use super::changes::Change;
use super::client::{AppView, Error, Told};
use super::item::{Item, Kind};
use super::pacer::{Pacer, Shared};
use super::report::Report;
use super::shared::SharedCache;
use super::standing::Outcome;
use super::wanted::{Want, Wanted};
use crate::telemetry::metrics as m;
use futures_util::FutureExt;
use jiff::Timestamp;
use metrics::counter;
use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Calls on their way at once.
const IN_FLIGHT: usize = 32;
/// Looks into what all workers share, of up to a call's items each, on their way at once.
const LOOKS: usize = 4;
/// Between two looks at how the hosts stand.
const TELL: Duration = Duration::from_secs(1);
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
    pub fn fresh(&self, wants: impl IntoIterator<Item = Want>) {
        let mut wanted = self.wanted();
        wants.into_iter().for_each(|want| wanted.fresh(want));
        drop(wanted);
        self.0.more.notify_one();
    }

    /// Records that wait in the catalog want these, and nothing else any more.
    pub fn deferred(&self, wants: impl IntoIterator<Item = Want>) {
        self.wanted().deferred(wants);
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

/// When a call was sent, by both clocks.
type Sent = (Instant, i64);

/// Looks up what is wanted.
pub struct Fetcher {
    handle: Handle,
    hosts: Hosts,
    pacer: Pacer,
    calls: JoinSet<Ended>,
    /// What is left of calls that were refused.
    halves: VecDeque<Call>,
    /// One that was found last, for each kind: a host that works answers it.
    found: HashMap<Kind, Item>,
    /// What all workers share, where they do.
    shared: Option<SharedCache>,
    /// What is being looked for there.
    looks: JoinSet<Looked>,
    /// What was not there; all of it is marked in the cache as asked for.
    missed: Wanted,
}

/// What was wanted, and what all workers share of it that is young enough.
struct Looked {
    wants: Vec<Want>,
    known: Vec<(Item, Entry)>,
}

impl Fetcher {
    /// Asks these hosts, within this rate for the whole pipeline and this worker's share of it.
    #[must_use]
    pub fn new(handle: Handle, hosts: Vec<AppView>, rate: f64, share: Shared, report: Report) -> Self {
        let pacer = Pacer::new(rate, share, hosts.len());
        let hosts = Hosts::new(hosts, report);
        let (calls, halves, missed) = (JoinSet::new(), VecDeque::new(), Wanted::default());
        let found = HashMap::new();
        Self { handle, hosts, pacer, calls, halves, found, shared: None, looks: JoinSet::new(), missed }
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
        let mut tell = tokio::time::interval(TELL);
        loop {
            self.look();
            if next.is_none() && self.calls.len() < IN_FLIGHT {
                next = self.next();
            }
            tokio::select! {
                () = stop.cancelled() => return,
                Some(Ok(looked)) = self.looks.join_next() => self.looked(looked),
                Some(Ok(ended)) = self.calls.join_next() => self.ended(ended),
                host = self.pacer.turn(|host| self.hosts.waits(host)), if next.is_some() => {
                    next.take().into_iter().for_each(|call| self.send(host, call));
                }
                () = parts.more.notified(), if next.is_none() => {}
                _ = tell.tick() => self.tell_standing(next.is_some()),
            }
        }
    }

    /// What is asked for next: without what is on its way.
    fn next(&mut self) -> Option<Call> {
        if let Some(half) = self.halves.pop_front() {
            return Some(half);
        }
        let cache = &self.handle.0.cache;
        let (kind, wants) = match self.shared {
            Some(_) => self.missed.next(|_, _| true)?,
            None => self.wanted()?,
        };
        let items: Vec<Item> = wants.into_iter().map(|want| want.item).collect();
        let authors = items.iter().filter(|item| item.kind() == Kind::Post).map(Item::did);
        let beside = authors.filter_map(Item::profile).filter(|item| cache.asks(item)).collect();
        Some(Call::new(kind, items, beside))
    }

    /// The first that are wanted, of one kind; they are marked as asked for.
    fn wanted(&self) -> Option<(Kind, Vec<Want>)> {
        let cache = &self.handle.0.cache;
        // What was told since it was wanted needs no call any more.
        let asks = |item: &Item, since: Instant| cache.get(item, since.elapsed()).is_none() && cache.asks(item);
        self.handle.wanted().next(asks)
    }

    /// Looks into what all workers share, a little ahead of the calls.
    fn look(&mut self) {
        let Some(shared) = &self.shared else { return };
        while self.looks.len() < LOOKS
            && self.missed.len().1 < AHEAD
            && let Some((_, wants)) = self.wanted()
        {
            let shared = shared.clone();
            self.looks.spawn(async move {
                let known = AssertUnwindSafe(shared.get(&wants)).catch_unwind().await.unwrap_or_default();
                Looked { wants, known }
            });
        }
    }

    fn looked(&mut self, Looked { wants, known }: Looked) {
        let mut known: HashMap<Item, Entry> = known.into_iter().collect();
        let any = !known.is_empty();
        for want in wants {
            match known.remove(&want.item) {
                Some(entry) => drop(self.handle.0.cache.answered(&want.item, entry)),
                None => self.missed.deferred_too(want),
            }
        }
        if any {
            self.handle.0.landed.send_modify(|count| *count += 1);
        }
    }

    fn send(&mut self, host: usize, call: Call) {
        let sent = (Instant::now(), Timestamp::now().as_microsecond());
        self.calls.spawn(self.hosts.ask(host, call, sent));
    }

    fn ended(&mut self, mut ended: Ended) {
        let outcome = self.hosts.outcome(&ended);
        self.pacer.ended(ended.host, ended.sent.0, outcome, ended.limits.take());
        self.hosts.tell(&ended, outcome);
        let Ended { mut call, host, sent, answer, .. } = ended;
        match (std::mem::take(&mut call.doubt), answer) {
            (Doubt::Probe(doubted), Ok(told)) if !told.unclear && outcome == Outcome::Answered => {
                self.halves.push_back(Call { doubt: Doubt::Again(host), ..*doubted });
            }
            (Doubt::Probe(doubted), _) => self.told(&doubted, Told::default(), sent),
            (doubt, Ok(told)) if told.unclear && outcome == Outcome::Answered => {
                self.unclear(call, doubt, told, &(host, sent))
            }
            (_, Ok(told)) if outcome == Outcome::Answered => self.told(&call, told, sent),
            (doubt, Err(Error::Refused(_) | Error::Large)) if outcome == Outcome::Answered => {
                self.refused(call, doubt, &(host, sent));
            }
            // The records wait in the catalog, and want it again.
            (_, _) => self.told(&call, Told::default(), sent),
        }
        self.handle.0.landed.send_modify(|count| *count += 1);
    }

    fn tell_standing(&self, wants: bool) {
        let held = wants.then(|| self.pacer.held()).flatten();
        self.hosts.tell_standing(self.pacer.rests(), held);
    }

    /// One of the names is refused: it is in one of the halves. By itself it is no name, whatever it looks like, or it is the host.
    fn refused(&mut self, call: Call, doubt: Doubt, (host, sent): &(usize, Sent)) {
        if call.items.len() > 1 {
            return self.halves.extend(call.halves());
        }
        match (doubt, self.found.get(&call.kind)) {
            (Doubt::Again(answered), _) if answered == *host => {
                let known = call.items.iter().map(|item| (item.clone(), Known::Missing)).collect();
                self.told(&call, Told { known, ..Told::default() }, *sent);
            }
            (Doubt::None, Some(found)) => {
                let probe = Call::new(call.kind, vec![found.clone()], Vec::new());
                self.halves.push_back(Call { doubt: Doubt::Probe(Box::new(call)), ..probe });
            }
            _ => self.told(&call, Told::default(), *sent),
        }
    }

    /// One of the views can not be read: it may be of any item that nothing is told of.
    fn unclear(&mut self, call: Call, doubt: Doubt, told: Told, from: &(usize, Sent)) {
        let Call { kind, items, beside, .. } = call;
        let (items, rest): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| told.known.contains_key(item));
        self.told(&Call::new(kind, items, beside), told, from.1);
        if !rest.is_empty() {
            self.refused(Call::new(kind, rest, Vec::new()), doubt, from);
        }
    }

    /// Everything that the call has asked for is kept as it was told, and shared, or given back.
    fn told(&mut self, call: &Call, mut told: Told, sent: Sent) {
        let is_found = |item: &&Item| matches!(told.known.get(*item), Some(Known::Found(_)));
        if let Some(found) = call.items.iter().find(is_found) {
            self.found.insert(call.kind, found.clone());
        }
        let cache = &self.handle.0.cache;
        let mut kept = Vec::new();
        for item in call.items.iter().chain(&call.beside) {
            let Some(known) = told.known.remove(item).or_else(|| told.beside.remove(item)) else {
                cache.failed(item);
                continue;
            };
            if known == Known::Missing {
                counter!(m::HYDRATION_LEFT_OUT, "kind" => item.kind().as_str()).increment(1);
            }
            if cache.answered(item, Entry { known: known.clone(), at: sent.0, at_us: sent.1 }) {
                kept.push(Change::Item(item.clone(), Some((known, sent.1))));
            }
        }
        if let Some(shared) = self.shared.clone() {
            tokio::spawn(async move { shared.tell(&kept).await });
        }
    }
}
