//! Flags that say which world it is: the same for serving and for the truth.

use clap::Args;
use jiff::SignedDuration;
use std::time::Duration;
use turbo_sim::WorldConfig;

#[derive(Clone, Debug, Args)]
pub(super) struct WorldArgs {
    /// Where all chance comes from.
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Events per second of world time.
    #[arg(long, default_value_t = 500.0)]
    pub(super) rate: f64,
    /// How many accounts there are.
    #[arg(long, default_value_t = WorldConfig::default().accounts, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) accounts: u32,
    /// How unequal accounts are: Zipf's exponent.
    #[arg(long, default_value_t = WorldConfig::default().skew)]
    pub(super) skew: f64,
    /// True time of the first event, in microseconds since the Unix epoch [served at the pace of the world: now].
    #[arg(long)]
    pub(super) start_us: Option<i64>,
    /// Share of events that are hard to digest.
    #[arg(long, default_value_t = WorldConfig::default().nasty)]
    pub(super) nasty: f64,
    /// Share of events that replace a repository.
    #[arg(long, default_value_t = WorldConfig::default().resyncs)]
    pub(super) resyncs: f64,
    /// Share of events that delete an account.
    #[arg(long, default_value_t = WorldConfig::default().removals)]
    pub(super) removals: f64,
    /// How often accounts change their handle, or are away for a while: 1 as in the network, 0 never.
    #[arg(long, default_value_t = WorldConfig::default().unrest)]
    pub(super) unrest: f64,
}

impl WorldArgs {
    pub(super) fn world(&self, start_us: i64) -> WorldConfig {
        WorldConfig {
            seed: self.seed,
            accounts: self.accounts,
            skew: self.skew,
            rate: self.rate,
            start_us,
            nasty: self.nasty,
            resyncs: self.resyncs,
            removals: self.removals,
            unrest: self.unrest,
            ..WorldConfig::default()
        }
    }
}

/// The flags that make a world again.
pub(super) fn flags(world: &WorldConfig) -> String {
    let WorldConfig { seed, accounts, skew, rate, start_us, nasty, resyncs, removals, unrest, .. } = world;
    let figures = format!("--accounts {accounts} --skew {skew} --nasty {nasty} --resyncs {resyncs}");
    format!("--seed {seed} --rate {rate} {figures} --removals {removals} --unrest {unrest} --start-us {start_us}")
}

/// A duration as in `10m`, `1.5s` or `1h 30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let signed: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(signed).map_err(|_| String::from("a duration cannot be negative"))
}
