//! A process of the pipeline as its users run it.

use crate::shared::Running;
use crate::usage;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A running `turbo`. Dropping it kills it.
pub(crate) struct Process {
    running: Running,
    log: PathBuf,
}

impl Process {
    /// Starts a process of a role on the pipeline file of a folder; what it says goes to a file there.
    pub(crate) fn start(role: &str, folder: &Path, database: &str, name: &str) -> Self {
        let log = folder.join(format!("{name}.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_turbo"))
            .args([role, "-f", "pipeline.yaml", "--listen", "127.0.0.1:0"])
            .current_dir(folder)
            .env("TURBO_PG", database)
            .env("TURBO_BUFFER", folder)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { running: Running(child), log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.running.0.id()
    }

    /// The end of what it said, for a failure.
    pub(crate) fn said(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// The most memory that it has had, in MB.
    pub(crate) fn peak(&self) -> f64 {
        usage::peak_megabytes(self.pid())
    }

    /// A value of its metrics; 0 where it tells none.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = std::fs::read_to_string(&self.log).unwrap();
        let address = text.split_once("listening on http://").expect("it listens").1;
        let mut socket = TcpStream::connect(address.split_whitespace().next().unwrap()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(socket, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
        answer.lines().find_map(value).unwrap_or(0.0)
    }
}
