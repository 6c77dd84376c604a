//! Work that was promised in the database and is done beside it: objects of the archive, files of windows.
//!
//! A commit writes an intent and wakes the task; the task carries out all intents that there are. An intent that fails
//! stays, and is tried again after a growing wait; one that a killed process left is found at the start.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use turbo_core::backoff::Backoff;

/// Carries out intents.
pub trait Intents: Send + Sync + 'static {
    /// Carries out all that there are. Returns false where one failed, after telling it.
    fn drain(&self) -> impl Future<Output = bool> + Send;
}

/// The running task.
pub struct Handle {
    wake: Arc<Notify>,
    close: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Handle {
    /// Starts the task.
    #[must_use]
    pub fn spawn(intents: impl Intents) -> Self {
        let (wake, close) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        // An owner that was killed may have left intents.
        wake.notify_one();
        let task = tokio::spawn(run(intents, wake.clone(), close.clone()));
        Self { wake, close, task }
    }

    /// There is a new intent.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Carries out all intents that there are, and ends. May be given up: the intents stay.
    pub async fn finish(self) {
        self.close.notify_one();
        let _ = self.task.await;
    }
}

async fn run(intents: impl Intents, wake: Arc<Notify>, close: Arc<Notify>) {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    let mut closing = false;
    loop {
        if intents.drain().await {
            backoff.reset();
            if closing {
                return;
            }
            tokio::select! {
                () = wake.notified() => {}
                () = close.notified() => closing = true,
            }
        } else {
            tokio::select! {
                () = tokio::time::sleep(backoff.next(rand::random())) => {}
                () = close.notified(), if !closing => closing = true,
            }
        }
    }
}
