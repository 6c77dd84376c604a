//! Runs `turbo` on a pipeline in a temporary folder.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long anything in a test may take before it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A pipeline and the folder that it writes to.
pub struct Pipeline {
    folder: TempDir,
    /// What all its processes said.
    history: Arc<Mutex<String>>,
}

impl Pipeline {
    /// Writes the pipeline file: `source`, and `more` of the spec, are YAML in flow style.
    pub fn new(source: &str, more: &str) -> Self {
        Self::with_sinks(source, "{sqlite: {path: out.sqlite}, archive: {directory: archive}}", more)
    }

    pub fn with_sinks(source: &str, sinks: &str, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let head = "apiVersion: turbopipeline.dev/v1alpha1\nkind: TurboPipeline\nmetadata: {name: test}\nspec:\n";
        let file = format!("{head}  source: {source}\n  sinks: {sinks}\n  {more}\n");
        std::fs::write(folder.path().join("pipeline.yaml"), file).unwrap();
        Self { folder, history: Arc::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the process.
    pub fn start(&self) -> Process {
        self.start_as("run", &[])
    }

    /// Starts a process of another role, with these variables in its environment.
    pub fn start_as(&self, role: &str, variables: &[(&str, &str)]) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_turbo"))
            .args([role, "-f", "pipeline.yaml", "--listen", "127.0.0.1:0"])
            .current_dir(self.folder.path())
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, kept) = (BufReader::new(child.stderr.take().unwrap()).lines(), [log.clone(), self.history.clone()]);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.iter().for_each(|kept| *kept.lock().unwrap() += &format!("{line}\n"));
            }
        });
        Process { child, log, reader }
    }

    /// What all its processes said.
    pub fn history(&self) -> String {
        self.history.lock().unwrap().clone()
    }

    /// Runs until the process ends by itself.
    pub fn run(&self) -> Process {
        let mut process = self.start();
        let status = process.wait();
        assert!(status.success(), "{status}: {}", process.log());
        process
    }
}

/// A running `turbo`. Dropping it kills it.
pub struct Process {
    child: Child,
    log: Arc<Mutex<String>>,
    /// Ends with the log.
    reader: JoinHandle<()>,
}

impl Process {
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        eventually(PATIENCE, "the process ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        eventually(PATIENCE, "the rest of the log is read", || self.reader.is_finished());
        status.unwrap()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Where HTTP listens.
    pub fn address(&self) -> String {
        let mut address = None;
        eventually(PATIENCE, "it listens", || {
            let log = self.log();
            address = log
                .split_once("listening on http://")
                .map(|(_, rest)| rest.split_whitespace().next().unwrap().to_owned());
            address.is_some()
        });
        address.unwrap()
    }

    /// Status and body of a GET.
    pub fn get(&self, path: &str) -> (u16, String) {
        let address = self.address();
        let mut socket = TcpStream::connect(&address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        let status = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    pub fn stats(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/stats").1).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("it said at last:\n{}\n", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something holds.
pub fn eventually(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A file of real data; `None`, with a word, where it is not there.
pub fn shared(file: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(file);
    if !path.exists() {
        let _ = writeln!(std::io::stderr(), "skipped: {} is not there", path.display());
        return None;
    }
    Some(path.canonicalize().unwrap())
}

/// A program of this workspace, beside `turbo`; where only some of it was built it is missing: a failure in CI, elsewhere the
/// test is skipped with a word.
pub fn built(name: &str) -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_turbo")).with_file_name(name);
    if program.exists() {
        return Some(program);
    }
    assert!(std::env::var_os("CI").is_none(), "{} is not built; run: make test", program.display());
    let _ = writeln!(std::io::stderr(), "skipped: {} is not built; run: make test", program.display());
    None
}

/// Whether a program is missing. In CI that is a failure; elsewhere the test is skipped with a word.
pub fn missing(program: &str, probe: &[&str]) -> bool {
    let there = Command::new(program).args(probe).output().is_ok_and(|output| output.status.success());
    assert!(
        there || std::env::var_os("CI").is_none(),
        "{program} {probe:?} does not work; scripts/tools.sh installs it"
    );
    if !there {
        let _ = writeln!(std::io::stderr(), "skipped: {program} {probe:?} does not work; scripts/tools.sh installs it");
    }
    !there
}
