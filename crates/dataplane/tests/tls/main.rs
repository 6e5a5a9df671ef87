//! TLS from end to end in memory: our filter against itself and against somebody else's rustls, in every way the bytes may come.

#![allow(
    clippy::unwrap_used,
    reason = "what fails in a test's helper fails the test"
)]

mod binding;
mod certificates;
mod ends;
mod garbage;
mod handshake;
mod settings;
mod traffic;
mod trust;
