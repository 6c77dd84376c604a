//! Where ingest begins: at the log's end, or, where the log has lost what the catalog already has, in a new log.
//!
//! Sequences only grow. A stream that is gone, or whose end is below the highest position in the catalog, has lost something.
//! What is left is read to its end by the owners first; then the log goes on in the next generation, and the source is read
//! again from the lowest position that the catalog holds, of any sink. What a sink had already is left out by the owner.

use super::open::Opened;
use crate::live::Live;
use crate::log::nats::{self, Tail};
use crate::sinks::postgres::{self, answered};
use crate::telemetry::events;
use std::time::Duration;
use turbo_core::shard::Slices;

/// How long the catalog is waited for: above its own limits, which a server that is gone without a word does not keep.
pub(super) const CATALOG: Duration = Duration::from_secs(45);

/// Where ingest begins.
pub(super) enum Beginning {
    /// Behind this end of the log.
    At(Box<Tail>),
    /// Not yet, and why.
    NotYet(&'static str),
}

/// What keeps it from being known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Log(#[from] nats::Error),
    #[error(transparent)]
    Catalog(#[from] postgres::Error),
}

/// Looks at the log's end and at the catalog.
///
/// # Errors
/// One of them does not answer.
pub(super) async fn beginning(opened: &Opened, slices: &Slices, live: &Live) -> Result<Beginning, Error> {
    let (log, database) = (&opened.log, &opened.database);
    let highest = answered(CATALOG, database.highest()).await?;
    let end = log.end().await?;
    // Of a log of which nothing was committed yet the catalog knows nothing.
    let unseen = highest == 0 && end == Some(0) && log.is_made_again(slices).await?;
    if unseen || end.is_none_or(|end| end < highest) {
        if end.is_some() && !is_read(opened, slices).await? {
            return Ok(Beginning::NotYet("the log went back, and the workers read what is left of it first"));
        }
        lost(opened, slices, live, highest, end.unwrap_or(0)).await?;
        log.begin_anew(highest, end).await?;
        // Both are looked at again: another process may have done something meanwhile.
        return Ok(Beginning::NotYet("the log begins anew"));
    }
    log.announce_beginnings(slices).await?;
    let mut tail = log.tail(slices).await?;
    if tail.position.is_none() {
        (tail.position, tail.event_us) = answered(CATALOG, database.source()).await?.unzip();
    }
    Ok(Beginning::At(Box::new(tail)))
}

/// Whether every sink has what is left in the log.
async fn is_read(opened: &Opened, slices: &Slices) -> Result<bool, Error> {
    let lowest = answered(CATALOG, opened.database.lowest(slices)).await?;
    let lasts = opened.log.lasts(slices).await?;
    Ok(lasts.iter().all(|(shard, last)| lowest.get(shard).copied().unwrap_or(0) >= *last))
}

/// Tells it, and writes it down; for each sink that did not have what PostgreSQL had, and of which it is not known from where
/// on the source has to be read for it, too.
async fn lost(opened: &Opened, slices: &Slices, live: &Live, highest: u64, end: u64) -> Result<(), Error> {
    events::LogLost { highest, end }.emit();
    let database = &opened.database;
    let mut reasons = vec![match highest {
        0 => "the log was lost before anything of it was committed, and was begun anew".to_owned(),
        _ => format!("the log ended at {end}, below the catalog's {highest}, and was begun anew"),
    }];
    for (shard, standing) in answered(CATALOG, database.standing(slices)).await? {
        let (slice, partition, had) = (slices.name(shard), shard.partition, standing.row.position);
        let lacks = |(sink, position): &(&String, &u64)| **position < had && standing.unplaced.contains(*sink);
        for (sink, position) in standing.sinks.iter().filter(lacks) {
            reasons.push(format!("{sink} has {slice}.{partition} up to {position} of {had}, and the log is lost"));
        }
    }
    for reason in reasons {
        if answered(CATALOG, database.gap(&reason)).await? {
            live.gap();
        }
    }
    Ok(())
}
