//! A proxy before the source.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
                std::thread::spawn(move || pass(server, client, &left));
            }
        });
        Self { address, left }
    }

    pub(crate) fn open(&self) {
        self.left.store(u64::MAX, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, left: &AtomicU64) {
    let (mut passed, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        let left_now = left.load(Ordering::Relaxed);
        let room = left_now.max(HANDSHAKE.saturating_sub(passed)).min(buffer.len() as u64) as usize;
        if room == 0 {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        match from.read(&mut buffer[..room]) {
            Ok(0) | Err(_) => return,
            Ok(read) if to.write_all(&buffer[..read]).is_err() => return,
            Ok(read) => {
                passed += read as u64;
                // Once it is open it stays so.
                let less = |left: u64| (left != u64::MAX).then(|| left.saturating_sub(read as u64));
                let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            }
        }
    }
}
