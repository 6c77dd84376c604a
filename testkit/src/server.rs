//! A server: a process in a temporary folder.

use crate::guard::Guard;
use crate::tree;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a server may take to start, or to stop when it is asked to.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a server serves; if not, why.
pub(crate) type Ready = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// How a server is run.
pub(crate) struct Spec {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// User and group; absent: the test's own.
    pub(crate) user: Option<(u32, u32)>,
    /// Where it runs, and where all its files are.
    pub(crate) folder: TempDir,
    /// Files that it leaves elsewhere.
    pub(crate) litter: Vec<PathBuf>,
    /// The signal that asks it to stop and to leave all in good order.
    pub(crate) stop: &'static str,
    pub(crate) ready: Ready,
}

/// A real server, for one test. Dropping it kills it and removes its folder.
///
/// At most one process runs at a time, and it is never left behind: see the module `guard`.
pub struct Server {
    spec: Spec,
    running: Mutex<Option<Running>>,
}

struct Running {
    process: Child,
    guard: Guard,
    paused: bool,
}

impl Server {
    /// Nothing runs yet.
    pub(crate) fn new(spec: Spec) -> Self {
        Self { spec, running: Mutex::new(None) }
    }

    /// Starts it, and waits until it serves.
    ///
    /// # Panics
    /// It runs already, or it does not come up; with the end of its log.
    pub fn start(&self) {
        self.launch();
        self.wait();
    }

    /// Starts it without waiting.
    pub(crate) fn launch(&self) {
        let mut running = self.running();
        assert!(running.is_none(), "{} runs already", self.spec.program.display());
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = Command::new(&self.spec.program);
        command.args(&self.spec.args).current_dir(self.folder()).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        // Ctrl-C is for the test; the guard ends the server.
        command.process_group(0);
        if let Some((user, group)) = self.spec.user {
            command.uid(user).gid(group);
        }
        let process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.spec.program.display()));
        let mut litter = self.spec.litter.clone();
        litter.push(self.folder().to_owned());
        let guard = Guard::over(process.id(), &litter);
        *running = Some(Running { process, guard, paused: false });
    }

    /// Waits until it serves.
    pub(crate) fn wait(&self) {
        let began = Instant::now();
        while let Err(reason) = (self.spec.ready)() {
            if let Some(running) = self.running().as_mut()
                && let Some(status) = running.process.try_wait().unwrap()
            {
                panic!("{} ended, {status}:\n{}", self.spec.program.display(), self.log_end());
            }
            let limit = began.elapsed() < PATIENCE;
            assert!(limit, "{} is not ready: {reason}\n{}", self.spec.program.display(), self.log_end());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to stop, and waits until it has. Nothing happens when it does not run.
    ///
    /// # Panics
    /// It does not stop.
    pub fn stop(&self) {
        self.resume();
        let mut slot = self.running();
        let Some(running) = slot.as_mut() else { return };
        tree::signal(self.spec.stop, &[running.process.id()]);
        let began = Instant::now();
        while running.process.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < PATIENCE, "it does not stop:\n{}", self.log_end());
            std::thread::sleep(Duration::from_millis(5));
        }
        slot.take().unwrap().guard.release();
    }

    /// Ends it at once, as `kill -9` does, with all its children. Nothing happens when it does not run.
    pub fn kill(&self) {
        let Some(mut running) = self.running().take() else { return };
        let pid = running.process.id();
        // One that stands still forks no more.
        tree::signal("STOP", &[pid]);
        let children = tree::children(pid);
        tree::signal("KILL", &children);
        running.process.kill().unwrap();
        running.process.wait().unwrap();
        tree::gone(&children);
        running.guard.release();
    }

    /// Stops it, if it runs, and starts it again: with the same ports and the same data.
    pub fn restart(&self) {
        self.stop();
        self.start();
    }

    /// Freezes it and its children (SIGSTOP): connections stay open, and nothing answers.
    pub fn pause(&self) {
        if let Some(running) = self.running().as_mut() {
            let pid = running.process.id();
            tree::signal("STOP", &[pid]);
            tree::signal("STOP", &tree::children(pid));
            running.paused = true;
        }
    }

    /// Lets it go on after a pause.
    pub fn resume(&self) {
        if let Some(running) = self.running().as_mut().filter(|running| running.paused) {
            let pid = running.process.id();
            tree::signal("CONT", &tree::children(pid));
            tree::signal("CONT", &[pid]);
            running.paused = false;
        }
    }

    /// Its process; `None` when it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.running().as_ref().map(|running| running.process.id())
    }

    /// Where it runs, and where all its files are.
    pub fn folder(&self) -> &Path {
        self.spec.folder.path()
    }

    /// All that it said since the first start.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.folder().join("log")
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Also after a panic: a test that failed must still be able to end it.
    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        self.spec.litter.iter().for_each(|path| remove(path));
    }
}

/// Removes a file, or a folder with the folders in it: files of control groups can not be removed, and go with their folder.
fn remove(path: &Path) {
    if !path.is_dir() {
        let _ = std::fs::remove_file(path);
        return;
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(path);
}
