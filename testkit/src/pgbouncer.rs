//! PgBouncer.

use crate::find::find;
use crate::port::Port;
use crate::postgres::{PASSWORD, Postgres, USER, ran, unprivileged};
use crate::server::{Server, Spec};
use std::ops::Deref;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

/// A PgBouncer before a [`Postgres`], in transaction mode. The methods of [`Server`] stop and start it.
pub struct PgBouncer {
    server: Server,
    port: Port,
}

impl PgBouncer {
    /// One for all databases of the server. `None` where the program is not installed.
    pub fn start(postgres: &Postgres) -> Option<Self> {
        Self::start_with(postgres, "")
    }

    /// One with more lines in its block `[pgbouncer]`; they win over ours.
    pub fn start_with(postgres: &Postgres, lines: &str) -> Option<Self> {
        let program = find("pgbouncer", |_| true)?;
        let folder = tempfile::tempdir().unwrap();
        let (port, user) = (Port::take(), unprivileged(&folder));
        let config = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\n\
             unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = users.txt\nadmin_users = {USER}\n\
             pool_mode = transaction\nmax_client_conn = 500\ndefault_pool_size = 20\n\
             ; Without, a test that restarts the database waits 15 s.\nserver_login_retry = 1\n{lines}\n",
            postgres.port(),
            port.number()
        );
        for (name, text) in [("pgbouncer.ini", config), ("users.txt", format!("\"{USER}\" \"{PASSWORD}\"\n"))] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            if let Some((user, group)) = user {
                chown(&path, Some(user), Some(group)).unwrap();
            }
        }
        let probe = (postgres.program("pg_isready"), port.number().to_string());
        let ready = Box::new(move || {
            let mut command = Command::new(&probe.0);
            ran(command.args(["-q", "-h", "127.0.0.1", "-p", &probe.1, "-d", "pgbouncer"])).map(drop)
        });
        let args = vec!["pgbouncer.ini".to_owned()];
        // It keeps nothing, so it need not be asked: from 1.23 on it would wait for its clients.
        let spec = Spec { program, args, user, folder, litter: Vec::new(), stop: "KILL", ready };
        let bouncer = Self { server: Server::new(spec), port };
        bouncer.start();
        Some(bouncer)
    }

    /// The URL of the database `postgres`, as the superuser.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The URL of a database, as the superuser.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@{}/{database}", self.port.address())
    }
}

/// A server is what it is; this says where it is reached.
impl Deref for PgBouncer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}
