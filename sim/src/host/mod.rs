//! One server: its own view of the world, with its own numbers, clock and delays.

pub(crate) mod block;
pub(crate) mod clock;
mod config;
pub(crate) mod cursor;
mod delay;
mod gate;
mod log;
mod segment;
#[cfg(test)]
mod tests;

pub use config::{Flavour, HostConfig, Manners, Slow, TimeCursors};

use crate::fault::Order;
use crate::wire::dictionary::Dictionary;
use crate::wire::{Dialect, Row, Wire};
use crate::world::Happening;
use block::Block;
use clock::Clock;
use cursor::{Cursor, Start, TooOld};
use delay::{Delays, OnTheWay};
use gate::Gate;
use log::Log;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// One server.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) config: HostConfig,
    /// Its place among the hosts of the network.
    pub(crate) number: usize,
    pub(crate) clock: Arc<Clock>,
    view: RwLock<View>,
    /// Changes whenever there is more to send.
    tip: watch::Sender<u64>,
    gate: Mutex<Gate>,
    /// Told when the host goes down.
    down: Notify,
    sessions: Mutex<Vec<mpsc::UnboundedSender<Order>>>,
    pub(crate) counts: Counts,
}

#[derive(Debug)]
struct View {
    log: Log,
    on_the_way: OnTheWay,
    delays: Delays,
    /// Goes up when sequences start anew.
    life: u64,
}

/// What a host has done so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connections: AtomicU64,
    pub(crate) subscriptions: AtomicU64,
    pub(crate) rows: AtomicU64,
}

impl Host {
    pub(crate) fn new(config: HostConfig, number: usize, clock: Arc<Clock>, keep_frames: bool) -> Self {
        let delays = Delays { seed: number as u64, skew_us: config.skew_us };
        let log = Log::new(config.sequence_base, keep_frames);
        Self {
            view: RwLock::new(View { log, on_the_way: OnTheWay::default(), delays, life: 0 }),
            tip: watch::Sender::new(0),
            gate: Mutex::default(),
            down: Notify::new(),
            sessions: Mutex::default(),
            counts: Counts::default(),
            number,
            clock,
            config,
        }
    }

    /// Tells of what happened; the host will see it when its delay has passed.
    pub(crate) fn tell(&self, happenings: &[Arc<Happening>]) {
        let mut view = self.write();
        let delays = view.delays;
        happenings.iter().for_each(|happening| view.on_the_way.push(Arc::clone(happening), delays));
    }

    /// Sees what is to be seen up to a true time.
    pub(crate) fn see(&self, until_us: i64) {
        if !self.read_view().on_the_way.is_due(until_us) {
            return;
        }
        let mut view = self.write();
        self.take(&mut view, until_us);
        drop(view);
        self.announce();
    }

    fn take(&self, view: &mut View, until_us: i64) {
        let mut seen = view.on_the_way.seen(until_us);
        seen.iter_mut().for_each(|(seen_us, _)| *seen_us += self.config.clock_offset_us);
        view.log.append(seen, &self.config);
    }

    fn announce(&self) {
        self.tip.send_modify(|version| *version += 1);
    }

    /// The host's own clock.
    pub(crate) fn now_us(&self) -> i64 {
        self.clock.now_us() + self.config.clock_offset_us
    }

    /// Where a subscription begins, and in which life of the host.
    pub(crate) fn resolve(&self, cursor: Cursor, clamp: bool) -> Result<(u64, Start), TooOld> {
        let view = self.read_view();
        let start = view.log.resolve(cursor, self.now_us(), clamp, &self.config)?;
        Ok((view.life, start))
    }

    /// The blocks from a sequence on; none where sequences have started anew since.
    pub(crate) fn read(&self, life: u64, from: u64, most: usize) -> Option<Vec<(Arc<Block>, usize)>> {
        let view = self.read_view();
        (view.life == life).then(|| view.log.read(from, most))
    }

    /// The last rows before a sequence.
    pub(crate) fn before(&self, life: u64, seq: u64, count: usize) -> Vec<Row> {
        let view = self.read_view();
        if view.life == life { view.log.before(seq, count) } else { Vec::new() }
    }

    pub(crate) fn next_seq(&self) -> u64 {
        self.read_view().log.next_seq()
    }

    /// Whether everything told was seen.
    pub(crate) fn is_settled(&self) -> bool {
        self.read_view().on_the_way.is_empty()
    }

    pub(crate) fn dialect(&self) -> Dialect {
        Dialect { v1_cursor: self.config.flavour == Flavour::New, witnessed_at: self.config.witnessed_at }
    }

    /// Stores the last rows once more, under new sequences.
    pub(crate) fn repeat(&self, count: usize) {
        let mut view = self.write();
        let next = view.log.next_seq();
        let now_us = view.log.last_us();
        let again = view.log.before(next, count).into_iter().map(|row| (now_us, row.happening)).collect();
        view.log.append(again, &self.config);
        drop(view);
        self.announce();
    }

    /// Starts its sequences anew, over all that it still has. `within_us`: with other delays, up to this.
    pub(crate) fn restart(&self, base: u64, within_us: Option<i64>) {
        let mut view = self.write();
        view.life += 1;
        if let Some(skew_us) = within_us {
            view.delays = Delays { seed: view.delays.seed.wrapping_add(0x9e37_79b9), skew_us };
        }
        let mut all: Vec<Arc<Happening>> = view.log.happenings().map(Arc::clone).collect();
        all.extend(view.on_the_way.drain());
        all.sort_by_key(|happening| happening.index);
        all.dedup_by_key(|happening| happening.index);
        let delays = view.delays;
        all.into_iter().for_each(|happening| view.on_the_way.push(happening, delays));
        view.log = view.log.anew(base);
        self.take(&mut view, self.clock.seen_until_us());
        drop(view);
        self.announce();
    }

    /// Does not even listen for so long.
    pub(crate) fn go_down(&self, lasts: Duration) {
        self.gate().down(lasts);
        self.down.notify_one();
    }

    /// Waits until the host goes down.
    pub(crate) async fn downs(&self) {
        self.down.notified().await;
    }

    /// Encodes everything that is there.
    pub(crate) fn prepare(&self, wire: Wire, dictionary: Option<&Dictionary>) -> io::Result<()> {
        let mut from = 0;
        loop {
            let blocks = self.read_view().log.read(from, 1);
            let Some((block, _)) = blocks.first() else { return Ok(()) };
            block.frames(wire, self.dialect(), dictionary)?;
            from = block.last_seq() + 1;
        }
    }

    pub(crate) fn tip(&self) -> watch::Receiver<u64> {
        self.tip.subscribe()
    }

    pub(crate) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes orders for a new session.
    pub(crate) fn enlist(&self) -> mpsc::UnboundedReceiver<Order> {
        let (orders, received) = mpsc::unbounded_channel();
        self.counts.subscriptions.fetch_add(1, Ordering::Relaxed);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| !session.is_closed());
        sessions.push(orders);
        received
    }

    /// Gives an order to all sessions; returns how many took it.
    pub(crate) fn order(&self, order: &Order) -> usize {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.iter().filter(|session| session.send(order.clone()).is_ok()).count()
    }

    fn read_view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }
}
