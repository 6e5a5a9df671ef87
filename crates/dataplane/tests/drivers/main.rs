//! What every driver promises, asked of each of them in the same words: connections are made, accepted, moved and ended, bytes
//! arrive whole and in order, slow peers cost a bounded amount, nothing is told of what was closed.
//!
//! What counts the descriptors of the process is in `tests/descriptors.rs`.

#![allow(
    clippy::unwrap_used,
    reason = "what fails in a test's helper fails the test"
)]

mod rig;

mod connecting;
mod ending;
mod limits;
mod moving;
mod throttling;
mod traffic;
mod waking;
