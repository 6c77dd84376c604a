//! Whom a host lets in just now.

use std::time::{Duration, Instant};

/// What keeps clients out, each until its time.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    loading: Option<Instant>,
    busy: Option<Instant>,
    down: Option<Instant>,
}

impl Gate {
    /// Answers 503 for so long.
    pub(crate) fn load(&mut self, lasts: Duration) {
        self.loading = after(lasts);
    }

    /// Answers 429 for so long.
    pub(crate) fn refuse(&mut self, lasts: Duration) {
        self.busy = after(lasts);
    }

    /// Does not even listen for so long.
    pub(crate) fn down(&mut self, lasts: Duration) {
        self.down = after(lasts);
    }

    pub(crate) fn is_loading(&self) -> bool {
        ahead(self.loading).is_some()
    }

    pub(crate) fn is_busy(&self) -> bool {
        ahead(self.busy).is_some()
    }

    /// Until when it does not listen.
    pub(crate) fn is_down(&self) -> Option<Instant> {
        ahead(self.down)
    }
}

fn after(lasts: Duration) -> Option<Instant> {
    Instant::now().checked_add(lasts)
}

fn ahead(until: Option<Instant>) -> Option<Instant> {
    until.filter(|until| *until > Instant::now())
}
