//! How NATS is connected to: credentials and certificates as the pipeline file says.
//!
//! Credentials and the client's certificate are read again at each connection, so that a changed secret is used at the next
//! one. The certificates that are trusted are read at the start.

use super::certificate;
use crate::secrets;
use anyhow::{Context, anyhow};
use async_nats::{Auth, AuthError, ConnectOptions};
use nkeys::KeyPair;
use rustls::ClientConfig;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use turbo_crds::{Nats, SecretRef, Tls};

const CA: &str = "spec.log.nats.tls.caFrom";

/// The options of a connection.
///
/// # Errors
/// A secret is missing, or is not what it should be.
pub(in crate::pipeline) fn options(nats: &Nats, folder: Option<&Path>) -> anyhow::Result<ConnectOptions> {
    // A mistake shows at the start, not in a callback.
    auth(nats, folder, b"")?;
    let (again, folder_again): (Nats, Option<PathBuf>) = (nats.clone(), folder.map(Path::to_owned));
    let options = ConnectOptions::with_auth_callback(move |nonce| {
        let auth = auth(&again, folder_again.as_deref(), &nonce);
        async move { auth.map_err(AuthError::new) }
    });
    Ok(match &nats.tls {
        Some(tls) => options.tls_client_config(config(tls, folder)?),
        None => options,
    })
}

fn auth(nats: &Nats, folder: Option<&Path>, nonce: &[u8]) -> anyhow::Result<Auth> {
    let text = |field: &'static str, reference: &SecretRef| {
        let bytes = secrets::read(field, reference, folder)?;
        String::from_utf8(bytes).map_err(|_| anyhow!("{field}: is no text"))
    };
    let mut auth = Auth::new();
    if let Some(reference) = &nats.credentials_from {
        let field = "spec.log.nats.credentialsFrom";
        let credentials = text(field, reference)?;
        let (jwt, seed) = parts(&credentials).with_context(|| {
            format!("{field}: holds no user JWT and no seed; give a credentials file, as `nsc generate creds` makes it")
        })?;
        auth.jwt = Some(jwt.to_owned());
        auth.signature = Some(sign(field, seed, nonce)?);
    } else if let Some(reference) = &nats.nkey_from {
        let field = "spec.log.nats.nkeyFrom";
        let seed = text(field, reference)?;
        auth.nkey = Some(key(field, &seed)?.public_key());
        auth.signature = Some(sign(field, &seed, nonce)?);
    } else if let Some(user) = &nats.user {
        let password = text("spec.log.nats.user.passwordFrom", &user.password_from)?;
        auth.username = Some(user.name.clone());
        auth.password = Some(password.trim_end_matches(['\r', '\n']).to_owned());
    }
    Ok(auth)
}

fn key(field: &str, seed: &str) -> anyhow::Result<KeyPair> {
    KeyPair::from_seed(seed.trim())
        .map_err(|_| anyhow!("{field}: is no seed of an NKey; give the one that begins with SU"))
}

fn sign(field: &str, seed: &str, nonce: &[u8]) -> anyhow::Result<Vec<u8>> {
    key(field, seed)?.sign(nonce).map_err(|error| anyhow!("{field}: the seed does not sign: {error}"))
}

/// The JWT and the seed: the lines that follow a line of dashes with a name.
fn parts(credentials: &str) -> Option<(&str, &str)> {
    let mut lines = credentials.lines().map(str::trim);
    let mut behind = |name: &str| {
        lines.find(|line| line.starts_with("---") && line.contains("BEGIN") && line.contains(name))?;
        lines.next()
    };
    Some((behind("JWT")?, behind("SEED")?))
}

fn config(tls: &Tls, folder: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = match &tls.ca_from {
        Some(reference) => certificate::certificates(CA, &secrets::read(CA, reference, folder)?)?,
        None => Vec::new(),
    };
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(roots, provider.clone())?;
    let shown = certificate::shown(tls, folder, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(match shown {
        Some(shown) => builder.with_client_cert_resolver(shown),
        None => builder.with_no_client_auth(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credentials_file_has_two_parts() {
        let file = "-----BEGIN NATS USER JWT-----\neyJ0.abc-_\n------END NATS USER JWT------\n\n*** IMPORTANT ***\n\n\
                    -----BEGIN USER NKEY SEED-----\r\nSUAXYZ\r\n------END USER NKEY SEED------\n";
        assert_eq!(parts(file), Some(("eyJ0.abc-_", "SUAXYZ")));
        assert_eq!(parts("nonsense"), None);
    }
}
