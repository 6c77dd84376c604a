//! Flags that say what the AppView is like.

use super::world_args::duration;
use clap::Args;
use std::time::Duration;
use tokio::time::Instant;
use turbo_sim::{Account, AppViewConfig, Mood, Network};

/// How long a token counts.
const TOKEN: Duration = Duration::from_secs(7200);
/// How old what it knows is, where it is stale.
const STALE: Duration = Duration::from_secs(3600);

#[derive(Debug, Args)]
pub(super) struct AppViewArgs {
    /// Serves an AppView too, on this port; 0 takes any.
    #[arg(long, value_name = "PORT")]
    appview: Option<u16>,
    /// Requests that the AppView answers in a window; more meet 429.
    #[arg(long, default_value_t = 3000, requires = "appview")]
    appview_requests: u32,
    /// The AppView's window.
    #[arg(long, value_parser = duration, default_value = "5m", requires = "appview")]
    appview_window: Duration,
    /// The only account that the AppView lets in, with its app password; GET /tokens gives tokens of it too [everybody].
    #[arg(long, value_name = "IDENTIFIER/PASSWORD", value_parser = account, requires = "appview")]
    appview_account: Option<Account>,
    /// What the AppView is like from a time on, and for how long: MOOD@FROM+LASTS, down@30s+1m for example. Moods: down,
    /// broken, slow-loris, malformed, huge, busy, stale, forgetful.
    #[arg(long, value_name = "MOOD", value_parser = moment, value_delimiter = ',', requires = "appview")]
    appview_mood: Vec<Moment>,
}

/// A mood for a while.
#[derive(Clone, Copy, Debug)]
struct Moment {
    mood: Mood,
    from: Duration,
    lasts: Duration,
}

impl AppViewArgs {
    /// The AppView, if one is asked for.
    pub(super) fn config(&self, seed: u64) -> Option<AppViewConfig> {
        Some(AppViewConfig {
            seed,
            port: self.appview?,
            limit: self.appview_requests,
            window: self.appview_window,
            account: self.appview_account.clone(),
            ..AppViewConfig::default()
        })
    }

    /// Lets the AppView have its moods, each in its time.
    pub(super) async fn moods(&self, network: &Network) {
        let began = Instant::now();
        let mut moods = self.appview_mood.clone();
        moods.sort_by_key(|moment| moment.from);
        for Moment { mood, from, lasts } in moods {
            tokio::time::sleep_until(began + from).await;
            network.appview_mood(mood, lasts);
        }
    }
}

fn account(text: &str) -> Result<Account, String> {
    let (identifier, password) = text
        .split_once('/')
        .filter(|(name, password)| !name.is_empty() && !password.is_empty())
        .ok_or("give IDENTIFIER/PASSWORD")?;
    Ok(Account { identifier: identifier.to_owned(), password: password.to_owned(), lasts: TOKEN })
}

fn moment(text: &str) -> Result<Moment, String> {
    let parts = text.split_once('@').and_then(|(mood, when)| Some((mood, when.split_once('+')?)));
    let (mood, (from, lasts)) = parts.ok_or("give MOOD@FROM+LASTS, down@30s+1m for example")?;
    let mood = match mood {
        "down" => Mood::Down,
        "broken" => Mood::Broken,
        "slow-loris" => Mood::SlowLoris,
        "malformed" => Mood::Malformed,
        "huge" => Mood::Huge,
        "busy" => Mood::Busy,
        "stale" => Mood::Stale(STALE),
        "forgetful" => Mood::Forgetful,
        _ => return Err("give one of down, broken, slow-loris, malformed, huge, busy, stale, forgetful".to_owned()),
    };
    Ok(Moment { mood, from: duration(from)?, lasts: duration(lasts)? })
}
