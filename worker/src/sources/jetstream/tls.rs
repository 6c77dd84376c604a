//! TLS towards hosts: the system's roots, and those of an optional file.

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use std::sync::Arc;

/// Why there is no TLS configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The extra roots are no PEM certificates.
    #[error("{0}; give PEM certificates")]
    Pem(String),
    /// The TLS library refuses.
    #[error("TLS can not be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// A client configuration that trusts the system's roots and those of `extra` (PEM).
///
/// # Errors
/// `extra` holds no certificate, or the TLS library refuses.
pub fn client_config(extra: Option<&[u8]>) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = extra.map(certificates).transpose()?.unwrap_or_default();
    let verifier = Verifier::new_with_extra_roots(roots, provider.clone())?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let list = list.map_err(|e| TlsError::Pem(e.to_string()))?;
    if list.is_empty() {
        return Err(TlsError::Pem("no certificate is in it".into()));
    }
    Ok(list)
}
