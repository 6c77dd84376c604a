//! A stream in place of one that was lost: its sequences begin at the next generation, so that sequences only grow.

use super::connection::context;
use super::{Error, Log, said};
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
            Ok(stream) => Ok(Some(stream.cached_info().state.last_sequence)),
            Err(error) => match error.kind() {
                GetStreamErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
                _ => Err(Error::request("the state of the stream")(&error)),
            },
        }
    }

    /// Puts an empty stream in the place of what is there, with sequences above `highest`.
    ///
    /// # Errors
    /// The server refuses, or does not answer.
    pub async fn begin_anew(&self, highest: u64) -> Result<(), Error> {
        let Some(config) = &self.config else { return Ok(()) };
        let context = context(&self.client);
        if let Err(error) = context.delete_stream(self.names.stream()).await {
            // It is gone, or is still there, and then none can be made in its place.
            tracing::debug!(%error, "the stream was not removed");
        }
        let config = Config { first_sequence: Some(next_generation(highest)), ..config.clone() };
        match context.create_stream(config).await {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                // Another process was faster; what it made is looked at next.
                CreateStreamErrorKind::JetStream(said) if said.error_code() == ErrorCode::STREAM_NAME_EXIST => Ok(()),
                _ => Err(Error::Limits {
                    field: "spec.log.nats.stream",
                    stream: self.names.stream().to_owned(),
                    why: said(&error),
                }),
            },
        }
    }
}
