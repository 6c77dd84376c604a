//! The binary as its users run it: spawned, fed, stopped and killed; what landed is compared with what was sent.
#![allow(unreachable_pub, reason = "a test binary has no outside")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests are tests too")]

mod archive;
mod expected;
mod faults;
mod harness;
mod landed;
mod membership;
mod nats_log;
mod outages;
mod page;
mod postgres;
mod processes;
mod recording;
mod sharded;
mod sockets;
mod stopping;
mod truth;
mod windows;
