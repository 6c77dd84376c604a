//! A way into a network that has none: a port of this machine that stands for an address in it.

use crate::port::Port;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::{File, read_link};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Connections to it are connections to an address in a network namespace. Dropped, it takes no more; those that are open
/// end with one of their sides.
pub struct Door {
    port: Port,
    shut: Arc<AtomicBool>,
}

impl Door {
    /// Opens it on a port of loopback, for an address in the network of a process.
    pub(crate) fn open(port: Port, process: u32, to: SocketAddr) -> Self {
        let listener = TcpListener::bind(port.address()).unwrap();
        let shut = Arc::new(AtomicBool::new(false));
        let is_shut = shut.clone();
        std::thread::spawn(move || {
            for from in listener.incoming().map_while(|from| (!is_shut.load(Ordering::Relaxed)).then_some(from)) {
                let Ok(from) = from else { continue };
                // A thread of its own: the network that it enters is its own too.
                std::thread::spawn(move || pass(&from, process, to));
            }
        });
        Self { port, shut }
    }

    /// `127.0.0.1:<port>`
    pub fn address(&self) -> String {
        self.port.address()
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shut.store(true, Ordering::Relaxed);
        // It waits for the next connection.
        let _ = TcpStream::connect(self.port.address());
    }
}

/// Passes on what both sides say, until one has said all.
fn pass(from: &TcpStream, process: u32, to: SocketAddr) {
    // Whoever connects finds out by the end of the connection.
    let Ok(to) = enter(process).and_then(|()| TcpStream::connect_timeout(&to, Duration::from_secs(5))) else { return };
    std::thread::scope(|scope| {
        scope.spawn(|| copy(from, &to));
        copy(&to, from);
    });
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// Enters the network of a process, which must not be ours: what is meant for it would leave this machine.
fn enter(process: u32) -> io::Result<()> {
    let network = format!("/proc/{process}/ns/net");
    if read_link(&network)? == read_link("/proc/self/ns/net")? {
        return Err(io::Error::other("it has no network of its own yet"));
    }
    Ok(move_into_link_name_space(File::open(network)?.as_fd(), Some(LinkNameSpaceType::Network))?)
}
