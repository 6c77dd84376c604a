//! The program as people run it.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

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
    let refused = turbo_sim(&["serve", "--fault-kinds", "meteor"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8(refused.stderr).unwrap().contains("meteor"));
}
