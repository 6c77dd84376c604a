//! One subscription: replay and live in one loop that pulls from the host's log, with increasing sequences.
//!
//! Invariant: `position` is the sequence of the next row to look at, and is passed only by rows whose frames were
//! handed to the outbox, or that the filter leaves out.

mod ending;
mod feed;
mod hear;
mod inbox;
mod obey;
mod odd;
mod outbox;
mod slow;

use super::subscribe::filter::Filter;
use crate::fault::{Odd, Order};
use crate::host::block::Block;
use crate::host::cursor::Notice;
use crate::host::{Flavour, Host};
use crate::wire::dictionary::Dictionary;
use crate::wire::frames::Frames;
use crate::wire::{Wire, frame, v2};
use bytes::Bytes;
use ending::Ending;
use inbox::Inbox;
use outbox::Outbox;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

/// How a subscription begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning {
    /// The host's life that the sequence belongs to.
    pub(crate) life: u64,
    pub(crate) seq: u64,
    /// What v2 tells first.
    pub(crate) notice: Option<Notice>,
    /// Nothing is sent before an `options_update`.
    pub(crate) hello: bool,
    /// It begins with what happens next.
    pub(crate) live: bool,
}

pub(crate) struct Session {
    host: Arc<Host>,
    wire: Wire,
    dictionary: Option<Arc<Dictionary>>,
    filter: Filter,
    life: u64,
    position: u64,
    awaits_hello: bool,
    live: bool,
    /// Frames that go before further events.
    urgent: VecDeque<Vec<u8>>,
    /// A frame that takes the place of the next event.
    instead: Option<Odd>,
    stalled: Option<Instant>,
    /// The block being sent.
    held: Option<(Arc<Block>, Arc<Frames>)>,
    slow: slow::Watch,
    next_ping: Instant,
    pings: u64,
    /// Until when a pong must come.
    pong_by: Option<Instant>,
}

/// What is to be sent next.
enum Next {
    Bytes(Bytes),
    /// Nothing yet, but there is more to look at.
    Again,
    /// Nothing until something happens.
    Wait,
}

impl Session {
    pub(crate) fn new(
        host: Arc<Host>,
        wire: Wire,
        dictionary: Option<Arc<Dictionary>>,
        filter: Filter,
        begin: Beginning,
    ) -> Self {
        let manners = &host.config.manners;
        let mut session = Self {
            wire,
            dictionary,
            filter,
            life: begin.life,
            position: begin.seq,
            awaits_hello: begin.hello,
            live: begin.live,
            urgent: VecDeque::new(),
            instead: None,
            stalled: None,
            held: None,
            slow: slow::Watch::new(manners.slow),
            next_ping: Instant::now() + manners.ping_every,
            pings: 0,
            pong_by: None,
            host,
        };
        if let Some(notice) = begin.notice {
            session.tell(notice);
        }
        session
    }

    /// The `#info` frame; its words are those of jetstream's `handler.go`.
    fn tell(&mut self, notice: Notice) {
        let seq = self.position;
        let (name, message) = match notice {
            Notice::BelowFloor => {
                ("OutdatedCursor", format!("requested timestamp cursor below retention floor; starting at seq {seq}"))
            }
            Notice::BeforeOldest => {
                let why = "requested timestamp cursor precedes the oldest archived event";
                ("OutdatedCursor", format!("{why}; starting at seq {seq}"))
            }
            Notice::Future(asked) => {
                let why = format!("requested seq cursor {asked} is beyond this archive's next seq");
                ("FutureCursor", format!("{why}; starting at the live tip"))
            }
        };
        let frame = self.pack(&v2::info(name, &message));
        self.urgent.push_back(frame);
    }

    fn pack(&self, text: &str) -> Vec<u8> {
        odd::pack(text.as_bytes(), self.dictionary.as_deref())
    }

