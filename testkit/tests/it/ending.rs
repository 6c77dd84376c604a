//! A server ends with the value that stands for it, and with the test's process, however that one ends.

use crate::eventually;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use turbo_testkit::{Nats, Postgres, S3, Server};

/// Whether a process is there and has not ended.
fn lives(pid: &str) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", pid]).output().unwrap();
    let state = String::from_utf8_lossy(&output.stdout).into_owned();
    !state.trim().is_empty() && !state.starts_with('Z')
}

#[test]
fn a_dropped_server_is_gone_with_its_folder() {
    fn ends<T: std::ops::Deref<Target = Server>>(server: Option<T>) {
        let Some(server) = server else { return };
        let (pid, folder) = (server.pid().unwrap().to_string(), server.folder().to_owned());
        assert!(lives(&pid) && folder.exists());
        drop(server);
        assert!(!lives(&pid) && !folder.exists());
    }
    ends(Nats::start());
    ends(Postgres::start());
    ends(S3::start());
    let paused = Nats::start();
    paused.iter().for_each(|nats| nats.pause());
    ends(paused);
}

#[test]
fn a_stopped_server_has_ended() {
    let Some(nats) = Nats::start() else { return };
    let pid = nats.pid().unwrap().to_string();
    nats.stop();
    assert!(!lives(&pid));
    assert!(std::net::TcpStream::connect(nats.address()).is_err());
    nats.stop();
    nats.kill();
}

#[test]
fn two_of_a_kind_do_not_meet() {
    let (Some(one), Some(other)) = (Nats::start(), Nats::start()) else { return };
    assert_ne!(one.address(), other.address());
}

/// Not a test: the process that the next one kills.
#[test]
#[ignore = "it never ends"]
fn holds_servers_for_ever() {
    let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
    // A backend of its own, and frozen: nothing of it may stay behind.
    postgres.pause();
    #[cfg(target_os = "linux")]
    let Some(node) = turbo_testkit::Node::start() else { return };
    let servers = [
        &*nats,
        &*postgres,
        #[cfg(target_os = "linux")]
        node.server(),
    ];
    for server in servers {
        eprintln!("holds {} {}", server.pid().unwrap(), server.folder().display());
    }
    loop {
        std::thread::park();
    }
}

#[tokio::test]
async fn a_killed_test_leaves_nothing_behind() {
    let programs = ["nats-server", "initdb"].into_iter().chain(cfg!(target_os = "linux").then_some("kubelet"));
    let wanted = programs.clone().count();
    if programs.map(turbo_testkit::program).any(|program| program.is_none()) {
        return;
    }
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ending::holds_servers_for_ever", "--ignored", "--nocapture"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(test.stderr.take().unwrap()).lines().map(Result::unwrap);
    let held: Vec<(String, PathBuf)> = lines
        .filter_map(|line| {
            let (pid, folder) = line.strip_prefix("holds ")?.split_once(' ')?;
            Some((pid.to_owned(), Path::new(folder).to_owned()))
        })
        .take(wanted)
        .collect();
    assert_eq!(held.len(), wanted);
    assert!(held.iter().all(|(pid, folder)| lives(pid) && folder.exists()));
    test.kill().unwrap();
    test.wait().unwrap();
    eventually("all is gone", || async { held.iter().all(|(pid, folder)| !lives(pid) && !folder.exists()) }).await;
}
