//! The first questions: does the store refuse to replace an object? Some take the condition and ignore it. And does it give
//! back what an object was marked with, by which one's own is known?

use super::objects::Placed;
use super::{Error, S3};
use crate::sinks::archive::Stamp;
use crate::sinks::archive::stamp::Stamping;
use jiff::Timestamp;

const BODY: &[u8] = b"turbo asks whether this store honours If-None-Match\n";

/// What the object of the questions is called: readers of a folder pass over names that begin with an underscore. The seconds
/// since the Unix epoch follow, and what makes it another one.
const PROBE: &str = "_turbo_probe-";
/// For how many seconds another process may still ask.
const STAYS: i64 = 3600;

/// When the object of this path was made.
fn made_at(path: &str) -> Option<i64> {
    i64::from_str_radix(path.strip_prefix(PROBE)?.split_once('-')?.0, 16).ok()
}

impl S3 {
    /// Puts a small object, and once more, whole and in parts: the store must refuse both with 412, and
    /// give back its size and its checksum. Then removes it.
    ///
    /// # Errors
    /// The store is away, refuses, forgets, or replaces objects.
    pub async fn probe(&self) -> Result<(), Error> {
        let now = Timestamp::now().as_second();
        let path = format!("{PROBE}{now:010x}-{:016x}", rand::random::<u64>());
        let mut stamping = Stamping::default();
        stamping.add(BODY);
        let outcome = self.twice(&path, &stamping.stamp()).await;
        let removed = self.remove(&path).await;
        outcome.and(removed)?;
        self.sweep(now).await
    }

    /// Removes what a process that was killed in the middle of its questions has left.
    async fn sweep(&self, now: i64) -> Result<(), Error> {
        for path in self.list(PROBE, &|path| made_at(path).is_some_and(|made| now - made > STAYS)).await? {
            self.remove(&path).await?;
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_of_the_questions_says_when_it_was_made() {
        assert_eq!(made_at("_turbo_probe-0000000010-00000000000000ff"), Some(16));
        for other in ["_turbo_probe-00000000000000ff", "_turbo_owner", "slice=a/x.parquet"] {
            assert_eq!(made_at(other), None, "{other}");
        }
    }
}