    /// Runs until the end. `rest` is what came after the request.
    pub(crate) async fn run(mut self, mut socket: TcpStream, rest: Vec<u8>, stop: CancellationToken) {
        let (orders, tip) = (self.host.enlist(), self.host.tip());
        let (mut reader, mut writer) = socket.split();
        let (mut inbox, mut outbox) = (Inbox::new(rest), Outbox::new());
        let ending = match self.listen(&mut inbox) {
            Err(ending) => ending,
            Ok(()) => {
                let ends = (&mut reader, &mut writer);
                self.turn(ends, &mut inbox, &mut outbox, orders, tip, &stop).await
            }
        };
        ending.perform(&mut reader, &mut writer, outbox.rest(), &stop).await;
    }

    async fn turn(
        &mut self,
        (reader, writer): (&mut ReadHalf<'_>, &mut WriteHalf<'_>),
        inbox: &mut Inbox,
        outbox: &mut Outbox,
        mut orders: mpsc::UnboundedReceiver<Order>,
        mut tip: watch::Receiver<u64>,
        stop: &CancellationToken,
    ) -> Ending {
        loop {
            let mut again = false;
            if outbox.is_empty() {
                match self.next() {
                    Ok(Next::Bytes(bytes)) => outbox.fill(bytes),
                    Ok(Next::Again) => again = true,
                    Ok(Next::Wait) => {}
                    Err(ending) => return ending,
                }
            }
            let wake = self.wake(outbox);
            let turned = tokio::select! {
                biased;
                () = stop.cancelled() => return self.shut_down(),
                Some(order) = orders.recv() => self.obey(&order, outbox),
                read = inbox.receive(reader) => match read {
                    Ok(1..) => self.listen(inbox),
                    _ => return Ending::Drop,
                },
                wrote = writer.write(outbox.rest()), if !outbox.is_empty() => match wrote {
                    Ok(count) => {
                        outbox.took(count);
                        Ok(())
                    }
                    Err(_) => return Ending::Drop,
                },
                () = std::future::ready(()), if again => Ok(()),
                Ok(()) = tip.changed(), if outbox.is_empty() => Ok(()),
                () = sleep_until(wake.into()) => self.look_at_the_time(outbox),
            };
            if let Err(ending) = turned {
                return ending;
            }
        }
    }

    /// What is to be sent next, at the end of a frame.
    fn next(&mut self) -> Result<Next, Ending> {
        if let Some(frame) = self.urgent.pop_front() {
            return Ok(Next::Bytes(frame.into()));
        }
        let now = Instant::now();
        if self.stalled.is_some_and(|until| now < until) {
            return Ok(Next::Wait);
        }
        self.stalled = None;
        if self.pong_by.is_none() && now >= self.next_ping {
            return Ok(Next::Bytes(self.ping(now).into()));
        }
        // Nothing is sent while a pong is awaited (coder/websocket's `Ping` blocks the loop). The old server does not wait.
        if self.awaits_hello || (self.pong_by.is_some() && self.host.config.flavour == Flavour::New) {
            return Ok(Next::Wait);
        }
        let tip = self.host.next_seq();
        if self.slow.is_too_slow(now, self.position, tip) {
            return Err(self.too_slow(tip));
        }
        self.feed()
    }

    fn ping(&mut self, now: Instant) -> Vec<u8> {
        let manners = &self.host.config.manners;
        self.pings += 1;
        self.next_ping = now + manners.ping_every;
        if self.host.config.flavour == Flavour::New {
            self.pong_by = Some(now + manners.pong_within);
        }
        frame::ping(self.pings.to_string().as_bytes())
    }

    /// When to look again where nothing else happens.
    fn wake(&self, outbox: &Outbox) -> Instant {
        let write_by = (!outbox.is_empty()).then(|| outbox.moved() + self.host.config.manners.write_within);
        let ping = self.pong_by.is_none().then_some(self.next_ping);
        let times = [write_by, ping, self.pong_by, self.stalled];
        times.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + Duration::from_secs(30))
    }

    fn look_at_the_time(&self, outbox: &Outbox) -> Result<(), Ending> {
        let now = Instant::now();
        let stuck = !outbox.is_empty() && now >= outbox.moved() + self.host.config.manners.write_within;
        let silent = self.pong_by.is_some_and(|by| now >= by);
        if stuck || silent { Err(Ending::Drop) } else { Ok(()) }
    }
}
