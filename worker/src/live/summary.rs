//! One sentence of what goes on now.

use super::State;
use super::stats::{Rates, Source, SourceState};
use crate::hydration::report::Report;

/// The worst comes first.
pub(super) fn summary(state: &State, source: &Source, rates: Rates) -> String {
    if let Some(waits_for) = &state.starting {
        return format!("starting: waiting for {waits_for}");
    }
    let waiting = waiting(state);
    if let Some(error) = &state.log_away {
        return format!("held: NATS does not answer{waiting}: {error}");
    }
    if let Some(error) = &state.database.error {
        return format!("held: {} takes no commit{waiting}: {error}", shown(state.database.name));
    }
    if let Some((name, error)) = broken_sink(state) {
        return format!("{} can not be written and is tried again: {error}", shown(name));
    }
    if let Some(why) = held(state).or_else(|| state.shard_error()) {
        return format!("held: {why}{waiting}");
    }
    if let Some(why) = &state.bucket_refuses {
        return format!("no shard moves, and nobody takes over: {why}");
    }
    match (&state.standby, state.reads, state.works) {
        (None, true, _) => reading(state, source, rates),
        (Some(why), _, false) => format!("standing by: {why}"),
        _ => working(state, source, rates),
    }
}

/// How much waits. What a process that does not read the source does not know is not zero.
fn waiting(state: &State) -> String {
    let waiting = state.log.waiting.or(state.reads.then_some(state.log.entries));
    waiting.map_or_else(String::new, |waiting| format!(", {waiting} waiting"))
}

/// What keeps the log or the commits from going on.
fn held(state: &State) -> Option<String> {
    if let Some(sink) = state.held_by {
        return Some(format!("{} is slower than the source", shown(sink)));
    }
    if let Some(why) = &state.log_held {
        return Some(why.clone());
    }
    let full = state.works && state.reads && state.log.bytes * 10 >= state.log.max_bytes * 9;
    full.then(|| format!("{} is slower than the source", shown(state.database.name)))
}

fn broken_sink(state: &State) -> Option<(&'static str, String)> {
    state.sinks().into_iter().skip(usize::from(state.works)).find_map(|sink| Some((sink.name, sink.error?)))
}

fn reading(state: &State, source: &Source, rates: Rates) -> String {
    match (source.state, &source.error) {
        (SourceState::Waiting, Some(error)) => format!("connecting again to {}: {error}", source.host),
        (SourceState::Waiting, None) => "connecting to the source".into(),
        (SourceState::Joining, _) => format!("connected to {}, looking for the last known event", source.host),
        (SourceState::Ended, _) => "the source was read to its end".into(),
        (SourceState::Reading, _) => {
            format!("reading {}, {:.0} events/s, {}", source.host, rates.read, behind(state, source, rates.read))
        }
    }
}

fn working(state: &State, source: &Source, rates: Rates) -> String {
    let owned = state.shards.len();
    if owned == 0 {
        return match state.planned {
            0 => "owns no shard: the plan gives it none yet".into(),
            planned => format!("owns no shard: others have yet to release the {planned} that the plan gives it"),
        };
    }
    format!("owns {owned} shards, {:.0} events/s, {}", rates.committed, behind(state, source, rates.committed))
}

/// How many records have landed with less than their slices look up, and wait; and why they do, where nobody is asked.
fn incomplete(state: &State) -> String {
    let Some(told) = state.hydration.as_ref().map(Report::now).filter(|told| told.queue > 0) else {
        return String::new();
    };
    let why = told.why().map_or_else(String::new, |why| format!(" ({why})"));
    format!(", {} records wait to be completed{why}", told.queue)
}

/// How far it is behind, and what else waits. The age of the last event is a lag only while events come, or wait.
fn behind(state: &State, source: &Source, rate: f64) -> String {
    let waits = state.log.waiting.unwrap_or(state.log.entries) > 0;
    let behind = match source.lag_seconds {
        None => "no event yet".into(),
        Some(lag) if rate < 0.5 && !waits => format!("nothing waits, the last event was {lag:.1} s ago"),
        Some(lag) => format!("{lag:.1} s behind"),
    };
    behind + &incomplete(state)
}

fn shown(sink: &'static str) -> &'static str {
    match sink {
        "sqlite" => "SQLite",
        "postgres" => "PostgreSQL",
        "archive" => "the archive",
        "enriched" => "the enriched stream",
        "windows" => "a window",
        other => other,
    }
}
