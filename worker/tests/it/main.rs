//! The binary as its users run it: spawned, fed, stopped and killed; what landed is compared with what was sent.
#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod expected;
mod faults;
mod harness;
mod landed;
mod page;
mod recording;
mod stopping;
mod truth;
mod windows;
