//! Hydration.

use crate::telemetry::metrics as m;
use metrics::counter;
use tracing::{debug, info, warn};

/// A call to a host had no answer.
pub struct HydrationFailed<'a> {
    /// The host.
    pub host: &'a str,
    /// What happened.
    pub error: &'a str,
    /// Whether it was answered before, and was not told of lately.
    pub loud: bool,
}

impl HydrationFailed<'_> {
    /// Tells it.
    pub fn emit(self) {
        let Self { host, error, loud } = self;
        if loud {
            warn!(
                host,
                "spec.hydration: no answer from this host; records land with what is known, and are completed later: {error}"
            );
        } else {
            debug!(host, "spec.hydration: no answer: {error}");
        }
    }
}

/// A host answers again.
pub struct HydrationAnswered<'a> {
    /// The host.
    pub host: &'a str,
}

impl HydrationAnswered<'_> {
    /// Tells it.
    pub fn emit(self) {
        info!(host = self.host, "spec.hydration: this host answers again");
    }
}

/// Records are not completed any more.
pub struct HydrationGivenUp {
    /// How many.
    pub records: u64,
}

impl HydrationGivenUp {
    /// Tells it.
    pub fn emit(self) {
        let Self { records } = self;
        warn!(
            records,
            "spec.hydration.queue: records waited too long, or were too many, and stay as they are; raise the limits, or look \
             less up"
        );
        counter!(m::HYDRATION_GIVEN_UP).increment(records);
    }
}
