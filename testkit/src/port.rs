//! Ports that no other test takes.

use std::fs::{File, OpenOptions, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which the system takes ports of its own for outgoing connections: one of those could
/// otherwise have our port while a server restarts. A client that tries again and again to reach a port of that range
/// even ends up connected to itself.
const FIRST: u32 = 20_000;
const COUNT: u32 = 10_000;

/// A port that is ours, also while nobody listens on it, as long as this value lives.
pub(crate) struct Port {
    number: u16,
    /// Its lock is what other processes see. The system gives it up when the process ends.
    _lock: File,
}

impl Port {
    /// Takes a port that is free now.
    pub(crate) fn take() -> Self {
        static TRIED: AtomicU32 = AtomicU32::new(0);
        let folder = std::env::temp_dir().join("turbo-testkit-ports");
        std::fs::create_dir_all(&folder).expect("a folder for the locks of ports");
        // For other users too. One of them may have made it.
        let _ = std::fs::set_permissions(&folder, Permissions::from_mode(0o777));
        // Processes begin at different places, so that they seldom meet.
        let begin = std::process::id().wrapping_mul(61) % COUNT;
        for _ in 0..COUNT {
            let number = FIRST + (begin + TRIED.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let number = u16::try_from(number).unwrap();
            let file = OpenOptions::new().create(true).append(true).open(folder.join(number.to_string()));
            // A file that can not be opened is another user's.
            if let Ok(lock) = file
                && lock.try_lock().is_ok()
                && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
            {
                return Self { number, _lock: lock };
            }
        }
        panic!("no port from {FIRST} to {} is free", FIRST + COUNT - 1);
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:<port>`
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_as_long_as_it_is_held() {
        let ports: Vec<Port> = (0..50).map(|_| Port::take()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
        let lock = std::env::temp_dir().join("turbo-testkit-ports").join(numbers[0].to_string());
        let other = OpenOptions::new().append(true).open(&lock).unwrap();
        assert!(other.try_lock().is_err(), "another process sees that it is ours");
        drop(ports);
        // A process that another test is just starting has the lock too, until its program runs.
        let free = |_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            other.try_lock().is_ok()
        };
        assert!((0..500).any(free));
    }
}
