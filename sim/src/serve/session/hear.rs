//! What the client says, and what comes of it.

use super::Session;
use super::ending::Ending;
use super::inbox::{Heard, Inbox, MOST};
use crate::host::Flavour;
use crate::serve::subscribe::v1::{self, BadUpdate, Update};
use crate::wire::frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

impl Session {
    /// Takes all that has come whole.
    pub(super) fn listen(&mut self, inbox: &mut Inbox) -> Result<(), Ending> {
        while let Some(heard) = inbox.next() {
            self.hear(heard)?;
        }
        Ok(())
    }

    fn hear(&mut self, heard: Heard) -> Result<(), Ending> {
        match heard {
            Heard::Ping(payload) => self.urgent.push_back(frame::pong(&payload)),
            Heard::Pong(payload) if payload == self.pings.to_string().as_bytes() => self.pong_by = None,
            Heard::Pong(_) => {}
            Heard::Close => return Err(Ending::close(CloseCode::Normal, "")),
            Heard::Broken => return Err(Ending::close(CloseCode::Protocol, "")),
            // jetstream `internal/subscribe/handler_v2.go`: the connection is for reading only.
            Heard::Message { .. } | Heard::TooBig if self.wire.is_v2() => {
                return Err(Ending::close(CloseCode::Policy, "unexpected data message"));
            }
            Heard::TooBig => return Err(Ending::close(CloseCode::Size, &format!("read limited at {MOST} bytes"))),
            Heard::Message { text: false, .. } => {}
            Heard::Message { text: true, bytes } => match v1::update(&bytes) {
                Ok(update) => self.update(update),
                Err(bad) => return Err(self.refuse(&bad)),
            },
        }
        Ok(())
    }

    fn update(&mut self, update: Update) {
        let Update::Options(filter) = update else { return };
        self.filter = filter;
        if std::mem::take(&mut self.awaits_hello) && self.live {
            // Live means: from the hello on.
            self.position = self.host.next_seq();
        }
    }

    fn refuse(&self, bad: &BadUpdate) -> Ending {
        match (self.host.config.flavour, bad) {
            (Flavour::New, BadUpdate::Options(refused)) => Ending::close(CloseCode::Policy, &refused.to_string()),
            (Flavour::New, _) => Ending::close(CloseCode::Invalid, &bad.to_string()),
            (Flavour::Old, BadUpdate::Envelope(why) | BadUpdate::Payload(why)) => {
                let why = format!("failed to unmarshal subscriber sourced message: {why}");
                Ending::close(CloseCode::Normal, &why)
            }
            (Flavour::Old, BadUpdate::Options(refused)) => {
                Ending::close(CloseCode::Normal, &format!("failed to parse subscriber options: {refused}"))
            }
        }
    }
}
