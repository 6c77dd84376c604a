//! S3: any store that speaks it and honours conditional puts.
//!
//! Invariants:
//! - an object is put with `If-None-Match: *`, in one request or in parts that the last request joins; every body has a
//!   checksum that the store checks;
//! - the object's metadata holds our own checksum, so that a 412 on a repeated put is told apart from another's object;
//! - an upload in parts that fails is aborted; where the process ends first, the next claim aborts it;
//! - nothing is waited for without a limit.

mod error;
mod multipart;
mod objects;
mod options;
mod probe;

pub use error::Error;
pub use options::{Credentials, Encryption, Options};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::ServerSideEncryption;
use std::sync::Arc;

/// Where the metadata of an object holds its checksum.
const CHECKSUM: &str = "turbo-checksum";

/// A bucket, or a prefix in one.
#[derive(Clone, Debug)]
pub struct S3 {
    client: Client,
    options: Arc<Options>,
}

impl S3 {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// An option is wrong.
    pub fn new(options: Options) -> Result<Self, Error> {
        Ok(Self { client: Client::from_conf(options.config()?), options: Arc::new(options) })
    }

    /// Where the object of this name is, for people.
    pub(super) fn address(&self, path: &str) -> String {
        format!("s3://{}/{}", self.options.bucket, self.options.key(path))
    }

    /// How the store encrypts an object, and with which key.
    fn encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.options.encryption {
            Encryption::None => (None, None),
            Encryption::Aes256 => (Some(ServerSideEncryption::Aes256), None),
            Encryption::AwsKms { key_id } => (Some(ServerSideEncryption::AwsKms), key_id.clone()),
        }
    }
}
