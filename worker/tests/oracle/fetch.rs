//! Fetches every object of the archive, as a user of S3 would.

use crate::Failure;
use crate::manifest::BUCKET;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use std::path::Path;
use turbo_testkit::S3;

/// Writes every object of the bucket below a folder, under its key.
///
/// # Errors
/// The server does not answer, the folder can not be written.
pub async fn objects(s3: &S3, folder: &Path) -> Result<(), Failure> {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(s3.region()))
        .endpoint_url(s3.url())
        .credentials_provider(Credentials::new(s3.access_key(), s3.secret_key(), None, None, "test"))
        .force_path_style(true)
        .build();
    let client = Client::from_conf(config);
    let mut pages = client.list_objects_v2().bucket(BUCKET).into_paginator().send();
    while let Some(page) = pages.next().await {
        for object in page?.contents.unwrap_or_default() {
            let Some(key) = object.key else { continue };
            let file = folder.join(&key);
            if let Some(parent) = file.parent() {
                std::fs::create_dir_all(parent)?;
            }
            let body = client.get_object().bucket(BUCKET).key(&key).send().await?.body.collect().await?;
            std::fs::write(file, body.into_bytes())?;
        }
    }
    Ok(())
}
