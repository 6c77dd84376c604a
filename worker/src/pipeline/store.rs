//! Stores of objects, as the pipeline file names them; nothing is asked of them yet.

use crate::secrets;
use crate::sinks::archive::s3::{self, Credentials, Encryption, Renew, S3};
use crate::sinks::archive::{Folder, Store};
use anyhow::{Context, anyhow};
use std::path::Path;
use std::sync::Arc;
use turbo_crds::{Archive, ArchiveChoice, EncryptionMode};

/// The store of the archive.
///
/// # Errors
/// A secret is missing, an option is wrong, or a folder can not be written.
pub(super) fn archive(
    archive: &Archive,
    namespace: &str,
    pipeline: &str,
    secrets: Option<&Path>,
) -> anyhow::Result<Store> {
    match archive.choice() {
        Some(ArchiveChoice::Directory(directory)) => {
            let open = Folder::open(directory);
            let field =
                || format!("spec.sinks.archive.directory: {}: give a folder that can be written", directory.display());
            Ok(Store::Folder(open.with_context(field)?))
        }
        Some(ArchiveChoice::S3(s3)) => Named { at: "spec.sinks.archive.s3", s3, secrets }.open(namespace, pipeline),
        None => Err(anyhow!("spec.sinks.archive: names none or both of directory, s3; give exactly one")),
    }
}

/// The store of the windows that are cut off a SQLite file.
///
/// # Errors
/// A secret is missing, or an option is wrong.
pub(super) fn windows(
    s3: &turbo_crds::S3,
    namespace: &str,
    pipeline: &str,
    secrets: Option<&Path>,
) -> anyhow::Result<Store> {
    Named { at: "spec.sinks.sqlite.rotate.s3", s3, secrets }.open(namespace, pipeline)
}

/// A bucket, and where in the file it is named.
struct Named<'a> {
    at: &'static str,
    s3: &'a turbo_crds::S3,
    secrets: Option<&'a Path>,
}

impl Named<'_> {
    fn open(&self, namespace: &str, pipeline: &str) -> anyhow::Result<Store> {
        let options = s3::Options {
            prefix: self.s3.prefix.clone().unwrap_or_else(|| format!("{namespace}/{pipeline}")),
            region: Some(self.s3.region.clone()),
            endpoint: self.s3.endpoint.clone(),
            path_style: self.s3.path_style,
            credentials: Some(self.credentials()?),
            renew: Some(self.renew()),
            encryption: encryption(self.s3),
            ..s3::Options::new(self.at, &self.s3.bucket)
        };
        Ok(Store::S3(S3::new(options)?))
    }

    fn credentials(&self) -> anyhow::Result<Credentials> {
        let Self { at, s3, secrets } = self;
        if let (Some(id), Some(secret)) = (&s3.access_key_id_from, &s3.secret_access_key_from) {
            let id = secrets::read(&format!("{at}.accessKeyIdFrom"), id, *secrets)?;
            let secret = secrets::read(&format!("{at}.secretAccessKeyFrom"), secret, *secrets)?;
            return Ok(Credentials::new(at, &id, &secret, None)?);
        }
        let variable = |name: &str| {
            let mend = format!("give {at}.accessKeyIdFrom and secretAccessKeyFrom, or set it");
            std::env::var(name).with_context(|| format!("{name}: is not set; {mend}"))
        };
        let (id, secret) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
        let token = std::env::var("AWS_SESSION_TOKEN").ok();
        Ok(Credentials::new(at, id.as_bytes(), secret.as_bytes(), token.as_ref().map(String::as_bytes))?)
    }

    /// A secret that has changed is read again once the store no longer takes the old one.
    fn renew(&self) -> Renew {
        let (at, s3, secrets) = (self.at, self.s3.clone(), self.secrets.map(Path::to_owned));
        Renew(Arc::new(move || Named { at, s3: &s3, secrets: secrets.as_deref() }.credentials().ok()))
    }
}

fn encryption(s3: &turbo_crds::S3) -> Encryption {
    match s3.encryption.as_ref().map(|encryption| (encryption.mode, encryption.key_id.clone())) {
        None => Encryption::None,
        Some((EncryptionMode::Aes256, _)) => Encryption::Aes256,
        Some((EncryptionMode::Kms, key_id)) => Encryption::AwsKms { key_id },
    }
}
