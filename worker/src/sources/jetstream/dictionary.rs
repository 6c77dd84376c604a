//! zstd dictionaries: v1's comes from a file, v2's from each host's `network.bsky.jetstream.getZstdDictionary`.
//!
//! A dictionary is immutable for its id at one host; a server may retire one, and then refuses the subscription with
//! `UnknownZstdDictionary`. What is fetched is always the current one, so without an id, as the lexicon asks of a client whose
//! id is retired: a server gives out no other (it answers `DictionaryNotFound`). A dictionary that can not be had is no reason
//! not to read: frames then come as plain text. One with which a connection's first frame can not be read is doubted: one of an
//! earlier connection is fetched anew, one that was just fetched is given up. They are kept in memory only: nobody else can put
//! one there.

use rustls::ClientConfig;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use turbo_core::wire::frame::{self, dictionary_id};
use url::Url;

/// A dictionary is 64 to 110 KiB.
const MAX_SIZE: usize = 4 << 20;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where dictionaries come from.
pub struct Dictionaries {
    /// `None` where there is only the one of the file.
    client: Option<reqwest::Client>,
    file: Option<Arc<Vec<u8>>>,
    hosts: HashMap<Url, Host>,
    /// Which host was asked last.
    last: Option<Url>,
    doubt: Doubt,
}

/// What is known of a host.
#[derive(Default)]
struct Host {
    current: Option<Arc<Vec<u8>>>,
    /// Whether an earlier connection had the current one.
    is_old: bool,
    retired: Option<u32>,
    /// Whether frames are asked for as plain text from now on.
    plain: bool,
}

/// Raised by a connection whose first frame could not be read with its dictionary.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubt(Arc<AtomicBool>);

impl Doubt {
    pub(super) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Dictionaries {
    /// One dictionary, from a file (v1).
    ///
    /// # Errors
    /// The bytes are no dictionary.
    pub fn fixed(dictionary: Vec<u8>) -> Result<Self, frame::Error> {
        dictionary_id(&dictionary)?;
        Ok(Self::new(None, Some(Arc::new(dictionary))))
    }

    /// From the hosts (v2).
    ///
    /// # Errors
    /// The HTTP client can not be made.
    pub fn remote(tls: &ClientConfig) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls.clone()).timeout(TIMEOUT).build()?;
        Ok(Self::new(Some(client), None))
    }

    fn new(client: Option<reqwest::Client>, file: Option<Arc<Vec<u8>>>) -> Self {
        Self { client, file, hosts: HashMap::new(), last: None, doubt: Doubt::default() }
    }

    /// What a connection raises when its first frame can not be read.
    pub(super) fn doubt(&self) -> Doubt {
        self.doubt.clone()
    }

    /// The dictionary to ask with, fetched where there is none yet. `None`: read plain text.
    pub(super) async fn current(&mut self, endpoint: &Url) -> Option<Arc<Vec<u8>>> {
        if self.doubt.take()
            && let Some(host) = self.last()
        {
            host.plain |= !host.is_old;
            host.current = None;
        }
        self.last = Some(endpoint.clone());
        let host = self.hosts.entry(endpoint.clone()).or_default();
        if host.plain {
            return None;
        }
        let Some(client) = &self.client else { return self.file.clone() };
        host.is_old = host.current.is_some();
        if host.current.is_none() {
            match fetch(client, endpoint, host.retired).await {
                Ok(dictionary) => host.current = dictionary.map(Arc::new),
                Err(error) => tracing::warn!(%endpoint, "no zstd dictionary, so plain text is asked for: {error}"),
            }
        }
        host.current.clone()
    }

    /// The host does not know the current one any more.
    pub(super) fn retired(&mut self) {
        if let Some(host) = self.last() {
            host.retired = host.current.take().and_then(|bytes| dictionary_id(&bytes).ok());
        }
    }

    fn last(&mut self) -> Option<&mut Host> {
        self.hosts.get_mut(self.last.as_ref()?)
    }
}

/// The host's current dictionary; `None` where it is the one that the host itself has retired.
async fn fetch(client: &reqwest::Client, endpoint: &Url, retired: Option<u32>) -> Result<Option<Vec<u8>>, String> {
    let mut url = endpoint.clone();
    let scheme = if endpoint.scheme() == "wss" { "https" } else { "http" };
    url.set_scheme(scheme).map_err(|()| "the endpoint is no ws:// or wss:// URL".to_owned())?;
    url.set_path(&format!("{}/xrpc/network.bsky.jetstream.getZstdDictionary", endpoint.path().trim_end_matches('/')));
    let mut response = client.get(url).send().await.map_err(|e| e.to_string())?;
    if !response.status().is_success() {
        return Err(format!("status {}", response.status()));
    }
    let mut dictionary = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| e.to_string())? {
        dictionary.extend_from_slice(&chunk);
        if dictionary.len() > MAX_SIZE {
            return Err(format!("larger than {MAX_SIZE} bytes"));
        }
    }
    let id = dictionary_id(&dictionary).map_err(|e| e.to_string())?;
    Ok((retired != Some(id)).then_some(dictionary))
}
