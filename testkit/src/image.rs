//! Images of containers, made of what is on this machine: an archive of one layer, as the Open Container Initiative's image
//! format has it (github.com/opencontainers/image-spec).

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use tar::{Builder, EntryType, Header};

/// An image that is being made.
pub struct Image {
    name: String,
    config: Value,
    folders: BTreeSet<PathBuf>,
    libraries: BTreeSet<PathBuf>,
    layer: Builder<Vec<u8>>,
}

impl Image {
    /// One of this name, `host/path:tag`, of nothing yet.
    pub fn new(name: &str) -> Self {
        let config = json!({ "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"] });
        let (folders, libraries) = (BTreeSet::new(), BTreeSet::new());
        Self { name: name.to_owned(), config, folders, libraries, layer: Builder::new(Vec::new()) }
    }

    /// What is run, before the arguments of the container.
    pub fn entrypoint(mut self, words: &[&str]) -> Self {
        self.config["Entrypoint"] = json!(words);
        self
    }

    /// The arguments where the container gives none.
    pub fn arguments(mut self, words: &[&str]) -> Self {
        self.config["Cmd"] = json!(words);
        self
    }

    /// A variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        let variables = self.config["Env"].as_array_mut().unwrap();
        variables.retain(|variable| !variable.as_str().unwrap().starts_with(&format!("{name}=")));
        variables.push(json!(format!("{name}={value}")));
        self
    }

    /// Who runs it: `uid` or `uid:gid`.
    pub fn user(mut self, user: &str) -> Self {
        self.config["User"] = json!(user);
        self
    }

    /// A folder that belongs to a user.
    pub fn folder(mut self, path: &str, user: u64) -> Self {
        let path = Path::new(path);
        if let Some(above) = path.parent() {
            self.above(above);
        }
        self.folders.insert(path.to_owned());
        self.put(path, EntryType::Directory, 0o777, user, &[]);
        self
    }

    /// A file with this text.
    pub fn text(mut self, path: &str, text: &str, mode: u32) -> Self {
        self.file(Path::new(path), text.as_bytes(), mode);
        self
    }

    /// A program of this machine, without what a debugger needs, and the libraries that it is linked with.
    pub fn program(mut self, program: &Path, path: &str) -> Self {
        let stripped = tempfile::NamedTempFile::new().unwrap();
        let to = stripped.path();
        let strip = Command::new("strip").arg("-o").arg(to).arg(program).status();
        assert!(strip.is_ok_and(|status| status.success()), "strip {}", program.display());
        self.file(Path::new(path), &std::fs::read(to).unwrap(), 0o755);
        for library in libraries(program) {
            if self.libraries.insert(library.clone()) {
                let bytes = std::fs::read(&library).unwrap();
                self.file(&library, &bytes, 0o755);
            }
        }
        self
    }

    /// A folder of this machine, with all that is in it.
    pub fn tree(mut self, from: &Path, to: &str) -> Self {
        self.add_tree(from, Path::new(to));
        self
    }

    fn add_tree(&mut self, from: &Path, to: &Path) {
        for entry in std::fs::read_dir(from).unwrap() {
            let from = entry.unwrap().path();
            let to = to.join(from.file_name().unwrap());
            if from.is_dir() {
                self.add_tree(&from, &to);
            } else {
                self.file(&to, &std::fs::read(&from).unwrap(), 0o755);
            }
        }
    }

    fn file(&mut self, path: &Path, bytes: &[u8], mode: u32) {
        self.above(path.parent().unwrap());
        self.put(path, EntryType::Regular, mode, 0, bytes);
    }

    /// The folders above, each once.
    fn above(&mut self, folder: &Path) {
        let missing: Vec<PathBuf> =
            folder.ancestors().filter(|path| path.parent().is_some()).map(Path::to_owned).collect();
        for path in missing.into_iter().rev() {
            if self.folders.insert(path.clone()) {
                self.put(&path, EntryType::Directory, 0o755, 0, &[]);
            }
        }
    }

    fn put(&mut self, path: &Path, kind: EntryType, mode: u32, user: u64, bytes: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(user);
        header.set_gid(user);
        header.set_size(bytes.len() as u64);
        self.layer.append_data(&mut header, path.strip_prefix("/").unwrap(), bytes).unwrap();
    }

    /// Writes the archive.
    pub(crate) fn write(self, to: &Path) {
        let layer = self.layer.into_inner().unwrap();
        let config = json!({
            "architecture": architecture(), "os": "linux", "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": described("application/vnd.oci.image.config.v1+json", &config),
            "layers": [described("application/vnd.oci.image.layer.v1.tar", &layer)],
        });
        let manifest = manifest.to_string().into_bytes();
        let mut of = described("application/vnd.oci.image.manifest.v1+json", &manifest);
        of["annotations"] = json!({ "io.containerd.image.name": whole(&self.name) });
        let index = json!({ "schemaVersion": 2, "manifests": [of] }).to_string().into_bytes();
        let mut archive = Builder::new(std::fs::File::create(to).unwrap());
        let mut put = |name: &str, bytes: &[u8]| {
            let mut header = Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, name, bytes).unwrap();
        };
        put("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
        put("index.json", &index);
        for blob in [&layer, &config, &manifest] {
            put(&format!("blobs/sha256/{}", &digest(blob)["sha256:".len()..]), blob);
        }
        archive.finish().unwrap();
    }
}

/// A name as nodes know it: they put before a short one what people mean by it.
fn whole(name: &str) -> String {
    match name.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

fn described(kind: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() })
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// What the loader loads with a program, and the loader: at the paths where it looks for them.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
        .map(PathBuf::from)
        .collect()
}
