//! PostgreSQL: records and catalog in one database, and so in one transaction.
//!
//! Invariants:
//! - rows, counters and positions of a commit change in one transaction, fenced for each shard by epoch and position in
//!   one `UPDATE`: what a paused or killed owner sent changes nothing;
//! - a row is replaced only by a newer revision;
//! - no statement is prepared under a name or outside a transaction, and no setting outlives one, so that a pool which
//!   lends its connections by the transaction (PgBouncer) can stand in front. Migrations need a direct connection, for their lock.

mod answered;
mod asked;
mod burnt;
mod claim;
mod commit;
mod copy;
mod dead_letters;
mod effects;
mod hydrations;
mod lookup;
mod merge;
mod opening;
mod positions;
pub mod projections;
mod redrive;
mod refused;
mod restored;
mod segments;
mod transaction;
mod upkeep;
mod walk;
mod wanted;

pub(crate) use answered::answered;
pub use claim::{Beside, Claimed, Had, SINK, Seen};
pub use commit::{CommitError, Committed, Committer, ShardTotals};
pub use dead_letters::{Filter, Letter};
pub use hydrations::Hydrations;
pub use lookup::Standing;
pub use redrive::Redriven;
pub use restored::{Forgotten, Recalled, Watched};
pub use segments::{ARCHIVE, Fence, Intent, Segment};
pub use upkeep::{Removed, Retention, Upkeep, UpkeepOptions};
pub use wanted::Wanted;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool};
use std::time::Duration;

/// How long a connection may be waited for.
const ACQUIRE: Duration = Duration::from_secs(10);
/// How long a statement may take.
const STATEMENT: Duration = Duration::from_secs(30);

/// Why the Postgres sink does not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address can not be read. It may hold a password, and is not shown.
    #[error(
        "spec.sinks.postgres.urlFrom: it is no address of a database: {0}; give postgres://user:password@host/database"
    )]
    Url(String),
    /// The server is older than what is supported.
    #[error("spec.sinks.postgres.urlFrom: the server has version {0}; give one of version 14 or newer")]
    TooOld(String),
    /// The database does not hold every text.
    #[error(
        "spec.sinks.postgres.urlFrom: {at} has the encoding {encoding}, which does not hold every text; give a database that was made \
         with ENCODING 'UTF8'"
    )]
    Encoding {
        /// Where the database is.
        at: String,
        /// Its encoding.
        encoding: String,
    },
    /// The database belongs to another pipeline.
    #[error("{field}: {given} does not fit the database, which was made with {made}; give that, or another database")]
    OtherPipeline {
        /// The field of the pipeline file.
        field: &'static str,
        /// What it says.
        given: String,
        /// What the database was made with.
        made: String,
    },
    /// The pipeline file names a projection that there is not.
    #[error(transparent)]
    Projection(#[from] projections::UnknownProjection),
    /// The server refuses this address, or who comes by it.
    #[error("{field}: {at}: {why}; {mend}")]
    Address {
        /// The field of the pipeline file.
        field: &'static str,
        /// Host and port.
        at: String,
        /// What the server says.
        why: String,
        /// What to do.
        mend: &'static str,
    },
    /// There are no tables yet, or they are nobody's.
    #[error(
        "spec.sinks.postgres: no worker has prepared the database {0} yet; start one with `turbo work` or `turbo run`, or give \
         the pipeline's own database"
    )]
    NotPrepared(String),
    /// The schema can not be brought up to date.
    #[error("PostgreSQL schema: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// PostgreSQL refuses, or is not there.
    #[error("PostgreSQL: {}", said(.0))]
    Sql(sqlx::Error),
    /// It may be gone without a word.
    #[error("PostgreSQL does not answer within {0:?}")]
    NoAnswer(Duration),
    /// What is stored can not be read.
    #[error("PostgreSQL: a row of {0} is broken")]
    Broken(&'static str),
}

// No `#[from]`: it would be a cause too, and whoever shows causes would say the same twice.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

/// What the server says, without the line of its own source that goes with it.
fn said(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

impl Error {
    /// Whether the server refuses the data itself, not the work: SQLSTATE classes 22 and 23, and 54 (JSON that is nested
    /// too deep, a key that is too long for an index).
    fn refuses_data(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        let code = error.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
    }
}

/// A database.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    statement: Duration,
}

impl Database {
    /// A pool of at most `connections`; they are made when they are needed.
    ///
    /// # Errors
    /// The address can not be read.
    pub fn open(url: &str, connections: u32) -> Result<Self, Error> {
        let options = options(url)?;
        let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE);
        let pool = pool.acquire_slow_threshold(ACQUIRE).connect_lazy_with(options);
        Ok(Self { pool, statement: STATEMENT })
    }

    /// The same database, where a statement may take so long.
    #[must_use]
    pub fn with_statement_timeout(mut self, limit: Duration) -> Self {
        self.statement = limit;
        self
    }

    /// New connections go to this address.
    ///
    /// # Errors
    /// The address can not be read.
    pub fn connect_to(&self, url: &str) -> Result<(), Error> {
        self.pool.set_connect_options(options(url)?);
        Ok(())
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

fn options(url: &str) -> Result<PgConnectOptions, Error> {
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(Error::Url("it begins with neither postgres:// nor postgresql://".to_owned()));
    }
    let options: PgConnectOptions = url.parse().map_err(|error: sqlx::Error| Error::Url(error.to_string()))?;
    let options = options.application_name("turbo").extra_float_digits(None).statement_cache_capacity(0);
    // What is slow shows in our own lines and metrics.
    Ok(options.disable_statement_logging())
}
