//! The real servers that tests need: each test its own, on free ports of this machine, in a temporary folder.
//!
//! - [`Nats`], alone or as a [`NatsCluster`]; [`Postgres`], with [`PgBouncer`] before it; [`S3`]; [`Kubernetes`], without nodes; [`Node`], a
//!   Kubernetes with one, on which an [`Image`] runs and into which a [`Door`] leads.
//! - Each of them is a [`Server`] too: `stop`, `kill`, `pause`, `resume` and `restart` are the faults of a test. A
//!   restart has the same ports and the same data.
//! - Dropped, a server is killed and its folder is gone. It does not outlive the test's process either, however that
//!   one ends: so a server may also be a `static`, shared by the tests of one binary.
//! - A program that is not installed: `None`, with a word on stderr, so that the test is skipped. Where `CI` is set
//!   it is a failure. `scripts/tools.sh test` installs them all.
//!
//! ```no_run
//! use turbo_testkit::{Nats, Postgres};
//!
//! fn a_row_survives_a_crash() {
//!     let (Some(nats), Some(postgres)) = (Nats::start(), Postgres::start()) else { return };
//!     let database = postgres.create_database("mine");
//!     // … something that uses nats.url() and database …
//!     postgres.kill();
//!     postgres.restart();
//!     nats.pause();
//! }
//! ```
//!
//! All of it blocks, a start for a second or so: in an async test the tasks of the same thread wait meanwhile, and a
//! client on that thread learns only afterwards that it was cut off.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a crate for tests fails loudly"
)]

#[cfg(target_os = "linux")]
mod door;
mod find;
mod guard;
pub mod http;
#[cfg(target_os = "linux")]
mod image;
mod kubernetes;
mod nats;
mod pgbouncer;
mod port;
mod postgres;
mod s3;
mod server;
#[cfg(target_os = "linux")]
pub mod standins;
mod tree;

#[cfg(target_os = "linux")]
pub use door::Door;
pub use find::{kinds, program};
#[cfg(target_os = "linux")]
pub use image::Image;
#[cfg(target_os = "linux")]
pub use kubernetes::Node;
pub use kubernetes::{Kubernetes, KubernetesOptions};
pub use nats::{Nats, NatsCluster, NatsOptions};
pub use pgbouncer::PgBouncer;
pub use postgres::{Postgres, PostgresOptions};
pub use s3::S3;
pub use server::Server;
