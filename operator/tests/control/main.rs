//! The operator: what it builds, and what it does on a real API server with its controllers.

#![cfg(test)]

mod cluster;
mod fixtures;
mod following;
mod keeping;
mod restarts;
