//! How subscriptions end.

use super::Session;
use crate::host::Flavour;
use crate::wire::{frame, v2};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;

/// How long a client has to take the last bytes, and to answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) enum Ending {
    /// The connection is dropped as it is.
    Drop,
    /// These bytes, which are no whole frame, and nothing more.
    Torn(Vec<u8>),
    /// A close frame after what is on its way.
    Close(Vec<u8>),
    /// A last message after what is on its way, and no close frame.
    Farewell(Vec<u8>),
    /// Silence for good.
    HalfOpen,
}

impl Ending {
    pub(super) fn close(code: CloseCode, reason: &str) -> Self {
        Self::Close(frame::close(code, reason))
    }

    pub(super) async fn perform(
        self,
        reader: &mut ReadHalf<'_>,
        writer: &mut WriteHalf<'_>,
        rest: &[u8],
        stop: &CancellationToken,
    ) {
        let last = match self {
            Self::Drop => return,
            Self::HalfOpen => {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = deaf(reader) => {}
                }
                return;
            }
            Self::Torn(bytes) | Self::Close(bytes) | Self::Farewell(bytes) => bytes,
        };
        // Where the client does not take it, it is dropped; that it may be is what all of this is for.
        let _ = timeout(PATIENCE, async {
            writer.write_all(rest).await?;
            writer.write_all(&last).await?;
            writer.shutdown().await?;
            // Closing with unread bytes would reset the connection, and the client might lose what it has not read.
            let mut rest = [0; 4096];
            while reader.read(&mut rest).await? > 0 {}
            std::io::Result::Ok(())
        })
        .await;
    }
}

/// Takes what comes and heeds nothing, until the client goes.
async fn deaf(reader: &mut ReadHalf<'_>) {
    let mut nothing = [0; 4096];
    while matches!(reader.read(&mut nothing).await, Ok(1..)) {}
}

impl Session {
    /// 1001 by the new server; the old one just goes.
    pub(super) fn shut_down(&self) -> Ending {
        match self.host.config.flavour {
            Flavour::New => Ending::close(CloseCode::Away, "server shutting down"),
            Flavour::Old => Ending::Drop,
        }
    }

    /// v2 says where to go on; v1 is just dropped.
    pub(super) fn too_slow(&self, tip: u64) -> Ending {
        if !self.wire.is_v2() {
            return Ending::Drop;
        }
        let behind = tip.saturating_sub(self.position);
        let why = format!("reading below the floor rate {behind} events behind the tip");
        let message = format!("{why}; reconnect with cursor={}", self.position);
        Ending::Farewell(self.pack(&v2::error("ConsumerTooSlow", &message)))
    }

    /// An event that cannot be encoded.
    pub(super) fn failed(&self) -> Ending {
        match self.wire.is_v2() {
            true => Ending::Farewell(self.pack(&v2::error("InternalError", "stream read failed; reconnect"))),
            false => Ending::Drop,
        }
    }
}
