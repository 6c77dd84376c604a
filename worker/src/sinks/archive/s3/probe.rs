//! The first questions: does the store refuse to replace an object? Some take the condition and ignore it. And does it give
//! back what an object was marked with, by which one's own is known?

use super::objects::Placed;
use super::{Error, S3};
use crate::sinks::archive::Stamp;
use crate::sinks::archive::stamp::Stamping;

const BODY: &[u8] = b"turbo asks whether this store honours If-None-Match\n";

impl S3 {
    /// Puts a small object, and once more, whole and in parts: the store must refuse both with 412, and
    /// give back its size and its checksum. Then removes it.
    ///
    /// # Errors
    /// The store is away, refuses, forgets, or replaces objects.
    pub async fn probe(&self) -> Result<(), Error> {
        // Readers of a folder pass over names that begin with an underscore.
        let path = format!("_turbo_probe-{:016x}", rand::random::<u64>());
        let mut stamping = Stamping::default();
        stamping.add(BODY);
        let outcome = self.twice(&path, &stamping.stamp()).await;
        let removed = self.remove(&path).await;
        outcome.and(removed)
    }

    async fn twice(&self, path: &str, stamp: &Stamp) -> Result<(), Error> {
        let refused = |how| Error::Unconditional { at: self.options.at, endpoint: self.endpoint(), how };
        self.put(path, BODY.to_vec(), stamp, true).await?;
        if self.put(path, BODY.to_vec(), stamp, true).await? == Placed::New {
            return Err(refused("of a whole object"));
        }
        let found = self.head(path).await?;
        if found.as_ref() != Some(stamp) {
            return Err(Error::Unmarked {
                at: self.options.at,
                endpoint: self.endpoint(),
                found: format!("{found:?}"),
            });
        }
        // A catalog that went back asks for this: whoever may not list learns it now.
        self.list(path, &|_: &str| true).await?;
        let upload = self.begin_upload(path, stamp).await?;
        let joined = self.join_over(path, &upload).await;
        self.abort(path, &upload).await?;
        match joined? {
            Placed::New => Err(refused("of an object in parts")),
            Placed::Met => Ok(()),
        }
    }

    async fn join_over(&self, path: &str, upload: &str) -> Result<Placed, Error> {
        // Burning asks for this: whoever may not list uploads learns it now.
        self.open_uploads(path).await?;
        let part = self.send_part(path, upload, 1, BODY.to_vec()).await?;
        self.join(path, upload, vec![part]).await
    }
}
