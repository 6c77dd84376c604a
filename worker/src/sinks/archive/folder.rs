//! A folder as an object store: an object appears whole, durable, and only where nothing was.

use super::Stamp;
use super::stamp::Stamping;
use super::store::Put;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The file that names the owner.
const OWNER: &str = ".owner";

/// The folder of an archive.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Makes the folder where it is not there, and tries to write in it.
    ///
    /// # Errors
    /// It can not be made or written.
    pub fn open(root: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        let probe = root.join(".probe");
        File::create(&probe)?;
        std::fs::remove_file(probe)?;
        Ok(Self { root: root.to_owned() })
    }

    /// Whose objects are in it: what the last owner wrote down. Names of objects are unique for one owner only.
    ///
    /// # Errors
    /// It can not be read.
    pub fn owner(&self) -> io::Result<Option<String>> {
        match std::fs::read_to_string(self.root.join(OWNER)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            owner => owner.map(|owner| Some(owner.trim().to_owned())),
        }
    }

    /// Writes the owner down, whole or not at all.
    ///
    /// # Errors
    /// It can not be written.
    pub fn belongs_to(&self, owner: &str) -> io::Result<()> {
        if self.owner()?.as_deref() == Some(owner) {
            return Ok(());
        }
        let (partial, mut file) = self.begin(OWNER)?;
        file.write_all(format!("{owner}\n").as_bytes())?;
        file.sync_all()?;
        std::fs::rename(partial, self.root.join(OWNER))?;
        self.sync_folders_of(OWNER)
    }

    /// Where the object of this name lies.
    pub(super) fn place(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A file beside the object's place, whose name begins with a dot so that readers of the folder pass over it.
    pub(super) fn begin(&self, path: &str) -> io::Result<(PathBuf, File)> {
        let partial = self.partial(path);
        if let Some(folder) = partial.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = File::create(&partial)?;
        Ok((partial, file))
    }

    /// Puts a written file in place, if nothing is there.
    pub(super) fn put(&self, path: &str, file: &File) -> io::Result<()> {
        file.sync_all()?;
        let place = self.place(path);
        // A hard link fails where a rename would replace what is there.
        std::fs::hard_link(self.partial(path), &place)?;
        std::fs::remove_file(self.partial(path))?;
        self.sync_folders_of(path)
    }

    /// Removes what an interrupted put may have left of an object that was never committed.
    pub(super) fn clear(&self, path: &str) -> io::Result<()> {
        for left in [self.place(path), self.partial(path)] {
            match std::fs::remove_file(left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Copies a file to the object's place, if nothing is there. Several may try at once.
    pub(super) fn put_new(&self, path: &str, from: &Path, stamp: &Stamp) -> io::Result<Put> {
        let partial = self.copy(path, from)?;
        let linked = std::fs::hard_link(&partial, self.place(path));
        std::fs::remove_file(&partial)?;
        match linked {
            Ok(()) => self.sync_folders_of(path).map(|()| Put::New),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let same = Stamp::of(&self.place(path))? == *stamp;
                Ok(if same { Put::Same } else { Put::Taken })
            }
            Err(error) => Err(error),
        }
    }

    /// Copies a file over whatever is in the object's place.
    pub(super) fn put_over(&self, path: &str, from: &Path) -> io::Result<()> {
        let partial = self.copy(path, from)?;
        std::fs::rename(partial, self.place(path))?;
        self.sync_folders_of(path)
    }

    pub(super) fn head(&self, path: &str) -> io::Result<Option<Stamp>> {
        there(Stamp::of(&self.place(path)))
    }

    /// The names below a folder of this one for which something holds.
    pub(super) fn list(&self, below: &str, wanted: &impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
        let (mut found, mut folders) = (Vec::new(), vec![below.trim_end_matches('/').to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in there(std::fs::read_dir(self.place(&folder)))?.into_iter().flatten() {
                let entry = entry?;
                let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
                // Links are not followed.
                if entry.file_type()?.is_dir() {
                    folders.push(path);
                } else if wanted(&path) {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }

    /// Copies the object to a file, up to the limit and one byte.
    pub(super) fn get(&self, path: &str, to: &Path, limit: u64) -> io::Result<Option<Stamp>> {
        let Some(file) = there(File::open(self.place(path)))? else { return Ok(None) };
        let (mut from, mut to) = (file.take(limit.saturating_add(1)), File::create(to)?);
        let (mut stamping, mut buffer) = (Stamping::default(), vec![0; 1 << 16]);
        loop {
            let read = from.read(&mut buffer)?;
            if read == 0 {
                return Ok(Some(stamping.stamp()));
            }
            stamping.add(&buffer[..read]);
            to.write_all(&buffer[..read])?;
        }
    }

    /// Removes what puts of this object that were not finished have left.
    pub(super) fn clear_partials(&self, path: &str) -> io::Result<usize> {
        let place = self.place(path);
        let begin = format!(".{}.", file_name(&place));
        let Some(folder) = place.parent() else { return Ok(0) };
        let mut removed = 0;
        for entry in there(std::fs::read_dir(folder))?.into_iter().flatten() {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&begin) {
                there(std::fs::remove_file(entry.path()))?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    pub(super) fn remove(&self, path: &str) -> io::Result<()> {
        self.clear_partials(path)?;
        there(std::fs::remove_file(self.place(path))).map(|_| ())
    }

    /// A durable copy beside the object's place, under a name of its own.
    fn copy(&self, path: &str, from: &Path) -> io::Result<PathBuf> {
        let place = self.place(path);
        let partial = place.with_file_name(format!(".{}.{:016x}.partial", file_name(&place), rand::random::<u64>()));
        if let Some(folder) = place.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let copied = std::fs::copy(from, &partial).and_then(|_| File::open(&partial)?.sync_all());
        if let Err(error) = copied {
            // The disk may be full; what was copied must not stay on it.
            let _ = std::fs::remove_file(&partial);
            return Err(error);
        }
        Ok(partial)
    }

    /// The name of an object is durable once the folders are in which it lies, up to the root: any of them may be new.
    fn sync_folders_of(&self, path: &str) -> io::Result<()> {
        let place = self.place(path);
        let folders = place.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root));
        folders.into_iter().try_for_each(|folder| File::open(folder)?.sync_all())
    }

    fn partial(&self, path: &str) -> PathBuf {
        let place = self.place(path);
        place.with_file_name(format!(".{}.partial", file_name(&place)))
    }
}

fn file_name(place: &Path) -> String {
    place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What is not there is no error.
fn there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}
