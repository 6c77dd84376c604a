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
pub use options::{Credentials, Encryption, Options, Renew};

use aws_sdk_s3::Client;
use aws_sdk_s3::types::ServerSideEncryption;
use std::sync::{Arc, PoisonError, RwLock};

/// Where the metadata of an object holds its checksum.
const CHECKSUM: &str = "turbo-checksum";

/// A bucket, or a prefix in one.
#[derive(Clone, Debug)]
pub struct S3 {
    used: Arc<RwLock<Used>>,
    options: Arc<Options>,
}

/// The client, and the credentials that it was made with.
#[derive(Debug)]
struct Used {
    client: Client,
    credentials: Option<Credentials>,
}

impl S3 {
    /// A client; nothing is asked yet.
    ///
    /// # Errors
    /// An option is wrong.
    pub fn new(options: Options) -> Result<Self, Error> {
        let credentials = options.credentials.clone();
        let client = Client::from_conf(options.config(credentials.as_ref())?);
        Ok(Self { used: Arc::new(RwLock::new(Used { client, credentials })), options: Arc::new(options) })
    }

    /// The client with the newest credentials.
    fn client(&self) -> Client {
        self.used.read().unwrap_or_else(PoisonError::into_inner).client.clone()
    }

    /// The store does not take the credentials: they may have been changed since they were read.
    fn renew(&self) {
        let Some(renewed) = self.options.renew.as_ref().and_then(|renew| renew.0()) else { return };
        let mut used = self.used.write().unwrap_or_else(PoisonError::into_inner);
        if used.credentials.as_ref() != Some(&renewed)
            && let Ok(config) = self.options.config(Some(&renewed))
        {
            *used = Used { client: Client::from_conf(config), credentials: Some(renewed) };
        }
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
