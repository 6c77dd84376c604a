//! zstd dictionaries: v1's comes from a file, v2's from `network.bsky.jetstream.getZstdDictionary`, cached by id.
//!
//! A dictionary is immutable for its id; a server may retire one, and then refuses the subscription with
//! `UnknownZstdDictionary`. What is fetched is always the current one, so without an id, as the lexicon asks of a client
//! whose id is retired: a server gives out no other (it answers `DictionaryNotFound`). A dictionary that can not be had is no reason not to read: frames then come as plain text. One
//! with which a connection's first frame can not be read is doubted: a cached one is fetched anew, any other is given up.

use rustls::ClientConfig;
use std::path::{Path, PathBuf};
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
    current: Option<Arc<Vec<u8>>>,
    remote: Option<Remote>,
    doubt: Doubt,
    /// Whether the current one comes from the folder, and not from a host.
    cached: bool,
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

struct Remote {
    client: reqwest::Client,
    cache: PathBuf,
    retired: Option<u32>,
}

impl Dictionaries {
    /// One dictionary, from a file (v1).
    ///
    /// # Errors
    /// The bytes are no dictionary.
    pub fn fixed(dictionary: Vec<u8>) -> Result<Self, frame::Error> {
        dictionary_id(&dictionary)?;
        let current = Some(Arc::new(dictionary));
        Ok(Self { current, remote: None, doubt: Doubt::default(), cached: false, plain: false })
    }

    /// From the host (v2), kept in the folder `cache`.
    ///
    /// # Errors
    /// The HTTP client can not be made.
    pub fn remote(tls: &ClientConfig, cache: &Path) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls.clone()).timeout(TIMEOUT).build()?;
        let current = newest(cache).map(Arc::new);
        let remote = Some(Remote { client, cache: cache.to_owned(), retired: None });
        Ok(Self { cached: current.is_some(), current, remote, doubt: Doubt::default(), plain: false })
    }

    /// What a connection raises when its first frame can not be read.
    pub(super) fn doubt(&self) -> Doubt {
        self.doubt.clone()
    }

    /// The dictionary to ask with, fetched where there is none yet. `None`: read plain text.
    pub(super) async fn current(&mut self, endpoint: &Url) -> Option<Arc<Vec<u8>>> {
        if self.doubt.take() {
            self.plain |= !self.cached;
            self.current = None;
        }
        if self.plain {
            return None;
        }
        if let (None, Some(remote)) = (&self.current, &mut self.remote) {
            match remote.fetch(endpoint).await {
                Ok(dictionary) => (self.current, self.cached) = (dictionary.map(Arc::new), false),
                Err(error) => tracing::warn!(%endpoint, "no zstd dictionary, so plain text is asked for: {error}"),
            }
        }
        self.current.clone()
    }

    /// The host does not know the current one any more.
    pub(super) fn retired(&mut self) {
        if let Some(remote) = &mut self.remote {
            remote.retired = self.current.take().and_then(|bytes| dictionary_id(&bytes).ok());
        }
    }
}

impl Remote {
    /// The host's current dictionary; `None` where it is the one that the host itself refused.
    async fn fetch(&mut self, endpoint: &Url) -> Result<Option<Vec<u8>>, String> {
        let mut url = endpoint.clone();
        let scheme = if endpoint.scheme() == "wss" { "https" } else { "http" };
        url.set_scheme(scheme).map_err(|()| "the endpoint is no ws:// or wss:// URL".to_owned())?;
        url.set_path(&format!(
            "{}/xrpc/network.bsky.jetstream.getZstdDictionary",
            endpoint.path().trim_end_matches('/')
        ));
        let mut response = self.client.get(url).send().await.map_err(|e| e.to_string())?;
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
        if self.retired == Some(id) {
            return Ok(None);
        }
        if let Err(error) = store(&self.cache, id, &dictionary) {
            tracing::warn!(%error, "the zstd dictionary is not cached");
        }
        Ok(Some(dictionary))
    }
}

fn store(cache: &Path, id: u32, dictionary: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(cache)?;
    let partial = cache.join(format!("{id}.zdict.partial"));
    std::fs::write(&partial, dictionary)?;
    std::fs::rename(partial, cache.join(format!("{id}.zdict")))
}

/// The dictionary that was cached last.
fn newest(cache: &Path) -> Option<Vec<u8>> {
    let files = std::fs::read_dir(cache).ok()?.flatten().map(|entry| entry.path());
    let dictionaries = files.filter(|path| path.extension().is_some_and(|ext| ext == "zdict"));
    let newest = dictionaries.max_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok())?;
    let bytes = std::fs::read(newest).ok()?;
    dictionary_id(&bytes).is_ok().then_some(bytes)
}
