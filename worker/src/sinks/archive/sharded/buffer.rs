//! Where events wait for their object: a file for each segment, of chunks with their length before them.

use super::super::chunk::{self, Waited};
use crate::log::Numbered;
use std::fs::{File, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Endings of the files here; others are left alone.
const ENDINGS: [&str; 2] = ["chunks", "object"];

/// Processes that share a folder at most.
const MOST: usize = 256;

/// A buffer that can not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can not be written.
    #[error("the archive's buffer {folder}: {error}")]
    Io {
        /// The folder.
        folder: String,
        /// Why.
        error: io::Error,
    },
    /// Another process has it.
    #[error("the archive's buffer {0} is in use by another process; give each its own folder")]
    InUse(String),
}

/// The folder of the buffer.
#[derive(Debug)]
pub(super) struct Buffer {
    folder: PathBuf,
    next: AtomicU64,
    /// Held for as long as the process uses the folder.
    _lock: File,
}

/// A file of the buffer; dropped, it is removed.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

/// The waiting events of one segment.
#[derive(Debug)]
pub(super) struct Spool {
    file: Arc<File>,
    scratch: Scratch,
    bytes: u64,
}

impl Buffer {
    /// Makes the folder, takes it, and removes what an earlier process has left.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let io = |error| Error::Io { folder: folder.display().to_string(), error };
        std::fs::create_dir_all(folder).map_err(io)?;
        let lock = File::create(folder.join(".lock")).map_err(io)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Error::InUse(folder.display().to_string()),
            TryLockError::Error(error) => io(error),
        })?;
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.extension().is_some_and(|ending| ENDINGS.iter().any(|ours| ending == *ours)) {
                std::fs::remove_file(path).map_err(io)?;
            }
        }
        Ok(Self { folder: folder.to_owned(), next: AtomicU64::new(0), _lock: lock })
    }

    /// Takes the first of the folders `<name>-0`, `<name>-1` and so on that no other process has, and empties those of the
    /// others whose processes have ended: they may have been killed, and nobody would come back for what they left.
    pub(super) fn first_free(folder: &Path, name: &str) -> Result<Self, Error> {
        let at = |n: usize| folder.join(format!("{name}-{n}"));
        let mut taken = None;
        for n in 0..MOST {
            match taken {
                None => match Self::open(&at(n)) {
                    Ok(buffer) => taken = Some(buffer),
                    Err(Error::InUse(_)) => {}
                    Err(error) => return Err(error),
                },
                Some(_) if at(n).is_dir() => match Self::open(&at(n)) {
                    // Its process lives, or has just taken it.
                    Ok(_) | Err(Error::InUse(_)) => {}
                    Err(error) => tracing::warn!("{error}"),
                },
                Some(_) => {}
            }
        }
        taken.ok_or_else(|| Error::InUse(at(MOST - 1).display().to_string()))
    }

    /// A new name in the folder.
    pub(super) fn scratch(&self, ending: &'static str) -> Scratch {
        debug_assert!(ENDINGS.contains(&ending), "what is left of it has to be removed at the next start");
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Scratch(self.folder.join(format!("{number:08}.{ending}")))
    }

    pub(super) fn spool(&self) -> io::Result<Spool> {
        let scratch = self.scratch("chunks");
        let file = File::options().read(true).write(true).create_new(true).open(scratch.path())?;
        Ok(Spool { file: Arc::new(file), scratch, bytes: 0 })
    }
}

impl Scratch {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It may never have been made; what can not be removed goes at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Spool {
    /// Bytes that wait in it.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Appends the events among these entries. After an error nothing of them counts.
    pub(super) async fn append(&mut self, entries: Vec<Numbered>) -> io::Result<()> {
        let (file, at) = (self.file.clone(), self.bytes);
        let written = tokio::task::spawn_blocking(move || append(&file, at, &entries)).await;
        self.bytes += written.map_err(io::Error::other)??;
        Ok(())
    }
}

/// Writes a chunk at an offset, over what a failed write has left there.
fn append(mut file: &File, at: u64, entries: &[Numbered]) -> io::Result<u64> {
    let events: Vec<_> = entries.iter().filter_map(|numbered| numbered.entry.logged()).collect();
    let chunk = chunk::encode(&events)?;
    let length = u32::try_from(chunk.len()).map_err(io::Error::other)?;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&length.to_le_bytes())?;
    file.write_all(&chunk)?;
    Ok(4 + u64::from(length))
}

