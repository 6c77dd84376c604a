//! A log that goes on after it has lost something: in the next generation, so that sequences only grow.

use super::connection::context;
use super::stream::of_leader;
use super::{Error, Log};
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::Config;
use turbo_core::position::next_generation;

impl Log {
    /// The stream's last sequence; `None` where the stream is gone.
    ///
    /// # Errors
    /// No answer.
    pub async fn end(&self) -> Result<Option<u64>, Error> {
        match context(&self.client).get_stream(self.names.stream()).await {
            Ok(stream) => Ok(Some(of_leader(stream.cached_info())?.state.last_sequence)),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
                _ => Err(Error::request("the state of the stream")(&error)),
            },
        }
    }

    /// Lets the log go on above `highest`, in the next generation: what is in the stream goes, or a stream is made where
    /// there is none. Sequences never go back by it, however late it is: a purge up to a sequence that the stream has
    /// passed does nothing (seen on 2.15, one server and three).
    ///
    /// # Errors
    /// The server refuses, or does not answer.
    pub async fn begin_anew(&self, highest: u64, end: Option<u64>) -> Result<(), Error> {
        let first = next_generation(highest);
        if end.is_some() {
            let purged = self.stream.purge().sequence(first).await;
            return purged.map(|_| ()).map_err(|error| Error::request("a purge")(&error));
        }
        let Some(config) = &self.config else { return Ok(()) };
        let config = Config { first_sequence: Some(first), ..config.clone() };
        match context(&self.client).create_stream(config).await {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                // Another process has made one meanwhile; it is looked at next.
                CreateStreamErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NAME_EXIST => Ok(()),
                _ => Err(Error::request("a new stream")(&error)),
            },
        }
    }
}
