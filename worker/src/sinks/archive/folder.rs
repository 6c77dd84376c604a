//! A folder as an object store: an object appears whole, durable, and only where nothing was.

use std::fs::File;
use std::io;
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

    /// Writes the owner down.
    ///
    /// # Errors
    /// It can not be written.
    pub fn belongs_to(&self, owner: &str) -> io::Result<()> {
        std::fs::write(self.root.join(OWNER), format!("{owner}\n"))
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
        if let Some(folder) = place.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
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

    fn partial(&self, path: &str) -> PathBuf {
        let place = self.place(path);
        let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        place.with_file_name(format!(".{name}.partial"))
    }
}
