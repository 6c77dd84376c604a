//! One sentence of what goes on now.

use super::State;
use super::stats::{Rates, Source, SourceState};

/// The worst comes first.
pub(super) fn summary(state: &State, source: &Source, rates: Rates) -> String {
    if let Some(error) = &state.sqlite.error {
        return format!("held: SQLite takes no commit, {} waiting: {error}", state.log.entries);
    }
    if let Some(error) = state.archive.as_ref().and_then(|archive| archive.error.as_ref()) {
        return format!("the archive can not be written and is tried again: {error}");
    }
    if state.held_by_archive {
        return format!("held: the archive is slower than the source, {} waiting", state.log.entries);
    }
    if state.log.bytes * 10 >= state.log.max_bytes * 9 {
        return format!("held: SQLite is slower than the source, {} waiting", state.log.entries);
    }
    match (source.state, &source.error) {
        (SourceState::Waiting, Some(error)) => format!("connecting again to {}: {error}", source.host),
        (SourceState::Waiting, None) => "connecting to the source".into(),
        (SourceState::Joining, _) => format!("connected to {}, looking for the last known event", source.host),
        (SourceState::Ended, _) => "the source was read to its end".into(),
        (SourceState::Reading, _) => {
            let lag = source.lag_seconds.map_or_else(|| "no event yet".into(), |lag| format!("{lag:.1} s behind"));
            format!("reading {}, {:.0} events/s, {lag}", source.host, rates.read)
        }
    }
}
