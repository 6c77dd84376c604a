//! The patterns of the schema, each with the words for a person whose text does not match.
//!
//! The regular expressions are read by the API server (RE2) and by the loader, so they hold to what both know.

/// A pattern and what to say of a text that does not match it.
pub(crate) struct Pattern {
    /// The regular expression, as it stands in the schema.
    pub(crate) regex: &'static str,
    /// What the text is not.
    pub(crate) what: &'static str,
    /// What to write instead.
    pub(crate) mend: &'static str,
}

const fn pattern(regex: &'static str, what: &'static str, mend: &'static str) -> Pattern {
    Pattern { regex, what, mend }
}

/// Matches the empty text too; the schema asks for two characters beside it. A `d` is at least one day: the rules that
/// bound durations count on it.
pub(crate) const DURATION: Pattern = pattern(
    "^([1-9][0-9]{0,3}d)?([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,9}s)?([0-9]{1,9}ms)?$",
    "is not a length of time",
    "write it like 500ms, 30s, 10m, 1h30m or 1d",
);

pub(crate) const QUANTITY: Pattern = pattern(
    "^([0-9]{1,15}|[0-9]{1,6}(k|M|G|T|Ki|Mi|Gi|Ti))$",
    "is not a size",
    "write whole bytes (1048576) or a whole number with k, M, G, T, Ki, Mi, Gi or Ti (128Mi)",
);

/// A DNS label that a Kubernetes Service may bear too: it begins with a letter.
pub(crate) const LABEL: Pattern = pattern(
    "^[a-z]([-a-z0-9]*[a-z0-9])?$",
    "is not a DNS label",
    "use a to z, 0 to 9 and -, begin with a letter and end with a letter or digit",
);

/// A DNS label of any kind, as a namespace is.
pub(crate) const NAMESPACE: Pattern = pattern(
    "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
    "is not a namespace",
    "use a to z, 0 to 9 and -, begin and end with a letter or digit",
);

/// A colon and a port, up to 65535.
macro_rules! port {
    () => {
        ":([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
    };
}

/// A name or an address.
macro_rules! host {
    () => {
        r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)"
    };
}

/// Scheme, host, port, path.
pub(crate) const ENDPOINT: Pattern = pattern(
    concat!(
        r"^wss?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)",
        "(",
        port!(),
        ")?(/[A-Za-z0-9._~/-]*)?$",
    ),
    "is not a WebSocket address",
    "give ws:// or wss:// with host and, if need be, port and path; no user, query or fragment",
);

