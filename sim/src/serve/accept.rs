//! Listening, and one task for each connection.

use super::dictionaries::Dictionaries;
use super::http::Request;
use super::http::response::Response;
use super::route::route;
use crate::host::Host;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// Opens a port; 0 takes any.
pub(crate) fn listen(addr: SocketAddr, send_buffer: Option<u32>) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // So that the port is to be had again at once after a fault has closed it.
    socket.set_reuseaddr(true)?;
    if let Some(bytes) = send_buffer {
        // Connections get the listener's size.
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(addr)?;
    socket.listen(1024)
}

/// What every connection of a host needs.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) host: Arc<Host>,
    pub(crate) dictionaries: Arc<Dictionaries>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Door {
    /// Lets clients in until the network stops.
    pub(crate) async fn keep(self, mut listener: TcpListener, addr: SocketAddr) {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.host.downs() => {
                    drop(listener);
                    match self.stay_away(addr).await {
                        Some(anew) => listener = anew,
                        None => return,
                    }
                }
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => {
                        debug!(host = self.host.config.name, %peer, "connection");
                        self.tasks.spawn(self.clone().serve(socket));
                    }
                    // Too many open files, say; it passes.
                    Err(error) => {
                        warn!(%error, "cannot accept");
                        sleep(Duration::from_millis(50)).await;
                    }
                },
            }
        }
    }

    /// Until the host is up again; `None` where the network stops first.
    async fn stay_away(&self, addr: SocketAddr) -> Option<TcpListener> {
        loop {
            let until = self.host.gate().is_down();
            let wait = async {
                match until {
                    Some(until) => sleep_until(until.into()).await,
                    None => sleep(Duration::from_millis(5)).await,
                }
            };
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = wait => {}
            }
            if self.host.gate().is_down().is_none()
                && let Ok(listener) = listen(addr, self.host.config.manners.send_buffer)
            {
                return Some(listener);
            }
        }
    }

    async fn serve(self, mut socket: TcpStream) {
        self.host.counts.connections.fetch_add(1, Ordering::Relaxed);
        // Small frames of live events are not to wait for each other.
        let _ = socket.set_nodelay(true);
        let request = tokio::select! {
            () = self.stop.cancelled() => return,
            request = Request::read(&mut socket) => request,
        };
        let Some(request) = request else { return };
        // Training a dictionary, and encoding, take a while.
        match route(&self.host, &self.dictionaries, &request) {
            Err(response) => answer(&mut socket, &response).await,
            Ok((session, accepted)) => {
                if socket.write_all(&accepted).await.is_ok() {
                    session.run(socket, request.rest, self.stop).await;
                }
            }
        }
    }
}

async fn answer(socket: &mut TcpStream, response: &Response) {
    let bytes = response.bytes();
    let _ = timeout(Duration::from_secs(10), async {
        socket.write_all(&bytes).await?;
        socket.shutdown().await
    })
    .await;
}
