//! Faults, as they are ordered.

use super::ending::Ending;
use super::outbox::Outbox;
use super::{Session, odd};
use crate::fault::Order;
use crate::wire::frame;
use std::time::Instant;

impl Session {
    pub(super) fn obey(&mut self, order: &Order, outbox: &Outbox) -> Result<(), Ending> {
        match *order {
            Order::Cut { mid_frame: true } if !outbox.is_torn() => return Err(Ending::Torn(self.half_a_frame())),
            Order::Cut { .. } => return Err(Ending::Drop),
            Order::Stall(lasts) => self.stalled = Instant::now().checked_add(lasts),
            Order::HalfOpen => return Err(Ending::HalfOpen),
            Order::Again(count) => {
                let frames = self.last(count);
                self.urgent.push_back(frames.to_vec());
            }
            Order::Odd { frame, instead: true } => self.instead = Some(frame),
            Order::Odd { frame, instead: false } => {
                self.urgent.push_back(odd::odd(frame, self.wire, self.dictionary.as_deref()));
            }
            Order::TooSlow => return Err(self.too_slow(self.host.next_seq())),
        }
        Ok(())
    }

    /// The first half of the last event, or of a ping where there was none.
    fn half_a_frame(&self) -> Vec<u8> {
        let mut whole = self.last(1).to_vec();
        if whole.is_empty() {
            whole = frame::ping(b"half");
        }
        whole.truncate(whole.len() / 2);
        whole
    }
}
