//! What S3 says, and what it means for whoever has to mend it.

use super::S3;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use std::fmt::Write as _;

/// Why S3 does not do what it is asked to. What a user can mend names the field of the pipeline file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option is wrong.
    #[error("{at}.{field}: {what}; {mend}")]
    Option {
        /// The field that the store stands in.
        at: &'static str,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        what: String,
        /// What to do.
        mend: &'static str,
    },
    /// The bucket is not there.
    #[error("{at}.bucket: there is no bucket {bucket} at {endpoint}; make it, or give another")]
    NoBucket {
        /// The field that the store stands in.
        at: &'static str,
        /// The bucket.
        bucket: String,
        /// Where it was looked for.
        endpoint: String,
    },
    /// The store does not know who asks.
    #[error("{at}.{field}: {endpoint} does not take the credentials ({code}); give others")]
    Credentials {
        /// The field that the store stands in.
        at: &'static str,
        /// Which of its fields is wrong.
        field: &'static str,
        /// Who says so.
        endpoint: String,
        /// Its word.
        code: String,
    },
    /// Whoever asks may not do this.
    #[error(
        "{at}.accessKeyIdFrom: {what} is not allowed ({code}); allow s3:PutObject, s3:GetObject, \
         s3:DeleteObject, s3:ListBucket, s3:AbortMultipartUpload and s3:ListBucketMultipartUploads"
    )]
    Denied {
        /// The field that the store stands in.
        at: &'static str,
        /// What was asked.
        what: String,
        /// The store's word.
        code: String,
    },
    /// The bucket is elsewhere.
    #[error("{at}.region: the bucket {bucket} is in {there}, not in {given}; give the bucket's region")]
    Region {
        /// The field that the store stands in.
        at: &'static str,
        /// The bucket.
        bucket: String,
        /// Its region, as far as the store tells.
        there: String,
        /// The one in the pipeline file.
        given: String,
    },
    /// The store replaces an object when it is asked not to.
    #[error(
        "{at}.endpoint: {endpoint} does not honour conditional puts (If-None-Match: *) {how}: it \
         replaced an object, and a worker that was paused could do so too; give a store that refuses with 412"
    )]
    Unconditional {
        /// The field that the store stands in.
        at: &'static str,
        /// The store.
        endpoint: String,
        /// By which kind of put.
        how: &'static str,
    },
    /// The store does not say of an object what it was put with.
    #[error(
        "{at}.endpoint: {endpoint} does not give back the size and the metadata (x-amz-meta-*) of an \
         object that was put just now, but {found}: after a lost reply one's own object could not be known; give a store \
         that keeps metadata"
    )]
    Unmarked {
        /// The field that the store stands in.
        at: &'static str,
        /// The store.
        endpoint: String,
        /// What it says.
        found: String,
    },
    /// The store is away, slow, or has too much to do.
    #[error("{at}.endpoint: {endpoint}: {what}: {why}")]
    Outage {
        /// The field that the store stands in.
        at: &'static str,
        /// The store.
        endpoint: String,
        /// What was asked.
        what: String,
        /// What happened.
        why: String,
    },
    /// The store refuses.
    #[error("{at}.endpoint: {endpoint}: {what} was refused: {why}")]
    Refused {
        /// The field that the store stands in.
        at: &'static str,
        /// The store.
        endpoint: String,
        /// What was asked.
        what: String,
        /// What it says.
        why: String,
    },
    /// A file of this machine can not be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
}

impl Error {
    pub(super) fn option(at: &'static str, field: &'static str, what: String, mend: &'static str) -> Self {
        Self::Option { at, field, what, mend }
    }

    pub(super) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::File { path: path.display().to_string(), error }
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Outage { .. } | Self::File { .. })
    }
}

/// The status of an answer, and the store's word for it; `None` where none came.
pub(super) fn answered<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<(u16, String)> {
    let raw = error.raw_response()?;
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
    Some((raw.status().as_u16(), code.to_owned()))
}

impl S3 {
    /// What an error means. `what` was asked.
    pub(super) fn error<E>(&self, what: String, error: &SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let why = chain(error);
        let Some((status, code)) = answered(error) else { return self.outage(what, why) };
        let (at, bucket, endpoint) = (self.options.at, self.options.bucket.clone(), self.endpoint());
        let there = error.raw_response().and_then(|raw| raw.headers().get("x-amz-bucket-region"));
        match (status, code.as_str()) {
            (_, "NoSuchBucket") => Error::NoBucket { at, bucket, endpoint },
            (301 | 307, _) | (_, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
                let there = there.unwrap_or("another region").to_owned();
                Error::Region {
                    at,
                    bucket,
                    there,
                    given: self.options.region.clone().unwrap_or_else(|| "us-east-1".into()),
                }
            }
            (_, "SignatureDoesNotMatch" | "InvalidAccessKeyId" | "InvalidToken" | "ExpiredToken") => {
                self.renew();
                let field = if code == "InvalidAccessKeyId" { "accessKeyIdFrom" } else { "secretAccessKeyFrom" };
                Error::Credentials { at, field, endpoint, code }
            }
            // A clock that is wrong, or a process that was paused between signing and sending.
            (_, "RequestTimeTooSkewed" | "RequestTimeout") | (408 | 409 | 429 | 500.., _) => self.outage(what, why),
            // A long answer is begun with 200, and may end so.
            (_, "InternalError" | "SlowDown" | "ServiceUnavailable") => self.outage(what, why),
            (401 | 403, _) => {
                self.renew();
                let code = if code.is_empty() { status.to_string() } else { code };
                Error::Denied { at, what, code }
            }
            (_, "") => {
                let why = format!("{why}; this may be no S3 store: give the address of one");
                self.refusal(what, why)
            }
            _ => self.refusal(what, why),
        }
    }

    /// It is away, slow, or has too much to do.
    pub(super) fn outage(&self, what: String, why: String) -> Error {
        Error::Outage { at: self.options.at, endpoint: self.endpoint(), what, why }
    }

    /// It answers, and not as it should.
    pub(super) fn refusal(&self, what: String, why: String) -> Error {
        Error::Refused { at: self.options.at, endpoint: self.endpoint(), what, why }
    }

    pub(super) fn endpoint(&self) -> String {
        self.options.endpoint.clone().unwrap_or_else(|| "AWS".to_owned())
    }
}

/// An error with its causes; the library's own text says "service error" only.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            let _ = write!(text, ": {more}");
        }
        cause = next.source();
    }
    text
}
