//! Stand-ins for images that are not pulled: what the manifests name, made of the programs of this machine. Each keeps the
//! contract of its original as far as a manifest may lean on it: where the program is and how it is called, its variables,
//! its user, where its data is, its version. docs/images.md lists them.

use crate::find::find;
use crate::image::Image;
use std::path::Path;
use std::process::Command;

/// How the PostgreSQL image begins: github.com/docker-library/postgres, without its scripts and files of secrets.
const POSTGRES: &str = include_str!("postgres.sh");
/// How the SeaweedFS image begins: github.com/seaweedfs/seaweedfs, docker/entrypoint.sh, for `mini`.
const SEAWEEDFS: &str = "#!/bin/bash\nexec /usr/bin/weed \"$@\"\n";
/// The users that programs look up.
const USERS: &str = "root:x:0:0::/root:/sbin/nologin\npostgres:x:999:999::/var/lib/postgresql:/sbin/nologin\n\
                     nonroot:x:65532:65532::/:/sbin/nologin\n";

/// Every image that the manifests name: our own of the programs in this folder, and those of others. `None` where a program is
/// not there.
pub fn all(built: &Path) -> Option<Vec<Image>> {
    let [turbo, operator, sim] = ["turbo", "turbo-operator", "turbo-sim"].map(|name| built.join(name));
    Some(vec![
        ours("turbopipeline/turbo:0.1.0", &[&turbo, &operator]),
        ours("turbopipeline/turbo-sim:0.1.0", &[&sim]).entrypoint(&["turbo-sim"]),
        nats("nats:2.15.1")?,
        postgres("postgres:15")?,
        seaweedfs("chrislusf/seaweedfs:4.48")?,
    ])
}

/// `nats`: the program alone, and no shell.
fn nats(name: &str) -> Option<Image> {
    let program = find("nats-server", |_| true)?;
    let image = Image::new(name).entrypoint(&["/nats-server"]).arguments(&["--jetstream"]);
    Some(image.program(&program, "/nats-server"))
}

/// `chrislusf/seaweedfs`: user 1000, data in /data.
fn seaweedfs(name: &str) -> Option<Image> {
    let (weed, bash) = (find("weed", |_| true)?, find("bash", |_| true)?);
    let image = Image::new(name).entrypoint(&["/entrypoint.sh"]).folder("/data", 1000).folder("/tmp", 0);
    Some(image.text("/entrypoint.sh", SEAWEEDFS, 0o755).program(&bash, "/bin/bash").program(&weed, "/usr/bin/weed"))
}

/// `postgres`: user 999, `POSTGRES_USER`, `POSTGRES_PASSWORD`, `POSTGRES_DB`, and `PGDATA`, of the major version that is
/// installed here.
fn postgres(name: &str) -> Option<Image> {
    let postgres = find("postgres", |path| path.with_file_name("initdb").exists())?;
    let bin = postgres.parent().unwrap();
    let version = Command::new(&postgres).arg("--version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let major = version.split(|letter: char| !letter.is_ascii_digit()).find(|word| !word.is_empty()).unwrap();
    assert!(name.ends_with(&format!(":{major}")), "{name}: this machine has {version}");
    let mut image = Image::new(name).entrypoint(&["docker-entrypoint.sh"]).arguments(&["postgres"]);
    image = image.env("PGDATA", "/var/lib/postgresql/data").env("PATH", &format!("/usr/bin:/bin:{}", bin.display()));
    image = image.folder("/var/lib/postgresql/data", 999).folder("/var/run/postgresql", 999).folder("/tmp", 0);
    image = image.text("/etc/passwd", USERS, 0o644).text("/usr/bin/docker-entrypoint.sh", POSTGRES, 0o755);
    for program in ["postgres", "initdb"] {
        let program = bin.join(program);
        image = image.program(&program, &program.to_string_lossy());
    }
    for (program, at) in [("bash", "/bin/bash"), ("bash", "/bin/sh"), ("mkdir", "/bin/mkdir"), ("chmod", "/bin/chmod")]
    {
        image = image.program(&find(program, |_| true)?, at);
    }
    // Beside the program, or where Debian has the same of all versions.
    let of = |what: &str| bin.parent().unwrap().join(what);
    let debian = format!("/usr/share/postgresql/{major}");
    let share = [Path::new(&debian).to_owned(), of("share/postgresql"), of("share")];
    let share = share.into_iter().find(|folder| folder.join("postgres.bki").exists()).expect("postgres.bki");
    // Debian's takes the times of the world from the system.
    let folders = [share.as_path(), Path::new("/usr/share/zoneinfo")].into_iter().filter(|folder| folder.exists());
    let image = folders.fold(image, |image, folder| image.tree(folder, &folder.to_string_lossy()));
    let modules = ["dict_snowball.so", "plpgsql.so"].map(|module| of("lib").join(module));
    Some(modules.iter().fold(image, |image, module| image.program(module, &module.to_string_lossy())))
}

/// Our own images, of these programs: user 65532, no shell, and the certificates that this machine trusts.
fn ours(name: &str, programs: &[&Path]) -> Image {
    const TRUSTED: &str = "/etc/ssl/certs/ca-certificates.crt";
    let image = Image::new(name).user("65532:65532").folder("/tmp", 0).text("/etc/passwd", USERS, 0o644);
    let trusted = std::fs::read_to_string(TRUSTED).unwrap_or_else(|error| panic!("{TRUSTED}: {error}"));
    let image = image.text(TRUSTED, &trusted, 0o644);
    programs.iter().fold(image, |image, program| {
        image.program(program, &format!("/usr/local/bin/{}", program.file_name().unwrap().to_string_lossy()))
    })
}
