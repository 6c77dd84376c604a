//! The AppView's port: one task for each connection, one request on each.

use super::accept::listen;
use super::http::Request;
use crate::appview::{Answer, AppView, Body};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

/// How long a client may take to read an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between the bytes of an answer that drips.
const DRIP: Duration = Duration::from_millis(200);

/// Opens the port; `keep` lets clients in.
pub(crate) fn open(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = listen(address, None)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Lets clients in until the network stops.
pub(crate) async fn keep(appview: Arc<AppView>, listener: TcpListener, tasks: TaskTracker, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                let (appview, stop) = (Arc::clone(&appview), stop.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        _ = timeout(PATIENCE, serve(&appview, socket)) => {}
                    }
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(appview: &AppView, mut socket: TcpStream) -> io::Result<()> {
    let _ = socket.set_nodelay(true);
    let Some(request) = Request::read(&mut socket).await else { return Ok(()) };
    let said = if request.method == "POST" { request.body(&mut socket).await.unwrap_or_default() } else { Vec::new() };
    let (latency, Answer { response, body }) = appview.answer(&request, &said);
    sleep(latency).await;
    match body {
        Body::None => return Ok(()),
        Body::Whole => socket.write_all(&response.bytes()).await?,
        Body::Dripping => drip(&mut socket, &response.bytes()).await?,
        Body::Padded(bytes) => pad(&mut socket, &response.bytes_with(bytes), bytes).await?,
    }
    socket.shutdown().await
}

/// All but the last byte, which never comes.
async fn drip(socket: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes.iter().take(bytes.len().saturating_sub(1)) {
        socket.write_all(&[*byte]).await?;
        sleep(DRIP).await;
    }
    std::future::pending().await
}

/// The answer, and so many spaces behind it.
async fn pad(socket: &mut TcpStream, bytes: &[u8], mut left: usize) -> io::Result<()> {
    let spaces = vec![b' '; 1 << 16];
    socket.write_all(bytes).await?;
    while left > 0 {
        let some = left.min(spaces.len());
        socket.write_all(&spaces[..some]).await?;
        left -= some;
    }
    Ok(())
}
