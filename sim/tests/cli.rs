//! The program as people run it.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn turbo_sim(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_turbo-sim")).args(arguments).output().unwrap()
}

#[test]
fn the_truth_of_a_seed_is_the_same_each_time() {
    let run = || turbo_sim(&["truth", "--seed", "5", "--events", "500"]);
    let (one, other) = (run(), run());
    assert!(one.status.success());
    assert_eq!(one.stdout, other.stdout);
    let text = String::from_utf8(one.stdout).unwrap();
    assert!(text.lines().count() > 500);
    assert!(text.lines().last().unwrap().contains("summary"));
    assert_ne!(turbo_sim(&["truth", "--seed", "6", "--events", "500"]).stdout, other.stdout);
}

#[test]
fn who_stops_reading_the_truth_leaves_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_turbo-sim"))
        .args(["truth", "--seed", "5", "--events", "20000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::with_capacity(100, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(!line.is_empty());
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
}

#[test]
fn what_it_does_not_know_is_refused_by_name() {
    let refused = |arguments: &[&str], by: &str| {
        let refused = turbo_sim(arguments);
        assert!(!refused.status.success());
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(said.contains(by), "{said}");
    };
    refused(&["serve", "--fault-kinds", "meteor"], "meteor");
    refused(&["serve", "--appview", "0", "--appview-mood", "sad@1s+1s"], "give one of down, broken");
    refused(&["serve", "--appview", "0", "--appview-mood", "down"], "give MOOD@FROM+LASTS");
    refused(&["serve", "--appview", "0", "--appview-account", "me"], "give IDENTIFIER/PASSWORD");
    refused(&["serve", "--appview-mood", "down@1s+1s"], "--appview <PORT>");
}

/// A program that ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The status of the answer to a request, if there is one.
fn status(address: &str, request: &str) -> Option<u16> {
    let mut socket = TcpStream::connect(address).ok()?;
    write!(socket, "GET {request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}

#[test]
fn an_appview_lets_in_its_account_and_has_its_moods() {
    let child = Command::new(env!("CARGO_BIN_EXE_turbo-sim"))
        .args(["serve", "--port", "0", "--appview", "0", "--appview-account", "me/secret"])
        .args(["--appview-mood", "down@6s+1h,busy@2h+1s"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Running(child);
    let url = BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok).nth(1).unwrap();
    let address = url.strip_prefix("http://").unwrap();
    let request = "/xrpc/app.bsky.actor.getProfiles?actors=did:plc:a";
    assert_eq!(status(address, request), Some(401));
    let begun = Instant::now();
    while status(address, request).is_some() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never has its mood");
        std::thread::sleep(Duration::from_millis(100));
    }
}
