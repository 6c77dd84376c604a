//! One object: put, looked at, copied, removed.

use super::error::{answered, chain};
use super::{CHECKSUM, Error, S3};
use crate::sinks::archive::Stamp;
use crate::sinks::archive::stamp::Stamping;
use crate::sinks::archive::store::Put;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ChecksumAlgorithm;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// What a conditional put of one's own came to, before what is there was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    New,
    /// The store answers 412: something is there.
    Met,
}

impl S3 {
    pub(in super::super) async fn put_new(&self, path: &str, file: &Path, stamp: &Stamp) -> Result<Put, Error> {
        let placed = if stamp.bytes > self.options.multipart_above {
            // A repeated put would send all parts again before it learns that the object is there.
            match self.head(path).await? {
                Some(_) => Placed::Met,
                None => self.put_parts(path, file, stamp).await?,
            }
        } else {
            let body = read(file, 0, stamp.bytes).await?;
            self.put(path, body, stamp, true).await?
        };
        if placed == Placed::New {
            return Ok(Put::New);
        }
        match self.head(path).await? {
            Some(there) if there == *stamp => Ok(Put::Same),
            Some(_) => Ok(Put::Taken),
            None => {
                let why = "the store answers that it is there, and then that it is not".to_owned();
                Err(self.outage(format!("putting {}", self.address(path)), why))
            }
        }
    }

    pub(in super::super) async fn put_over(&self, path: &str, file: &Path, stamp: &Stamp) -> Result<(), Error> {
        let body = read(file, 0, stamp.bytes).await?;
        self.put(path, body, stamp, false).await.map(|_| ())
    }

    pub(super) async fn put(&self, path: &str, body: Vec<u8>, stamp: &Stamp, once: bool) -> Result<Placed, Error> {
        let (encryption, key) = self.encryption();
        let put = self
            .client()
            .put_object()
            .bucket(&self.options.bucket)
            .key(self.options.key(path))
            .set_if_none_match(once.then(|| "*".to_owned()))
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .metadata(CHECKSUM, &stamp.checksum)
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(key)
            .body(ByteStream::from(body));
        match put.send().await {
            Ok(_) => Ok(Placed::New),
            Err(error) if once && answered(&error).is_some_and(|(status, _)| status == 412) => Ok(Placed::Met),
            Err(error) => Err(self.error(format!("putting {}", self.address(path)), &error)),
        }
    }

    pub(in super::super) async fn head(&self, path: &str) -> Result<Option<Stamp>, Error> {
        let head = self.client().head_object().bucket(&self.options.bucket).key(self.options.key(path));
        match head.send().await {
            Ok(there) => {
                let checksum = there.metadata().and_then(|metadata| metadata.get(CHECKSUM)).cloned();
                let bytes = there.content_length().and_then(|bytes| u64::try_from(bytes).ok());
                Ok(Some(Stamp { bytes: bytes.unwrap_or_default(), checksum: checksum.unwrap_or_default() }))
            }
            Err(error) if answered(&error).is_some_and(|(status, _)| status == 404) => Ok(None),
            Err(error) => Err(self.error(format!("looking at {}", self.address(path)), &error)),
        }
    }

    pub(in super::super) async fn get(&self, path: &str, to: &Path, limit: u64) -> Result<Option<Stamp>, Error> {
        let what = || format!("reading {}", self.address(path));
        let get = self.client().get_object().bucket(&self.options.bucket).key(self.options.key(path));
        let mut body = match get.send().await {
            Ok(object) => object.body,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_no_such_key()) => return Ok(None),
            Err(error) => return Err(self.error(what(), &error)),
        };
        let mut file = tokio::fs::File::create(to).await.map_err(Error::file(to))?;
        let mut stamping = Stamping::default();
        while stamping.bytes() <= limit {
            // The limit of an attempt ends with the answer's head.
            let next = tokio::time::timeout(self.options.attempt_timeout, body.try_next()).await;
            let next = next.map_err(|_| self.outage(what(), "nothing more came".to_owned()))?;
            let next = next.map_err(|error| self.outage(what(), chain(&error)))?;
            let Some(bytes) = next else { break };
            stamping.add(&bytes);
            file.write_all(&bytes).await.map_err(Error::file(to))?;
        }
        file.flush().await.map_err(Error::file(to))?;
        Ok(Some(stamping.stamp()))
    }

    pub(in super::super) async fn list(
        &self,
        below: &str,
        wanted: &(impl Fn(&str) -> bool + Send),
    ) -> Result<Vec<String>, Error> {
        let (root, prefix) = (self.options.key(""), self.options.key(below));
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let list = self.client().list_objects_v2().bucket(&self.options.bucket).prefix(&prefix);
            let page = list.set_continuation_token(after.clone()).send().await;
            let page = page.map_err(|error| self.error(format!("listing {}", self.address(below)), &error))?;
            let paths = page.contents().iter().filter_map(|object| object.key()?.strip_prefix(&root));
            found.extend(paths.filter(|path| wanted(path)).map(str::to_owned));
            if page.is_truncated() != Some(true) {
                return Ok(found);
            }
            let next = page.next_continuation_token();
            if next.is_none() || next == after.as_deref() {
                let why = "the store says that there is more, and does not give it".to_owned();
                return Err(self.refusal(format!("listing {}", self.address(below)), why));
            }
            after = next.map(str::to_owned);
        }
    }

    pub(in super::super) async fn remove(&self, path: &str) -> Result<(), Error> {
        let delete = self.client().delete_object().bucket(&self.options.bucket).key(self.options.key(path));
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) if answered(&error).is_some_and(|(_, code)| code == "NoSuchKey") => Ok(()),
            Err(error) => Err(self.error(format!("removing {}", self.address(path)), &error)),
        }
    }
}

/// Part of a file. A body in memory has its checksum before it, in a header, which every store understands.
pub(super) async fn read(file: &Path, from: u64, bytes: u64) -> Result<Vec<u8>, Error> {
    let read = async {
        let mut file = tokio::fs::File::open(file).await?;
        file.seek(std::io::SeekFrom::Start(from)).await?;
        let mut body = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        file.read_exact(&mut body).await?;
        Ok(body)
    };
    read.await.map_err(Error::file(file))
}
