//! The operator: what it builds, and what it does on a real API server with its controllers.

#![cfg(test)]

mod chart;
#[allow(dead_code, reason = "the benchmark uses more of it")]
mod cluster;
mod fixtures;
mod flows;
mod following;
mod keeping;
mod optional;
mod proxy;
mod restarts;
mod selectors;
mod storms;
