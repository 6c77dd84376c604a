//! What the S3 store is told, and what is wrong with it.

use super::Error;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{self, BehaviorVersion, Region};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

const MIB: u64 = 1 << 20;
/// S3 takes no smaller part, but as the last one.
const SMALLEST_PART: u64 = 5 * MIB;
/// A body is held in memory, for its checksum stands before it.
const LARGEST_BODY: u64 = 256 * MIB;

/// Where and how objects are put. `Options::new` has the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// The field of the pipeline file that names the store, for errors.
    pub at: &'static str,
    /// The bucket; it is never made.
    pub bucket: String,
    /// What keys begin with; a `/` is put behind it. Empty: nothing.
    pub prefix: String,
    /// The region. Absent: `us-east-1`, where an endpoint is given.
    pub region: Option<String>,
    /// `http://…` or `https://…` of an S3-compatible store. Absent: AWS, of the region.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path. Absent: where an endpoint is given.
    pub path_style: Option<bool>,
    /// Who asks.
    pub credentials: Option<Credentials>,
    /// Reads the credentials again, when the store does not take the ones in use.
    pub renew: Option<Renew>,
    /// How the store encrypts what it keeps.
    pub encryption: Encryption,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long one attempt of one request may take, with a body of at most `multipart_above` or `part_size` bytes.
    pub attempt_timeout: Duration,
    /// Objects above so many bytes are put in parts.
    pub multipart_above: u64,
    /// Bytes of a part; grows where an object would have more than 10,000 of them.
    pub part_size: u64,
    /// How often a request is tried again, before the archiver waits and says so.
    pub retries: u32,
}

/// An access key.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

/// Where credentials are read again; `None` where they can not be read now.
#[derive(Clone)]
pub struct Renew(pub Arc<dyn Fn() -> Option<Credentials> + Send + Sync>);

impl fmt::Debug for Renew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renew")
    }
}

/// How the store encrypts what it keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// As the bucket says.
    #[default]
    None,
    /// With keys of the store (SSE-S3).
    Aes256,
    /// With a key of AWS KMS (SSE-KMS).
    AwsKms {
        /// Id or ARN of the key. Absent: the account's own key for S3.
        key_id: Option<String>,
    },
}

impl Credentials {
    /// Credentials from the bytes of secrets, for the store of this field; blanks around them are cut off, as files end in a line break.
    ///
    /// # Errors
    /// One is empty, or is no text.
    pub fn new(
        at: &'static str,
        access_key_id: &[u8],
        secret_access_key: &[u8],
        session_token: Option<&[u8]>,
    ) -> Result<Self, Error> {
        let text = |field, bytes: &[u8]| match std::str::from_utf8(bytes).map(str::trim) {
            Ok(text) if !text.is_empty() && !text.contains(char::is_control) => Ok(text.to_owned()),
            _ => Err(Error::option(at, field, "it is empty, or is no text".into(), "give it again")),
        };
        Ok(Self {
            access_key_id: text("accessKeyIdFrom", access_key_id)?,
            secret_access_key: text("secretAccessKeyFrom", secret_access_key)?,
            session_token: session_token.map(|token| text("AWS_SESSION_TOKEN", token)).transpose()?,
        })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl Options {
    /// A bucket of AWS with what else holds by default.
    #[must_use]
    pub fn new(at: &'static str, bucket: &str) -> Self {
        Self {
            at,
            bucket: bucket.to_owned(),
            prefix: String::new(),
            region: None,
            endpoint: None,
            path_style: None,
            credentials: None,
            renew: None,
            encryption: Encryption::None,
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(30),
            multipart_above: 16 * MIB,
            part_size: 8 * MIB,
            retries: 2,
        }
    }

    /// The key of an object.
    pub(super) fn key(&self, path: &str) -> String {
        match self.prefix.trim_matches('/') {
            "" => path.to_owned(),
            prefix => format!("{prefix}/{path}"),
        }
    }

    /// What the client is made from.
    pub(super) fn config(&self, credentials: Option<&Credentials>) -> Result<config::Config, Error> {
        self.check()?;
        let credentials = credentials.ok_or_else(|| {
            Error::option(
                self.at,
                "accessKeyIdFrom",
                "no credentials are given".into(),
                "name the secret of an access key",
            )
        })?;
        let region = match (&self.region, &self.endpoint) {
            (Some(region), _) => region.clone(),
            (None, Some(_)) => "us-east-1".to_owned(),
            (None, None) => {
                return Err(Error::option(self.at, "region", "no region is given".into(), "give that of the bucket"));
            }
        };
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(self.connect_timeout)
            .operation_attempt_timeout(self.attempt_timeout)
            .build();
        let Credentials { access_key_id, secret_access_key, session_token } = credentials.clone();
        let credentials = config::Credentials::new(access_key_id, secret_access_key, session_token, None, "secret");
        let mut config = config::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .credentials_provider(credentials)
            .force_path_style(self.path_style.unwrap_or(self.endpoint.is_some()))
            .retry_config(RetryConfig::standard().with_max_attempts(self.retries + 1))
            .timeout_config(timeouts);
        config.set_endpoint_url(self.endpoint.clone());
        Ok(config.build())
    }

    fn check(&self) -> Result<(), Error> {
        if self.bucket.is_empty() || self.bucket.contains('/') {
            let what = format!("{:?} is no name of a bucket", self.bucket);
            return Err(Error::option(
                self.at,
                "bucket",
                what,
                "give the name alone; what stands behind it is the prefix",
            ));
        }
        if let Some(endpoint) = &self.endpoint
            && !(endpoint.starts_with("http://") || endpoint.starts_with("https://"))
        {
            let what = format!("{endpoint} is no address of a store");
            return Err(Error::option(self.at, "endpoint", what, "give http://HOST:PORT or https://HOST"));
        }
        let parts = SMALLEST_PART..=LARGEST_BODY;
        for (field, bytes) in [("multipart above", self.multipart_above), ("part size", self.part_size)] {
            if !parts.contains(&bytes) {
                return Err(Error::option(
                    self.at,
                    field,
                    format!("{bytes} bytes are too few or too many"),
                    "give 5Mi to 256Mi",
                ));
            }
        }
        Ok(())
    }
}
