//! What tests of the whole engine share: `world` obeys its orders as a worker would, `messages` writes the protocol as text and
//! back, `server` answers as a database would, `making` brings sessions and backends into being without a network.

#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    reason = "several tests include this, each uses a part; a panic is how a test fails"
)]

pub mod making;
pub mod messages;
pub mod server;
pub mod world;
