//! What processes use, as the kernel tells it.

use std::fs::read_to_string;

/// Ticks in a second: the same on every Linux that there is.
const TICKS: f64 = 100.0;

/// The most memory that a process has had, in MB.
pub(crate) fn peak_megabytes(pid: u32) -> f64 {
    let status = read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1000.0
}

/// Seconds of CPU that a process and its children have used.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let processes = std::fs::read_dir("/proc").unwrap();
    let all = processes.filter_map(|entry| stat(&entry.ok()?.file_name().to_string_lossy()));
    all.filter(|(process, parent, _)| *process == pid || *parent == pid).map(|(.., seconds)| seconds).sum()
}

/// Process, parent, seconds of CPU, with those of children that have ended.
fn stat(process: &str) -> Option<(u32, u32, f64)> {
    let pid = process.parse().ok()?;
    let text = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets, and may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11..15)?.iter().filter_map(|field| field.parse::<f64>().ok()).sum();
    Some((pid, fields.get(1)?.parse().ok()?, ticks / TICKS))
}
