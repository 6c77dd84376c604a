//! Where objects go: a folder, or S3.
//!
//! Invariants:
//! - [`Store::put_new`] never replaces an object, and an object appears whole or not at all;
//! - an object that is there already is told to be one's own by its size and checksum: a reply that was lost is no failure;
//! - what is left of a put that was given up (parts, partial files) is removed by [`Store::abort_uploads`].

use super::s3::{self, S3};
use super::{Folder, Stamp};
use std::path::Path;

/// Where objects go.
#[derive(Clone, Debug)]
pub enum Store {
    /// A folder of this machine.
    Folder(Folder),
    /// A bucket, or a prefix in one.
    S3(S3),
}

/// What a put has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// Nothing was there; the object is there now.
    New,
    /// The same object was there: an earlier put of one's own, whose reply was lost.
    Same,
    /// Another object is there; it was left as it is.
    Taken,
}

/// Why a store does not do what it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder does not.
    #[error("{path}: {error}")]
    Folder {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// S3 does not.
    #[error(transparent)]
    S3(#[from] s3::Error),
    /// A task of the process ended early.
    #[error("a task that writes files ended early")]
    Task,
}

impl Error {
    /// Whether trying again may help: the store is away, slow, or full. If not, somebody has to mend the pipeline file or
    /// the store.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Folder { .. } | Self::Task => true,
            Self::S3(error) => error.is_outage(),
        }
    }
}

impl Store {
    /// Tries whether the store can be written, and refuses to replace an object when it is asked to.
    ///
    /// # Errors
    /// It can not, or does not; [`Error::is_outage`] says whether to try again.
    pub async fn probe(&self) -> Result<(), Error> {
        match self {
            // It was tried when it was opened, and file systems have no replacing link.
            Self::Folder(_) => Ok(()),
            Self::S3(s3) => Ok(s3.probe().await?),
        }
    }

    /// Where the object of this name is, for people.
    #[must_use]
    pub fn address(&self, path: &str) -> String {
        match self {
            Self::Folder(folder) => folder.place(path).display().to_string(),
            Self::S3(s3) => s3.address(path),
        }
    }

    /// Puts a file where nothing is.
    ///
    /// # Errors
    /// The store is away or refuses: whether the object is there is not known.
    pub async fn put_new(&self, path: &str, file: &Path, stamp: &Stamp) -> Result<Put, Error> {
        match self {
            Self::Folder(folder) => {
                let (from, stamp) = (file.to_owned(), stamp.clone());
                in_folder(folder, path, move |folder, path| folder.put_new(path, &from, &stamp)).await
            }
            Self::S3(s3) => Ok(s3.put_new(path, file, stamp).await?),
        }
    }

    /// Puts a small file over whatever is there.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn put_over(&self, path: &str, file: &Path, stamp: &Stamp) -> Result<(), Error> {
        match self {
            Self::Folder(folder) => {
                let from = file.to_owned();
                in_folder(folder, path, move |folder, path| folder.put_over(path, &from)).await
            }
            Self::S3(s3) => Ok(s3.put_over(path, file, stamp).await?),
        }
    }

    /// Size and checksum of the object, as the store has written them down; a folder's is read.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn head(&self, path: &str) -> Result<Option<Stamp>, Error> {
        match self {
            Self::Folder(folder) => in_folder(folder, path, Folder::head).await,
            Self::S3(s3) => Ok(s3.head(path).await?),
        }
    }

    /// Copies the object into a file, and stamps what it reads; ends after `limit` bytes and one. `None`: there is none.
    ///
    /// # Errors
    /// The store is away or refuses, or the file can not be written.
    pub async fn get(&self, path: &str, to: &Path, limit: u64) -> Result<Option<Stamp>, Error> {
        match self {
            Self::Folder(folder) => {
                let to = to.to_owned();
                in_folder(folder, path, move |folder, path| folder.get(path, &to, limit)).await
            }
            Self::S3(s3) => Ok(s3.get(path, to, limit).await?),
        }
    }

    /// The names of the objects below a folder for which something holds, in no order.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn list(
        &self,
        below: &str,
        wanted: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<Vec<String>, Error> {
        match self {
            Self::Folder(folder) => in_folder(folder, below, move |folder, below| folder.list(below, &wanted)).await,
            Self::S3(s3) => Ok(s3.list(below, &wanted).await?),
        }
    }

    /// Removes what puts of this name that were not finished have left. Returns how many there were.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn abort_uploads(&self, path: &str) -> Result<usize, Error> {
        match self {
            Self::Folder(folder) => in_folder(folder, path, Folder::clear_partials).await,
            Self::S3(s3) => Ok(s3.abort_uploads(path).await?),
        }
    }

    /// Removes the object, if it is there.
    ///
    /// # Errors
    /// The store is away or refuses.
    pub async fn remove(&self, path: &str) -> Result<(), Error> {
        match self {
            Self::Folder(folder) => in_folder(folder, path, Folder::remove).await,
            Self::S3(s3) => Ok(s3.remove(path).await?),
        }
    }
}

/// Does something with files, where it may take its time.
async fn in_folder<T: Send + 'static>(
    folder: &Folder,
    path: &str,
    work: impl FnOnce(&Folder, &str) -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let (folder, path) = (folder.clone(), path.to_owned());
    let task = tokio::task::spawn_blocking(move || {
        work(&folder, &path).map_err(|error| Error::Folder { path: folder.place(&path).display().to_string(), error })
    });
    task.await.map_err(|_| Error::Task)?
}
