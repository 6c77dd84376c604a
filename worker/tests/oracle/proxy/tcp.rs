//! A proxy that passes bytes on, until it is told otherwise: it hangs, is slow, or cuts connections.
//!
//! Invariants:
//! - it never reads ahead of what it has passed on, but for one piece in each direction: so its memory is bounded, and
//!   back-pressure goes through it;
//! - a cut falls on the connections that are open at that moment.

use crate::act::Cut;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Bytes that are passed on at once.
const PIECE: usize = 16 << 10;
/// How long a cut waits for the words that it is to fall on.
const CUT_WITHIN: Duration = Duration::from_secs(2);

/// A running proxy. It ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    stop: CancellationToken,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mode {
    hangs: bool,
    /// How long each piece waits.
    each: Duration,
    /// Cuts so far, and how the last one is made.
    cuts: u64,
    how: Option<Cut>,
}

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

impl Proxy {
    /// A proxy before a server's address, on a port of its own.
    ///
    /// # Errors
    /// There is no port.
    pub fn start(runtime: &Handle, server: String) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (mode, stop) = (watch::Sender::new(Mode::default()), CancellationToken::new());
        let (of_mode, of_stop) = (mode.clone(), stop.clone());
        runtime.spawn(async move {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            loop {
                let client = tokio::select! {
                    () = of_stop.cancelled() => return,
                    client = listener.accept() => client,
                };
                let Ok((client, _)) = client else { continue };
                tokio::spawn(connection(client, server.clone(), of_mode.subscribe(), of_stop.child_token()));
            }
        });
        Ok(Self { address, mode, stop })
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Nothing passes any more, or it does again. Connections are taken meanwhile.
    pub fn hang(&self, hangs: bool) {
        self.mode.send_modify(|mode| mode.hangs = hangs);
    }

    /// From now on each piece waits for so long.
    pub fn slow(&self, each: Duration) {
        self.mode.send_modify(|mode| mode.each = each);
    }

    /// Cuts the connections that are open.
    pub fn cut(&self, how: Cut) {
        self.mode.send_modify(|mode| (mode.cuts, mode.how) = (mode.cuts + 1, Some(how)));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn connection(client: TcpStream, server: String, mode: watch::Receiver<Mode>, end: CancellationToken) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let had = mode.borrow().cuts;
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::join!(
        pump(Side::Client, from_client, to_server, mode.clone(), had, end.clone()),
        pump(Side::Server, from_server, to_client, mode.clone(), had, end.clone()),
        cut_at_last(mode, had, end),
    );
}

/// Where nobody says anything after a cut, it is made all the same.
async fn cut_at_last(mut mode: watch::Receiver<Mode>, had: u64, end: CancellationToken) {
    tokio::select! {
        () = end.cancelled() => return,
        _ = mode.wait_for(|mode| mode.cuts > had) => {}
    }
    tokio::select! {
        () = end.cancelled() => {}
        () = tokio::time::sleep(CUT_WITHIN) => end.cancel(),
    }
}

/// Passes on what one side says. When it ends, both sides do.
async fn pump(
    side: Side,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
    had: u64,
    end: CancellationToken,
) {
    let mut piece = vec![0; PIECE];
    let _ended = end.clone().drop_guard();
    let passing = async {
        loop {
            let length = from.read(&mut piece).await?;
            if length == 0 {
                return to.shutdown().await;
            }
            let each = mode.borrow().each;
            tokio::time::sleep(each).await;
            let _ = mode.wait_for(|mode| !mode.hangs).await;
            let now = *mode.borrow();
            let kept = kept(side, now.how.filter(|_| now.cuts > had), length);
            to.write_all(&piece[..kept]).await?;
            if kept < length {
                return Ok(());
            }
        }
    };
    tokio::select! {
        () = end.cancelled() => {}
        _ = passing => {}
    }
}

/// How many of the bytes that a side says are passed on; fewer than all is the end.
fn kept(side: Side, cut: Option<Cut>, length: usize) -> usize {
    match (cut, side) {
        (Some(Cut::MidRead), Side::Server) | (Some(Cut::MidWrite), Side::Client) => length / 2,
        (Some(Cut::LostReply), Side::Server) => 0,
        _ => length,
    }
}
