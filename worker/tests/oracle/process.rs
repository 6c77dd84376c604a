//! One process of the pipeline: started, signalled by its id, and always reaped.

use crate::act::Role;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// What every process of a run is given.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Where the pipeline file is, and where they run.
    pub folder: PathBuf,
    /// The name of the pipeline file.
    pub file: &'static str,
    /// Variables of the environment: secrets, and shorter limits.
    pub environment: Vec<(String, String)>,
}

/// A running process. Dropping it kills it, also one that stands still.
pub struct Process {
    child: Child,
    /// What its name as an owner begins with.
    pub called: String,
    log: PathBuf,
    /// Where its own words begin in the log, which it shares with those before it.
    from: u64,
}

impl Process {
    /// Starts `turbo ingest` or `turbo work`; what it says goes to the end of the log of its name. It does not outlive
    /// the thread that starts it.
    ///
    /// # Errors
    /// The program can not be run.
    pub fn start(launch: &Launch, role: Role, name: &str, life: u32) -> std::io::Result<Self> {
        let log = launch.folder.join(format!("{name}.log"));
        let mut to = OpenOptions::new().create(true).append(true).open(&log)?;
        let from = to.metadata()?.len();
        let command = match role {
            Role::Ingester => "ingest",
            Role::Worker => "work",
        };
        // Killed with the test, however that one ends.
        let mut program = Command::new("setpriv");
        program.args(["--pdeathsig", "KILL", env!("CARGO_BIN_EXE_turbo")]);
        program.args([command, "-f", launch.file, "--listen", "127.0.0.1:0"]);
        program.envs(launch.environment.iter().map(|(name, value)| (name, value))).current_dir(&launch.folder);
        let called = format!("{name}-life{life}");
        program.env("TURBO_WORKER", &called);
        let child = program.stdin(Stdio::null()).stdout(to.try_clone()?).stderr(to.try_clone()?).spawn()?;
        writeln!(to, "--- {called} is process {}", child.id())?;
        Ok(Self { child, called, log, from })
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends a signal: STOP, CONT, TERM.
    pub fn signal(&self, name: &str) {
        // It may have ended meanwhile.
        let _ = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).output();
    }

    /// Ends it as `kill -9` does, and waits for that.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it said itself, the last bytes of it.
    pub fn end_of_log(&self, bytes: usize) -> String {
        end_of(&self.log, self.from, bytes)
    }

    /// The body of a GET of its HTTP server; an error in words.
    pub fn get(&self, path: &str) -> Result<String, String> {
        let log = end_of(&self.log, self.from, 1 << 20);
        let address = log.split_once("listening on http://").and_then(|(_, rest)| rest.split_whitespace().next());
        get(address.ok_or("it does not listen")?, path).map_err(|error| error.to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn get(address: &str, path: &str) -> std::io::Result<String> {
    const LIMIT: Duration = Duration::from_secs(3);
    let socket = address.parse().map_err(std::io::Error::other)?;
    let mut socket = TcpStream::connect_timeout(&socket, LIMIT)?;
    socket.set_read_timeout(Some(LIMIT))?;
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.take(1 << 20).read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned())
}

/// The last bytes of a file behind `from`.
fn end_of(path: &Path, from: u64, bytes: usize) -> String {
    let read = || {
        use std::io::Seek;
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(std::io::SeekFrom::Start(from.max(length.saturating_sub(bytes as u64))))?;
        let mut end = Vec::new();
        file.take(bytes as u64).read_to_end(&mut end)?;
        std::io::Result::Ok(end)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}
