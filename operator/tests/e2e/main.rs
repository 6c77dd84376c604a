//! All of it on a node: the operator by its manifests, the quickstart, and what lands, against the truth.
#![cfg(all(test, target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests are tests too")]

mod archive;
mod landed;
mod quickstart;
mod stage;