/// A segment of an NSID: at most 63 characters, as for a label of a domain.
macro_rules! segment {
    ($first:literal) => {
        concat!($first, "([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
    };
}

pub(crate) const COLLECTION: Pattern = pattern(
    concat!("^", segment!("[a-zA-Z]"), r"(\.", segment!("[a-zA-Z0-9]"), r")+\.[a-zA-Z][a-zA-Z0-9]{0,62}$"),
    "is not a collection",
    "give a whole NSID like app.bsky.feed.post, without *",
);

pub(crate) const COLLECTION_OR_PREFIX: Pattern = pattern(
    concat!("^", segment!("[a-zA-Z]"), r"(\.", segment!("[a-zA-Z0-9]"), r")+\.([a-zA-Z][a-zA-Z0-9]{0,62}|\*)$"),
    "is not a collection or a prefix of collections",
    "give an NSID like app.bsky.feed.post, or a prefix like app.bsky.feed.*",
);

pub(crate) const COLLECTION_PREFIX_OR_ALL: Pattern = pattern(
    concat!(r"^(\*|", segment!("[a-zA-Z]"), r"(\.", segment!("[a-zA-Z0-9]"), r")+\.([a-zA-Z][a-zA-Z0-9]{0,62}|\*))$"),
    "is not a collection, a prefix of collections, or *",
    "give an NSID like app.bsky.feed.post, a prefix like app.bsky.feed.*, or * for all",
);

pub(crate) const DID: Pattern = pattern(
    "^did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]$",
    "is not a DID",
    "give e.g. did:plc:z72i7hdynmk6r22z27h6tvur or did:web:example.org",
);

/// Addresses of one cluster, separated by commas.
pub(crate) const NATS: Pattern = pattern(
    concat!("^(nats|tls)://", host!(), port!(), "(,(nats|tls)://", host!(), port!(), "){0,15}$"),
    "is not the address of a NATS server",
    "give nats:// or tls:// with host and port, several separated by commas; no user and no password",
);

pub(crate) const HTTP: Pattern = pattern(
    concat!("^https?://", host!(), "(", port!(), ")?(/[A-Za-z0-9._~/-]*)?$"),
    "is not a web address",
    "give http:// or https:// with host and, if need be, port and path; no user, query or fragment",
);

pub(crate) const COLLECTOR: Pattern = pattern(
    concat!("^http://", host!(), "(", port!(), ")?$"),
    "is not the address of a collector",
    "give http:// with host and port, as http://collector:4317",
);

pub(crate) const BUCKET: Pattern = pattern(
    "^[a-z0-9][-a-z0-9.]*[a-z0-9]$",
    "is not the name of a bucket",
    "use a to z, 0 to 9, - and .; begin and end with a letter or digit",
);

pub(crate) const PREFIX: Pattern = pattern(
    "^[A-Za-z0-9_=-][A-Za-z0-9._=-]*(/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*$",
    "is not a prefix of keys",
    "use letters, digits, -, _, =, . and / between parts; no / at the ends, and no part that begins with a dot",
);

pub(crate) const SECRET_NAME: Pattern = pattern(
    "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
    "is not the name of a Secret",
    "use a to z, 0 to 9, - and .; begin and end with a letter or digit",
);

/// One dot in front at most, so that no key leads out of the directory of secrets.
pub(crate) const SECRET_KEY: Pattern = pattern(
    r"^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$",
    "is not a key of a Secret",
    "use letters, digits, -, _ and .; do not begin with two dots",
);

/// The name of most objects of Kubernetes.
pub(crate) const OBJECT_NAME: Pattern = pattern(
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    "is not the name of an object of Kubernetes",
    "use a to z, 0 to 9, - and .; begin and end each part with a letter or digit",
);

/// A namespace and a ServiceAccount in it.
pub(crate) const ACCOUNT: Pattern = pattern(
    r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$",
    "is not a ServiceAccount",
    "give namespace/account, such as ops/dashboard",
);

/// A repository, perhaps with a registry, a tag and a digest.
pub(crate) const IMAGE: Pattern = pattern(
    r"^[a-zA-Z0-9][-a-zA-Z0-9._]*(:[0-9]{1,5})?(/[a-z0-9][-a-z0-9._]*)*(:[a-zA-Z0-9_][-a-zA-Z0-9_.]{0,127})?(@sha256:[0-9a-f]{64})?$",
    "is not the name of an image",
    "give it like registry.example.org/turbopipeline:0.1.0",
);

/// A quantity of Kubernetes.
pub(crate) const AMOUNT: Pattern = pattern(
    r"^[0-9]{1,15}(\.[0-9]{1,9})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$",
    "is not a quantity",
    "write it like 2, 500m, 512Mi or 4Gi",
);

pub(crate) const ENV: Pattern = pattern(
    "^[A-Za-z_][A-Za-z0-9_]*$",
    "is not the name of an environment variable",
    "use letters, digits and _; do not begin with a digit",
);

/// All of them, to find the words for a refused text by the expression that refused it.
pub(crate) const ALL: [&Pattern; 21] = [
    &DURATION,
    &QUANTITY,
    &LABEL,
    &NAMESPACE,
    &ENDPOINT,
    &COLLECTION,
    &COLLECTION_OR_PREFIX,
    &COLLECTION_PREFIX_OR_ALL,
    &DID,
    &NATS,
    &HTTP,
    &COLLECTOR,
    &BUCKET,
    &PREFIX,
    &SECRET_NAME,
    &SECRET_KEY,
    &OBJECT_NAME,
    &ACCOUNT,
    &IMAGE,
    &AMOUNT,
    &ENV,
];
