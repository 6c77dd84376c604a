//! How an AppView behaves: its configuration, and what goes wrong for a while.

use std::time::{Duration, Instant};

/// What makes one AppView differ from another.
#[derive(Clone, Debug)]
pub struct AppViewConfig {
    /// Where all chance comes from.
    pub seed: u64,
    /// Port; 0 takes any.
    pub port: u16,
    /// The shortest and the longest time that an answer takes.
    pub latency: (Duration, Duration),
    /// Requests in a window at most; more meet 429.
    pub limit: u32,
    /// A window.
    pub window: Duration,
    /// The share of posts from before the world began that are not there any more.
    pub missing: f64,
    /// Who may ask; `None`: everybody.
    pub account: Option<Account>,
    /// A name with this text in it is taken for none.
    pub refuses: Option<String>,
}

/// Who may ask.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its handle or DID.
    pub identifier: String,
    /// Its app password.
    pub password: String,
    /// How long a token counts.
    pub lasts: Duration,
}

impl Default for AppViewConfig {
    /// The limits of the public AppView: 3000 requests in 5 minutes.
    fn default() -> Self {
        Self {
            seed: 1,
            port: 0,
            latency: (Duration::from_millis(40), Duration::from_millis(60)),
            limit: 3000,
            window: Duration::from_secs(300),
            missing: 0.03,
            account: None,
            refuses: None,
        }
    }
}

/// Bad manners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Connections are dropped without an answer.
    Down,
    /// Every answer is an error of the server, 500, 502 or 503.
    Broken,
    /// The answer comes a byte at a time, and does not end.
    SlowLoris,
    /// The answer is no JSON, or ends too soon.
    Malformed,
    /// The answer is 100 MB long.
    Huge,
    /// Every answer is 429, and says to come back in a second.
    Busy,
    /// What it knows is so old.
    Stale(Duration),
    /// Half of what was asked for is left out.
    Forgetful,
}

/// The moods of now.
#[derive(Debug, Default)]
pub(crate) struct Moods(Vec<(Mood, Instant)>);

impl Moods {
    pub(crate) fn set(&mut self, mood: Mood, lasts: Duration) {
        let now = Instant::now();
        self.0.retain(|(other, until)| *until > now && std::mem::discriminant(other) != std::mem::discriminant(&mood));
        self.0.push((mood, now + lasts));
    }

    pub(crate) fn now(&self) -> impl Iterator<Item = Mood> + '_ {
        let now = Instant::now();
        self.0.iter().filter(move |(_, until)| *until > now).map(|(mood, _)| *mood)
    }

    pub(crate) fn has(&self, mood: Mood) -> bool {
        self.now().any(|other| other == mood)
    }

    /// How old what it knows is, in microseconds.
    pub(crate) fn lag_us(&self) -> i64 {
        let lags = self.now().filter_map(|mood| match mood {
            Mood::Stale(by) => Some(by.as_micros() as i64),
            _ => None,
        });
        lags.max().unwrap_or(0)
    }
}
