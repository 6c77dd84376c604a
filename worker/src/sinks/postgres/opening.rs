//! The first words with a database: whether one is let in, whose it is, and its schema.

use super::{Database, Error};
use sqlx::migrate::MigrateError;
use sqlx::{Executor, Row as _};

/// The oldest server that is supported: 14.
const OLDEST: i32 = 140_000;
/// What holds every text that a record may have.
const ENCODING: &str = "UTF8";
/// There is no such table.
const NO_TABLE: &str = "42P01";

impl Database {
    /// Where the server is: host and port, or the folder of its socket, and the name of the database. Nothing secret.
    #[must_use]
    pub fn address(&self) -> String {
        let options = self.pool.connect_options();
        let database = options.get_database().unwrap_or_default();
        match options.get_socket() {
            Some(folder) => format!("{}/{database}", folder.display()),
            None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
        }
    }

    /// Brings the schema up to date. Several may do so at once: they wait for each other.
    ///
    /// # Errors
    /// The server is too old, or refuses.
    pub async fn migrate(&self) -> Result<(), Error> {
        let version = "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
                         current_setting('server_encoding')";
        let found = self.acquire().await?.fetch_one(sqlx::raw_sql(version)).await?;
        let (number, text, encoding): (i32, String, String) = (found.try_get(0)?, found.try_get(1)?, found.try_get(2)?);
        if number < OLDEST {
            return Err(Error::TooOld(text));
        }
        if encoding != ENCODING {
            return Err(Error::Encoding { at: self.address(), encoding });
        }
        Ok(sqlx::migrate!("migrations/postgres").run(&self.pool).await?)
    }

    /// Checks that the database is of this pipeline, with these slices, and changes nothing.
    ///
    /// # Errors
    /// It is another's, or nobody has prepared it ([`Error::NotPrepared`]); PostgreSQL refuses.
    pub async fn belongs_to(&self, name: &str, described: &str) -> Result<(), Error> {
        let mut transaction = self.begin().await?;
        let made = sqlx::query_as::<_, (String, String)>("SELECT name, slices FROM pipeline").persistent(false);
        let made = match made.fetch_optional(&mut *transaction).await {
            Err(error) if code(&error).as_deref() == Some(NO_TABLE) => None,
            made => made?,
        };
        transaction.rollback().await?;
        let Some((made_name, made_slices)) = made else { return Err(Error::NotPrepared(self.address())) };
        for (field, given, made) in [("metadata.name", name, made_name), ("spec.slices", described, made_slices)] {
            if given != made {
                return Err(Error::OtherPipeline { field, given: given.to_owned(), made });
            }
        }
        Ok(())
    }

    /// Names the field and the mend where the server refuses the address that `field` of the pipeline file holds.
    #[must_use]
    pub fn named(&self, error: Error, field: &'static str) -> Error {
        const DIRECT: &str = "spec.sinks.postgres.directUrlFrom";
        let Some(code) = error.sql().and_then(code) else { return error };
        let (field, mend) = match &*code {
            "3D000" => (field, "create the database, or give the name of one that is there"),
            "42501" => (field, "let the user make tables there: GRANT CREATE ON SCHEMA public"),
            "42P05" | "26000" => {
                (DIRECT, "give the address of PostgreSQL itself: the schema can not be made through a pooler")
            }
            code if code.starts_with("28") => (field, "give a user and a password that the server lets in"),
            _ => return error,
        };
        Error::Address { field, at: self.address(), why: error.to_string(), mend }
    }
}

impl Error {
    /// Whether it may pass by itself: a server that is not there, or that does not answer.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        self.sql().is_some() || matches!(self, Self::NoAnswer(_))
    }

    fn sql(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Sql(error)
            | Self::Migrate(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Some(error),
            _ => None,
        }
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}
