//! The certificate that the client shows to NATS.
//!
//! It is read again at each handshake, so that one that was rotated is used at the next connection. While what is there can
//! not be used (a certificate without its new key yet, say) the one before is shown.

use crate::secrets;
use anyhow::anyhow;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use turbo_crds::{SecretRef, Tls};

const CERTIFICATE: &str = "spec.log.nats.tls.certificateFrom";
const KEY: &str = "spec.log.nats.tls.keyFrom";

/// Where certificate and key are.
#[derive(Debug)]
struct Place {
    certificate: SecretRef,
    key: SecretRef,
    folder: Option<PathBuf>,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct Shown {
    place: Place,
    last: Mutex<Arc<CertifiedKey>>,
}

/// What shows the certificate; `None` where the pipeline file names none.
///
/// # Errors
/// A secret is missing, or is not what it should be.
pub(super) fn shown(
    tls: &Tls,
    folder: Option<&Path>,
    provider: &Arc<CryptoProvider>,
) -> anyhow::Result<Option<Arc<dyn ResolvesClientCert>>> {
    let (Some(certificate), Some(key)) = (tls.certificate_from.clone(), tls.key_from.clone()) else { return Ok(None) };
    let place = Place { certificate, key, folder: folder.map(Path::to_owned), provider: provider.clone() };
    let last = Mutex::new(Arc::new(place.read()?));
    Ok(Some(Arc::new(Shown { place, last })))
}

/// PEM certificates.
///
/// # Errors
/// There are none, or something else is there.
pub(super) fn certificates(field: &str, pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match list {
        Ok(list) if !list.is_empty() => Ok(list),
        Ok(_) => Err(anyhow!("{field}: no certificate is in it; give PEM certificates")),
        Err(error) => Err(anyhow!("{field}: {error}; give PEM certificates")),
    }
}

impl Place {
    fn read(&self) -> anyhow::Result<CertifiedKey> {
        let folder = self.folder.as_deref();
        let chain = certificates(CERTIFICATE, &secrets::read(CERTIFICATE, &self.certificate, folder)?)?;
        let key = PrivateKeyDer::from_pem_slice(&secrets::read(KEY, &self.key, folder)?)
            .map_err(|error| anyhow!("{KEY}: {error}; give a private key as PEM"))?;
        CertifiedKey::from_der(chain, key, &self.provider)
            .map_err(|error| anyhow!("{CERTIFICATE}: {error}; give a certificate and its own key"))
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match self.place.read() {
            Ok(read) => *last = Arc::new(read),
            Err(error) => tracing::warn!("the certificate before is shown to NATS: {error}"),
        }
        Some(last.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
