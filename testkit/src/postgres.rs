//! PostgreSQL.

use crate::find::find;
use crate::port::Port;
use crate::server::{Server, Spec};
use std::fmt::Write as _;
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// Name and password of the superuser.
pub(crate) const USER: &str = "turbo";
/// Needed: what connects must know how to log in.
pub(crate) const PASSWORD: &str = "turbo-secret";

/// A PostgreSQL server. The methods of [`Server`] stop and start it.
pub struct Postgres {
    server: Server,
    port: Port,
    /// Where its programs are.
    programs: PathBuf,
}

/// What differs from a server that is quick, and loses nothing but by a loss of power.
#[derive(Clone, Default)]
pub struct PostgresOptions {
    fsync: bool,
    settings: String,
}

impl PostgresOptions {
    /// Whether it waits for the disk. Without, it still loses nothing when it is killed: a page that the kill tears is written
    /// whole in its log, whatever this says.
    #[must_use]
    pub fn fsync(mut self, on: bool) -> Self {
        self.fsync = on;
        self
    }

    /// A line of postgresql.conf.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        writeln!(self.settings, "{name} = '{value}'").unwrap();
        self
    }

    /// Starts the server. `None` where the program is not installed.
    pub fn start(self) -> Option<Postgres> {
        let program = find("postgres", |path| path.with_file_name("initdb").exists())?;
        let programs = program.parent().unwrap().to_owned();
        let folder = tempfile::tempdir().unwrap();
        let (port, user) = (Port::take(), unprivileged(&folder));
        self.initialise(&programs, &folder, user, &port);
        let probe = (programs.join("pg_isready"), port.number().to_string());
        let ready = Box::new(move || {
            let mut command = Command::new(&probe.0);
            ran(command.args(["-q", "-h", "127.0.0.1", "-p", &probe.1, "-d", "postgres"])).map(drop)
        });
        let args = vec!["-D".to_owned(), "data".to_owned()];
        let spec = Spec { program, args, user, folder, litter: Vec::new(), stop: "INT", ready };
        let postgres = Postgres { server: Server::new(spec), port, programs };
        postgres.start();
        Some(postgres)
    }

    fn initialise(&self, programs: &Path, folder: &TempDir, user: Option<(u32, u32)>, port: &Port) {
        std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
        let mut command = Command::new(programs.join("initdb"));
        command.current_dir(folder.path()).args(["-D", "data", "-U", USER, "--pwfile", "password"]);
        command.args(["-A", "scram-sha-256", "-E", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"]);
        if let Some((user, group)) = user {
            chown(folder.path().join("password"), Some(user), Some(group)).unwrap();
            command.uid(user).gid(group);
        }
        ran(&mut command).unwrap_or_else(|error| panic!("{error}"));
        let fsync = if self.fsync { "on" } else { "off" };
        let mut config =
            std::fs::OpenOptions::new().append(true).open(folder.path().join("data/postgresql.conf")).unwrap();
        let lines = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\ntimezone = 'UTC'\n\
             fsync = {fsync}\nshared_buffers = '32MB'\n{}",
            port.number(),
            self.settings
        );
        std::io::Write::write_all(&mut config, lines.as_bytes()).unwrap();
    }
}

impl Postgres {
    /// One that does not wait for the disk. `None` where the program is not installed.
    pub fn start() -> Option<Self> {
        Self::options().start()
    }

    /// One that is configured.
    pub fn options() -> PostgresOptions {
        PostgresOptions::default()
    }

    /// The URL of the database `postgres`, as the superuser.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The URL of a database, as the superuser.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@{}/{database}", self.port.address())
    }

    /// Makes an empty database, and says its URL.
    pub fn create_database(&self, name: &str) -> String {
        self.execute("postgres", &format!("CREATE DATABASE \"{name}\""));
        self.url_of(name)
    }

    /// Runs SQL with psql, and says what it printed: rows by lines, columns by `|`.
    ///
    /// # Panics
    /// The server refuses it.
    pub fn execute(&self, database: &str, sql: &str) -> String {
        let mut command = Command::new(self.program("psql"));
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url_of(database)]);
        let output = ran(&mut command).unwrap_or_else(|error| panic!("{sql}: {error}"));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// A server is what it is; this says where it is reached.
impl Deref for Postgres {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// These servers refuse to run as root: then their folder becomes the user's that Debian makes for them.
pub(crate) fn unprivileged(folder: &TempDir) -> Option<(u32, u32)> {
    if folder.path().metadata().unwrap().uid() != 0 {
        return None;
    }
    let id = |which: &str| {
        let output = ran(Command::new("id").args([which, "postgres"])).expect("a user postgres, as Debian makes it");
        String::from_utf8_lossy(&output.stdout).trim().parse().unwrap()
    };
    let (user, group) = (id("-u"), id("-g"));
    chown(folder.path(), Some(user), Some(group)).unwrap();
    Some((user, group))
}

/// Runs a program to its end; an error is what it said.
pub(crate) fn ran(command: &mut Command) -> Result<Output, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = || format!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(output) } else { Err(said()) }
}
