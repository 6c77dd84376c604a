//! Signals to a server and to what it has forked.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Sends a signal to a process.
pub(crate) fn signal(name: &str, pids: &[u32]) {
    if pids.is_empty() {
        return;
    }
    // One that has just ended is not told: nothing is wrong with that.
    let _ = Command::new("kill")
        .arg(format!("-{name}"))
        .args(pids.iter().map(u32::to_string))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("the program kill, of procps");
}

/// The children of a process: a backend of PostgreSQL is in a process group of its own, so a signal to the
/// server's group would not reach it.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    living().into_iter().filter(|(_, its)| *its == parent).map(|(pid, _)| pid).collect()
}

/// Waits until processes have ended.
pub(crate) fn gone(pids: &[u32]) {
    let began = Instant::now();
    while !pids.is_empty() && living().iter().any(|(pid, _)| pids.contains(pid)) {
        assert!(began.elapsed() < Duration::from_secs(30), "killed and still there: {pids:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Every process that has not ended, and its parent. One that nobody has waited for has ended all the same.
fn living() -> Vec<(u32, u32)> {
    let output = Command::new("ps").args(["-A", "-o", "pid=,ppid=,stat="]).output().expect("the program ps, of procps");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let ids = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            (!words.next()?.starts_with('Z')).then_some(ids)
        })
        .collect()
}
