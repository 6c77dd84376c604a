//! A proxy before S3 that knows where a request ends, so that it can lose exactly one answer.
//!
//! Bytes are passed on unchanged, the `Host` header too: a signature stays right.

use super::message::{Message, Reader};
use crate::act::S3Fault;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
const BODY: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"#;
/// How long silence lasts, where the client is patient.
const SILENCE: Duration = Duration::from_secs(60);

/// A running proxy. It ends when it is dropped.
pub struct S3Proxy {
    address: SocketAddr,
    faults: Arc<Faults>,
    stop: CancellationToken,
}

/// What becomes of the next requests.
#[derive(Default)]
struct Faults {
    next: Mutex<VecDeque<S3Fault>>,
    fell: Mutex<u64>,
}

impl S3Proxy {
    /// A proxy before a server's address, on a port of its own.
    ///
    /// # Errors
    /// There is no port.
    pub fn start(runtime: &Handle, server: String) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (faults, stop) = (Arc::<Faults>::default(), CancellationToken::new());
        let (of_faults, of_stop) = (faults.clone(), stop.clone());
        runtime.spawn(async move {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            loop {
                let client = tokio::select! {
                    () = of_stop.cancelled() => return,
                    client = listener.accept() => client,
                };
                let Ok((client, _)) = client else { continue };
                let (server, faults, stop) = (server.clone(), of_faults.clone(), of_stop.clone());
                tokio::spawn(async move { stop.run_until_cancelled(serve(client, &server, &faults)).await });
            }
        });
        Ok(Self { address, faults, stop })
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// So many requests from now on go wrong.
    pub fn fail(&self, how: S3Fault, requests: usize) {
        let mut next = self.faults.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.extend(std::iter::repeat_n(how, requests));
    }

    /// Requests that went wrong so far.
    pub fn failed(&self) -> u64 {
        *self.faults.fell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for S3Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Faults {
    fn take(&self) -> Option<S3Fault> {
        let fault = self.next.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
        *self.fell.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Some(fault)
    }
}

/// Serves one connection: requests one after the other. It ends without a word where a fault wants it.
async fn serve(client: TcpStream, server: &str, faults: &Faults) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (from, mut to) = client.into_split();
    let mut from = Reader::new(from);
    while let Some((mut request, waits)) = from.request().await? {
        if waits {
            to.write_all(CONTINUE).await?;
        }
        from.body_of(&mut request).await?;
        match faults.take() {
            None => pass(server, &request, &mut to).await?,
            Some(S3Fault::Late(late)) => {
                tokio::time::sleep(late).await;
                pass(server, &request, &mut to).await?;
            }
            Some(S3Fault::Unavailable) => {
                let length = if request.is_head { 0 } else { BODY.len() };
                let head = format!(
                    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\r\n"
                );
                to.write_all(&[head.as_bytes(), &BODY.as_bytes()[..length]].concat()).await?;
            }
            Some(fault) => return end(fault, server, &request, &mut to).await,
        }
    }
    Ok(())
}

/// The faults after which a connection is over.
async fn end(fault: S3Fault, server: &str, request: &Message, to: &mut OwnedWriteHalf) -> io::Result<()> {
    match fault {
        S3Fault::HalfBody => {
            let half = request.body + (request.bytes.len() - request.body) / 2;
            let (mut from_server, mut to_server) = connect(server).await?;
            to_server.write_all(&request.bytes[..half]).await?;
            to_server.shutdown().await?;
            // What the server makes of it is its own affair, but it has to have noticed.
            let _ = tokio::time::timeout(Duration::from_secs(2), from_server.read(&mut [0; 64])).await;
        }
        S3Fault::LostReply => drop(ask(server, request).await?),
        S3Fault::HalfReply => {
            let reply = ask(server, request).await?;
            to.write_all(&reply.bytes[..reply.bytes.len() / 2]).await?;
        }
        _ => tokio::time::sleep(SILENCE).await,
    }
    Ok(())
}

async fn pass(server: &str, request: &Message, to: &mut OwnedWriteHalf) -> io::Result<()> {
    let reply = ask(server, request).await?;
    to.write_all(&reply.bytes).await
}

/// Every request has a connection of its own to the server.
async fn ask(server: &str, request: &Message) -> io::Result<Message> {
    let (from, mut to) = connect(server).await?;
    to.write_all(&request.bytes).await?;
    Reader::new(from).response(request.is_head).await
}

async fn connect(server: &str) -> io::Result<(OwnedReadHalf, OwnedWriteHalf)> {
    let server = TcpStream::connect(server).await?;
    server.set_nodelay(true)?;
    Ok(server.into_split())
}
