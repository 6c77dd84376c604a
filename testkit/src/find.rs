//! Where the servers' programs are.

use std::collections::HashMap;
use std::io::Read;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The folder of scripts/kubernetes.sh: one for each version.
const KUBERNETES: &str = "kubernetes-1.36.3";

/// Where a program is; `None`, with a word, where there is none that `suits`. In CI that is a failure.
///
/// An environment variable names another one: `TESTKIT_NATS_SERVER` for nats-server, and so on.
pub(crate) fn find(name: &'static str, suits: fn(&Path) -> bool) -> Option<PathBuf> {
    static FOUND: Mutex<Option<HashMap<&str, Option<PathBuf>>>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let found = found.get_or_insert_default().entry(name).or_insert_with(|| look(name, suits)).clone();
    if found.is_none() {
        missed(&format!("no {name} that serves is there; scripts/tools.sh test installs it"));
    }
    found
}

/// Where a program of that name is; `None`, with a word, where there is none. In CI that is a failure.
pub fn program(name: &'static str) -> Option<PathBuf> {
    find(name, |_| true)
}

/// The kinds that another project brings to clusters, as it defines them: `istio`, `prometheus` or `keda`. `None`, with a word,
/// where they are not there. In CI that is a failure.
pub fn kinds(project: &str) -> Option<String> {
    let files = kubernetes().into_iter().map(|folder| folder.join("crds").join(format!("{project}.yaml")));
    let found = files.into_iter().find_map(|file| std::fs::read_to_string(file).ok());
    if found.is_none() {
        missed(&format!("the kinds of {project} are not there; scripts/tools.sh test fetches them"));
    }
    found
}

/// Says what is missing; in CI that is a failure.
pub(crate) fn missed(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "{what}");
    let _ = writeln!(std::io::stderr(), "skipped: {what}");
}

fn look(name: &str, suits: fn(&Path) -> bool) -> Option<PathBuf> {
    let variable = format!("TESTKIT_{}", name.replace('-', "_").to_uppercase());
    if let Some(path) = std::env::var_os(&variable) {
        let path = PathBuf::from(path);
        assert!(is_program(&path) && suits(&path), "{variable}: {} does not serve", path.display());
        return Some(path.canonicalize().unwrap());
    }
    let mut there: Vec<PathBuf> = folders().map(|folder| folder.join(name)).filter(|path| is_program(path)).collect();
    // A script is a version manager's stand-in: slow, and not the process that is meant.
    there.sort_by_key(|path| is_script(path));
    let path = there.into_iter().find(|path| suits(path))?;
    // Its neighbours are wanted too, and a link has others.
    Some(path.canonicalize().unwrap())
}

/// Where the parts of Kubernetes are, the search path, then where pip, Debian and who sets up nodes put programs beside it.
fn folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut postgres: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    postgres.sort();
    kubernetes()
        .into_iter()
        .chain(path)
        .chain(pip().iter().cloned())
        .chain(postgres.into_iter().rev().map(|(_, folder)| folder))
        .chain(["/usr/local/sbin", "/usr/sbin", "/usr/lib/cni", "/opt/cni/bin"].map(PathBuf::from))
}

/// Where whoever develops operators has its parts, and where scripts/kubernetes.sh puts them.
fn kubernetes() -> Vec<PathBuf> {
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")));
    let built = of("TURBO_KUBERNETES").or_else(|| Some(cache?.join("turbo-testkit").join(KUBERNETES)));
    of("KUBEBUILDER_ASSETS").into_iter().chain(built).collect()
}

/// Where pip puts programs: for everyone, and for this user.
fn pip() -> &'static [PathBuf] {
    static FOLDERS: OnceLock<Vec<PathBuf>> = OnceLock::new();
    FOLDERS.get_or_init(|| {
        let script =
            "import os, sysconfig as s; print(s.get_path('scripts')); print(s.get_path('scripts', os.name + '_user'))";
        let output = Command::new("python3").args(["-c", script]).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        text.lines().map(PathBuf::from).collect()
    })
}

fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|there| there.is_file() && there.permissions().mode() & 0o111 != 0)
}

fn is_script(path: &Path) -> bool {
    let mut head = [0; 2];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && head == *b"#!"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_or_does_not_suit_is_not_found() {
        assert_eq!(look("no-such-program", |_| true), None);
        assert_eq!(look("sh", |_| false), None);
        assert!(look("sh", |_| true).is_some_and(|path| path.is_absolute()));
    }
}
