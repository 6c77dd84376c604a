//! Objects in parts: begun, sent, joined only where nothing is; aborted at any failure.

use super::error::answered;
use super::objects::{Placed, read};
use super::{CHECKSUM, Error, S3};
use crate::sinks::archive::Stamp;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::path::Path;

/// Parts of one object that are sent side by side: each is in memory.
const AT_ONCE: usize = 2;
/// S3 takes no more parts.
const MOST_PARTS: u64 = 10_000;
/// Pages of a list of uploads that are read at most; each has up to 1,000.
const PAGES: usize = 100;

impl S3 {
    /// Puts an object in parts, if nothing is there. After a failure no upload is left open, as far as the store answers.
    pub(super) async fn put_parts(&self, path: &str, file: &Path, stamp: &Stamp) -> Result<Placed, Error> {
        let upload = self.begin_upload(path, stamp).await?;
        let joined = match self.send_parts(path, &upload, file, stamp).await {
            Ok(parts) => self.join(path, &upload, parts).await,
            Err(error) => Err(error),
        };
        if !matches!(joined, Ok(Placed::New)) {
            // A completion that was refused leaves the upload open. The claim after this one would abort it too.
            let _ = self.abort(path, &upload).await;
        }
        joined
    }

    pub(super) async fn begin_upload(&self, path: &str, stamp: &Stamp) -> Result<String, Error> {
        let what = || format!("beginning an upload of {}", self.address(path));
        let (encryption, key) = self.encryption();
        let begin = self
            .client()
            .create_multipart_upload()
            .bucket(&self.options.bucket)
            .key(self.options.key(path))
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .metadata(CHECKSUM, &stamp.checksum)
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(key);
        let begun = begin.send().await.map_err(|error| self.error(what(), &error))?;
        let upload = begun.upload_id().map(str::to_owned);
        upload.ok_or_else(|| self.refusal(what(), "the store gives no id".to_owned()))
    }

    async fn send_parts(
        &self,
        path: &str,
        upload: &str,
        file: &Path,
        stamp: &Stamp,
    ) -> Result<Vec<CompletedPart>, Error> {
        let size = self.options.part_size.max(stamp.bytes.div_ceil(MOST_PARTS));
        let parts = (0..stamp.bytes.div_ceil(size)).map(|index| {
            let (from, number) = (index * size, index as i32 + 1);
            async move {
                let body = read(file, from, size.min(stamp.bytes - from)).await?;
                self.send_part(path, upload, number, body).await
            }
        });
        stream::iter(parts).buffered(AT_ONCE).try_collect().await
    }

    pub(super) async fn send_part(
        &self,
        path: &str,
        upload: &str,
        number: i32,
        body: Vec<u8>,
    ) -> Result<CompletedPart, Error> {
        let send = self
            .client()
            .upload_part()
            .bucket(&self.options.bucket)
            .key(self.options.key(path))
            .upload_id(upload)
            .part_number(number)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .body(ByteStream::from(body));
        let sent = send.send().await;
        let sent =
            sent.map_err(|error| self.error(format!("putting part {number} of {}", self.address(path)), &error))?;
        Ok(CompletedPart::builder()
            .part_number(number)
            .set_e_tag(sent.e_tag)
            .set_checksum_crc32(sent.checksum_crc32)
            .build())
    }

    pub(super) async fn join(&self, path: &str, upload: &str, parts: Vec<CompletedPart>) -> Result<Placed, Error> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let complete = self
            .client()
            .complete_multipart_upload()
            .bucket(&self.options.bucket)
            .key(self.options.key(path))
            .upload_id(upload)
            .if_none_match("*")
            .multipart_upload(parts);
        match complete.send().await {
            Ok(_) => Ok(Placed::New),
            Err(error) if answered(&error).is_some_and(|(status, _)| status == 412) => Ok(Placed::Met),
            Err(error) => match answered(&error) {
                // A repeated completion whose first answer was lost.
                Some((_, code)) if code == "NoSuchUpload" => Ok(Placed::Met),
                _ => Err(self.error(format!("completing {}", self.address(path)), &error)),
            },
        }
    }

    pub(super) async fn abort(&self, path: &str, upload: &str) -> Result<(), Error> {
        let abort = self
            .client()
            .abort_multipart_upload()
            .bucket(&self.options.bucket)
            .key(self.options.key(path))
            .upload_id(upload);
        match abort.send().await {
            Ok(_) => Ok(()),
            Err(error) if answered(&error).is_some_and(|(status, _)| status == 404) => Ok(()),
            Err(error) => Err(self.error(format!("aborting an upload of {}", self.address(path)), &error)),
        }
    }

    pub(in super::super) async fn abort_uploads(&self, path: &str) -> Result<usize, Error> {
        let uploads = self.open_uploads(path).await?;
        for upload in &uploads {
            self.abort(path, upload).await?;
        }
        Ok(uploads.len())
    }

    /// The uploads of an object that were begun and neither completed nor aborted.
    ///
    /// # Errors
    /// S3 is away or refuses.
    pub async fn open_uploads(&self, path: &str) -> Result<Vec<String>, Error> {
        let key = self.options.key(path);
        let (mut found, mut after) = (Vec::new(), (None, None));
        for _ in 0..PAGES {
            let list = self.client().list_multipart_uploads().bucket(&self.options.bucket).prefix(&key);
            let list = list.set_key_marker(after.0).set_upload_id_marker(after.1);
            let page = list.send().await;
            let page =
                page.map_err(|error| self.error(format!("listing uploads of {}", self.address(path)), &error))?;
            let of_key = page.uploads().iter().filter(|upload| upload.key() == Some(&key));
            found.extend(of_key.filter_map(|upload| upload.upload_id().map(str::to_owned)));
            after = (page.next_key_marker().map(str::to_owned), page.next_upload_id_marker().map(str::to_owned));
            if page.is_truncated() != Some(true) || after.0.is_none() {
                break;
            }
        }
        Ok(found)
    }
}
