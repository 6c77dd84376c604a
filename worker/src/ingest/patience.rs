//! How long a stream may take until it is seen to join.

use std::time::Duration;
use tokio::time::Instant;

/// How long a stream may take to show a known event.
pub(super) const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked at how fast old events come.
const LOOK: Duration = Duration::from_secs(1);
/// From how many times the speed of time on a stream is one that comes nearer.
const FASTER: i64 = 2;

/// When a stream is given up that was not seen to join.
///
/// What comes from before the time asked for is on the way there (a host may begin long before it), as long as it comes
/// faster than it happened: a host whose clock lags sends what happens now, and would take as long as it lags.
#[derive(Debug)]
pub(super) struct Patience {
    deadline: Instant,
    /// When it was looked at last how fast old events come, and the source time of the one that came then.
    looked: Option<(Instant, i64)>,
}

impl Patience {
    pub(super) fn new() -> Self {
        Self { deadline: Instant::now() + JOIN_TIMEOUT, looked: None }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// All of the time again.
    pub(super) fn renew(&mut self) {
        self.deadline = Instant::now() + JOIN_TIMEOUT;
    }

    /// An event of this source time came that is too old.
    pub(super) fn passes(&mut self, time_us: i64) {
        let now = Instant::now();
        let (since, from_us) = *self.looked.get_or_insert((now, time_us));
        let took = now - since;
        if took < LOOK {
            return;
        }
        if time_us.saturating_sub(from_us) >= FASTER * took.as_micros() as i64 {
            self.renew();
        }
        self.looked = Some((now, time_us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For how many seconds a stream is waited for that sends an event a tenth of a second, `step_us` later each.
    async fn waits(step_us: i64, most: u64) -> u64 {
        let (mut patience, began) = (Patience::new(), Instant::now());
        for event in 0.. {
            if Instant::now() >= patience.deadline() || began.elapsed().as_secs() >= most {
                break;
            }
            patience.passes(event * step_us);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        began.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_faster_than_it_happened_is_waited_for_and_what_happens_now_is_not() {
        assert_eq!(waits(300_000, 600).await, 600, "a host that begins long before");
        assert_eq!(waits(100_000, 600).await, 10, "a host whose clock lags");
        assert_eq!(waits(0, 600).await, 10);
        assert_eq!(waits(-300_000, 600).await, 10);
    }
}
