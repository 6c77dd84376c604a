//! A proxy before the source.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A proxy that lets so many bytes of the source through, and the rest when it is opened.
pub(crate) struct Gate {
    pub(crate) address: String,
    open_to: Arc<AtomicU64>,
}

impl Gate {
    pub(crate) fn before(source: &str, bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, open_to) = (listener.local_addr().unwrap().to_string(), Arc::new(AtomicU64::new(bytes)));
        let (source, limit) = (source.to_owned(), open_to.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&source).unwrap();
                let (mut said, mut asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut said, &mut asked));
                let limit = limit.clone();
                std::thread::spawn(move || pass(server, client, &limit));
            }
        });
        Self { address, open_to }
    }

    pub(crate) fn open(&self) {
        self.open_to.store(u64::MAX, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, limit: &AtomicU64) {
    let (mut passed, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        while passed >= limit.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) if to.write_all(&buffer[..read]).is_err() => return,
            Ok(read) => passed += read as u64,
        }
    }
}
