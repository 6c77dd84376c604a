//! What NATS says no to, told apart: what stays so until somebody mends it is refused, everything else is waited for.
//!
//! Invariant: no answer is no refusal. A cluster that chooses its leader, or that lacks half of its servers, answers late,
//! not at all, or with a code that says so.

use super::{Error, said};
use async_nats::ConnectErrorKind;
use async_nats::jetstream::context::{
    AccountError, AccountErrorKind, CreateKeyValueError, CreateStreamError, CreateStreamErrorKind,
};
use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, ErrorCode};
use rustls::{AlertDescription, CertificateError};
use std::collections::HashMap;
use std::error::Error as StdError;
use turbo_crds::Quantity;

/// Where a stream says which pipeline it is of.
pub(super) const OWNER: &str = "turbopipeline.dev/pipeline";
/// Where it says how its subjects are divided.
pub(super) const SLICES: &str = "turbopipeline.dev/slices";

/// Why there is no connection. `url` has nothing secret in it.
pub(super) fn connection(error: &async_nats::ConnectError, url: String) -> Error {
    let why = said(error);
    let tls = |field, mend| Error::Tls { field, url: url.clone(), why: why.clone(), mend };
    match (error.kind(), tls_error(error)) {
        (ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation, _) => {
            Error::Credentials { url, why }
        }
        (_, Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))) => {
            tls("spec.log.nats.tls.caFrom", "give the certificate of the authority that has signed the server's")
        }
        (_, Some(rustls::Error::InvalidCertificate(_))) => {
            tls("spec.log.nats.url", "give the server a certificate that is valid for this address")
        }
        (_, Some(rustls::Error::AlertReceived(alert))) if is_of_certificate(*alert) => {
            tls("spec.log.nats.tls.certificateFrom", "give a certificate that the server trusts, and its keyFrom")
        }
        _ => Error::Unreachable { url, why },
    }
}

/// What a server says that wants another certificate of the client, or one at all.
fn is_of_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    let those = [
        A::NoCertificate,
        A::BadCertificate,
        A::UnsupportedCertificate,
        A::CertificateRevoked,
        A::CertificateExpired,
        A::CertificateUnknown,
        A::UnknownCA,
        A::CertificateRequired,
    ];
    those.contains(&alert)
}

/// What TLS says in an error or its causes. An I/O error hides what it holds from its causes.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut next: Option<&'a (dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = held.map(|held| held as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}

/// Why the account can not be asked. `is_on`: the server says that it has JetStream.
pub(super) fn account(error: &AccountError, is_on: bool) -> Error {
    match error.kind() {
        AccountErrorKind::JetStream(answer)
            if [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT]
                .contains(&answer.error_code()) =>
        {
            Error::NoJetStream(said(error))
        }
        AccountErrorKind::JetStreamUnavailable if !is_on => Error::NoJetStream(said(error)),
        _ => Error::request("JetStream")(error),
    }
}

/// Why a stream, or the bucket, is not made. `field` is what the pipeline file calls it.
pub(super) fn not_made(error: &(dyn StdError + 'static), field: &'static str, stream: &str, max_bytes: i64) -> Error {
    let answer = answer(error).filter(|answer| !passes(answer));
    let Some(answer) = answer else { return Error::request("the stream")(error) };
    if lacks_room(&answer) && max_bytes > 0 {
        let value = Quantity::from_bytes(max_bytes.unsigned_abs());
        return Error::Room { field, value, why: answer.to_string() };
    }
    let mend = match answer.error_code() {
        ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED | ErrorCode::CLUSTER_NO_PEERS => {
            "give as many replicas as there are servers at most"
        }
        ErrorCode::MAXIMUM_STREAMS_LIMIT => {
            "let the account have more streams: a pipeline has two, and one for each that it names"
        }
        _ => "let the server and the account have what it asks for",
    };
    Error::Limits { field, stream: stream.to_owned(), why: answer.to_string(), mend }
}

fn lacks_room(answer: &jetstream::Error) -> bool {
    match answer.error_code() {
        ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::MEMORY_RESOURCES_EXCEEDED
        | ErrorCode::INSUFFICIENT_RESOURCES
        | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED => true,
        ErrorCode::CLUSTER_NO_PEERS => answer.to_string().contains("insufficient storage"),
        _ => false,
    }
}

/// What JetStream has answered, in an error or its causes.
fn answer(error: &(dyn StdError + 'static)) -> Option<jetstream::Error> {
    if let Some(error) = error.downcast_ref::<CreateStreamError>()
        && let CreateStreamErrorKind::JetStream(answer) = error.kind()
    {
        return Some(answer);
    }
    if let Some(error) = error.downcast_ref::<AccountError>()
        && let AccountErrorKind::JetStream(answer) = error.kind()
    {
        return Some(answer);
    }
    let error = error.downcast_ref::<CreateKeyValueError>()?;
    error.source().and_then(answer)
}

/// Whether a cluster says that it can not do it for now.
fn passes(answer: &jetstream::Error) -> bool {
    match answer.error_code() {
        ErrorCode::CLUSTER_NOT_AVAILABLE
        | ErrorCode::CLUSTER_NOT_LEADER
        | ErrorCode::CLUSTER_INCOMPLETE
        | ErrorCode::CLUSTER_NOT_ASSIGNED
        | ErrorCode::CLUSTER_SERVER_NOT_MEMBER
        | ErrorCode::CLUSTER_SERVER_MEMBER_CHANGE_INFLIGHT
        | ErrorCode::RAFT_GENERAL
        | ErrorCode::STREAM_OFFLINE
        | ErrorCode::STREAM_OFFLINE_REASON => true,
        ErrorCode::CLUSTER_NO_PEERS => answer.to_string().contains("offline"),
        _ => false,
    }
}

/// Checks that a stream is this pipeline's, by what both bear.
///
/// # Errors
/// It is another's, or was made with other slices.
pub(super) fn ours(found: &Config, labels: &HashMap<String, String>) -> Result<(), Error> {
    let wanted = |key| labels.get(key).cloned().unwrap_or_default();
    match found.metadata.get(OWNER) {
        Some(owner) if *owner == wanted(OWNER) => {}
        Some(owner) => return Err(foreign(&found.name, labels, format!("is of the pipeline {owner}"))),
        None => return Err(foreign(&found.name, labels, "is there, and no pipeline's".to_owned())),
    }
    let made = found.metadata.get(SLICES).cloned().unwrap_or_default();
    if made != wanted(SLICES) {
        return Err(Error::OtherSlices { stream: found.name.clone(), given: wanted(SLICES), made });
    }
    Ok(())
}

/// A stream, or one that takes its subjects, is not this pipeline's.
pub(super) fn foreign(stream: &str, labels: &HashMap<String, String>, whose: String) -> Error {
    Error::Foreign { pipeline: labels.get(OWNER).cloned().unwrap_or_default(), stream: stream.to_owned(), whose }
}
