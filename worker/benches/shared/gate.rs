//! A proxy before the source. What it holds back it keeps, since the source lets go of who does not read.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

/// Bytes that each connection gets all the same: who has waited for long connects anew, and is to be connected when it opens.
const HANDSHAKE: u64 = 1 << 10;

/// A proxy that lets so many bytes of the source through, over all connections, and the rest when it is opened.
pub(crate) struct Gate {
    pub(crate) address: String,
    left: Arc<AtomicU64>,
}

impl Gate {
    pub(crate) fn before(source: &str, bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, left) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicU64::new(bytes)));
        let (source, counted) = (source.to_owned(), left.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&source).unwrap();
                let (mut said, mut asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut said, &mut asked));
                let left = counted.clone();
                let (kept, held) = mpsc::channel();
                std::thread::spawn(move || keep(server, &kept));
                std::thread::spawn(move || pass(&held, client, &left));
            }
        });
        Self { address, left }
    }

    pub(crate) fn open(&self) {
        self.left.store(u64::MAX, Ordering::Relaxed);
    }
}

fn keep(mut from: TcpStream, kept: &Sender<Vec<u8>>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer)
        && kept.send(buffer[..read].to_vec()).is_ok()
    {}
}

fn pass(held: &Receiver<Vec<u8>>, mut to: TcpStream, left: &AtomicU64) {
    let mut passed = 0;
    for bytes in held {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let left_now = left.load(Ordering::Relaxed);
            let room = left_now.max(HANDSHAKE.saturating_sub(passed)).min(rest.len() as u64) as usize;
            if room == 0 {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            if to.write_all(&rest[..room]).is_err() {
                return;
            }
            rest = &rest[room..];
            passed += room as u64;
            // Once it is open it stays so.
            let less = |left: u64| (left != u64::MAX).then(|| left.saturating_sub(room as u64));
            let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
