//! Restarts of servers block: each server has a thread that does them one after the other.

use crate::act::Server;
use crate::stage::Stage;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// One restart.
struct Job {
    crash: bool,
    down: Duration,
    nth: usize,
}

/// The thread of one server.
pub struct Hand {
    jobs: Option<Sender<Job>>,
    waiting: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
    given: usize,
}

impl Hand {
    /// A thread for a server of the stage.
    pub fn over(stage: Arc<Stage>, server: Server) -> Self {
        let (jobs, next) = channel::<Job>();
        let waiting = Arc::<AtomicUsize>::default();
        let left = waiting.clone();
        let thread = std::thread::spawn(move || {
            for Job { crash, down, nth } in next {
                stage.restart(server, crash, down, nth);
                left.fetch_sub(1, Ordering::AcqRel);
            }
        });
        Self { jobs: Some(jobs), waiting, thread: Some(thread), given: 0 }
    }

    /// Stops or kills the server, and starts it again after so long; behind what it was told before.
    pub fn restart(&mut self, crash: bool, down: Duration) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.given += 1;
        if let Some(jobs) = &self.jobs {
            // Where the thread has panicked, the end of the run says so.
            let _ = jobs.send(Job { crash, down, nth: self.given });
        }
    }

    /// Whether the server is down, or will be.
    pub fn is_busy(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Whether the server did not come back.
    pub fn has_failed(&self) -> bool {
        self.is_busy() && self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
