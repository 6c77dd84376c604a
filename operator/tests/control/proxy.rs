//! What stands between an operator and the API server, and cuts their connections.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Passes connections on until it cuts them; new ones are taken all the time.
pub(super) struct Proxy {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    /// One on a free port, before this address.
    pub(super) fn before(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, to) = (listener.local_addr().unwrap(), to.to_owned());
        let open = Arc::new(Mutex::new(Vec::new()));
        let all = open.clone();
        std::thread::spawn(move || {
            for from in listener.incoming().map_while(Result::ok) {
                let Ok(to) = TcpStream::connect(&to) else { continue };
                for side in [&from, &to] {
                    all.lock().unwrap().push(side.try_clone().unwrap());
                }
                let (from_too, to_too) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                std::thread::spawn(move || copy(&from, &to));
                std::thread::spawn(move || copy(&to_too, &from_too));
            }
        });
        Self { address, open }
    }

    /// `127.0.0.1:<port>`
    pub(super) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Cuts what is open; says how many connections that were.
    pub(super) fn cut(&self) -> usize {
        let cut: Vec<TcpStream> = std::mem::take(&mut *self.open.lock().unwrap());
        cut.iter().filter(|side| side.shutdown(Shutdown::Both).is_ok()).count() / 2
    }
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
