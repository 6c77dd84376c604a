//! A proxy before PostgreSQL that loses the answers to some commits: the server has done them, and nobody learns it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// A running proxy.
pub struct Proxy {
    address: String,
    lost: Arc<AtomicU32>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Stands before the server at this address, and loses the answer to every so many-th `COMMIT`.
    pub async fn start(server: String, every: u32) -> Self {
        Self::losing(server, "COMMIT", every).await
    }

    /// Loses the answer to every so many-th `COMMIT` of a transaction in which this was said.
    pub async fn losing(server: String, said: &'static str, every: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (commits, lost) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let count = lost.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, commits, lost) = (server.clone(), commits.clone(), count.clone());
                // A connection that breaks is the fault that was asked for.
                tokio::spawn(async move { serve(client, &server, &commits, (said, every), &lost).await.ok() });
            }
        });
        Self { address, lost, _task: AbortOnDropHandle::new(task) }
    }

    /// Where it listens, `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Answers that were lost so far.
    pub fn lost(&self) -> u32 {
        self.lost.load(Ordering::Relaxed)
    }
}

async fn serve(
    mut client: TcpStream,
    server: &str,
    commits: &AtomicU32,
    (of, every): (&str, u32),
    lost: &AtomicU32,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let (mut asked, mut said, mut is_of) = (vec![0; 1 << 16], vec![0; 1 << 16], false);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let asked = &asked[..read?];
                server.write_all(asked).await?;
                let says = |what: &str| asked.windows(what.len()).any(|word| word == what.as_bytes());
                is_of |= says(of);
                let is_commit = says("COMMIT") && std::mem::take(&mut is_of);
                if asked.is_empty() {
                    return Ok(());
                }
                if is_commit && commits.fetch_add(1, Ordering::Relaxed) % every == every - 1 {
                    // It is done once the server answers.
                    lost.fetch_add(u32::from(server.read(&mut said).await? > 0), Ordering::Relaxed);
                    return Ok(());
                }
            }
            read = server.read(&mut said) => {
                let said = &said[..read?];
                if said.is_empty() {
                    return Ok(());
                }
                client.write_all(said).await?;
            }
        }
    }
}