/// The chunks of a spool, in order.
pub(super) struct Chunks {
    file: BufReader<io::Take<File>>,
}

impl Chunks {
    /// Reads `bytes` of the spool at this path.
    pub(super) fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        Ok(Self { file: BufReader::with_capacity(1 << 18, File::open(path)?.take(bytes)) })
    }

    /// The events of the next chunk.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<Waited>>> {
        let mut length = [0; 4];
        match self.file.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let mut chunk = vec![0; u32::from_le_bytes(length) as usize];
        self.file.read_exact(&mut chunk)?;
        chunk::read(&chunk).map(Some).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Content, Entry, Item};
    use bytes::Bytes;
    use turbo_core::shard::Shard;
    use turbo_core::wire::{Frame, decode};

    fn entries(seqs: std::ops::Range<u64>) -> Vec<Numbered> {
        let text = r#"{"did":"d","time_us":1,"kind":"identity","identity":{"seq":3}}"#;
        let Ok(Frame::Event(event)) = decode(&Bytes::from_static(text.as_bytes())) else { panic!() };
        let item = Arc::new(Item {
            content: Content::Event(event),
            host: "h".into(),
            marks: Vec::new(),
            trace: None,
            rejoined: false,
        });
        let shard = Shard { slice: 0, partition: 0 };
        seqs.map(|seq| Numbered { entry: Entry::new(seq, shard, item.clone()), number: seq }).collect()
    }

    #[tokio::test]
    async fn what_waits_comes_back_and_a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let buffer = Buffer::open(folder.path()).unwrap();
        let mut spool = buffer.spool().unwrap();
        spool.append(entries(1..4)).await.unwrap();
        let good = spool.bytes();
        // A chunk that was cut by a full disk, and then written again.
        (&*spool.file).write_all(b"half a chunk that does not count").unwrap();
        spool.append(entries(4..9)).await.unwrap();
        assert!(spool.bytes() > good);
        let mut chunks = Chunks::open(spool.path(), spool.bytes()).unwrap();
        let mut seqs = Vec::new();
        while let Some(events) = chunks.next().unwrap() {
            seqs.extend(events.into_iter().map(|waited| waited.seq));
        }
        assert_eq!(seqs, (1..9).collect::<Vec<_>>());
        let path = spool.path().to_owned();
        drop(spool);
        assert!(!path.exists());
    }

    #[test]
    fn processes_share_a_folder_and_what_a_killed_one_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second, third] = [(); 3].map(|()| Buffer::first_free(folder.path(), "turbo-ns-name").unwrap());
        let names = [&first, &second, &third].map(|buffer| buffer.folder.file_name().unwrap().to_owned());
        assert_eq!(names, ["turbo-ns-name-0", "turbo-ns-name-1", "turbo-ns-name-2"]);
        let files = |buffer: &PathBuf| std::fs::read_dir(buffer).unwrap().count() - 1;
        let [a, b, c] = [&first, &second, &third].map(|buffer| buffer.folder.clone());
        let other = Buffer::first_free(folder.path(), "turbo-ns-other").unwrap();
        // A kill runs nothing: the lock goes, the files stay.
        std::fs::write(a.join("00000009.object"), "left").unwrap();
        std::fs::write(b.join("00000009.object"), "mine").unwrap();
        std::fs::write(c.join("00000009.object"), "left").unwrap();
        drop((first, third));
        let again = Buffer::first_free(folder.path(), "turbo-ns-name").unwrap();
        assert_eq!(again.folder, a);
        assert_eq!((files(&a), files(&b), files(&c), files(&other.folder)), (0, 1, 0, 0));
        drop(second);
    }

    #[test]
    fn a_buffer_is_emptied_at_the_start_and_has_one_owner() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("00000000.chunks"), "left").unwrap();
        std::fs::write(folder.path().join("mine.txt"), "kept").unwrap();
        let buffer = Buffer::open(folder.path()).unwrap();
        assert!(!folder.path().join("00000000.chunks").exists());
        assert!(folder.path().join("mine.txt").exists());
        assert!(matches!(Buffer::open(folder.path()), Err(Error::InUse(_))));
        drop(buffer);
        Buffer::open(folder.path()).unwrap();
    }
}
