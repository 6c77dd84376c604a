//! The binary as its users run it: spawned, fed, stopped and killed; what landed is compared with what was sent.
#![allow(unreachable_pub, reason = "a test binary has no outside")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests are tests too")]

mod archive;
mod archiving;
mod dlq;
mod enriched;
mod enriched_example;
mod enriched_failures;
mod expected;
mod faults;
mod figures;
mod given_up;
mod harness;
mod landed;
mod large;
mod membership;
mod nats_cluster;
mod nats_log;
mod nats_window;
mod outages;
mod owners;
mod page;
mod pg_proxy;
mod postgres;
mod processes;
mod projections;
mod recording;
mod restored;
mod rig;
mod s3_proxy;
mod s3_store;
mod secured;
mod segments;
mod sharded;
mod sockets;
mod spoilt;
mod startup;
mod stopping;
mod store_away;
mod traced;
mod truth;
mod upkeep;
mod windows;
