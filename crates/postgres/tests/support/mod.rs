//! What tests of the whole engine share: `world` obeys its orders as a worker would, `messages` writes the protocol as text and
//! back, `server` answers as a database would, `making` brings sessions and backends into being without a network.
//!
//! `world` and `notation` are the same for all families; `kin` tells them whose they are.

#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    reason = "several tests include this, each uses a part; a panic is how a test fails"
)]

pub mod making;
pub mod messages;
pub mod notation;
pub mod server;
pub mod world;

/// The family whose world it is.
pub mod kin {
    pub use forebay_postgres::Postgres as Kind;
    pub use forebay_postgres::backend::Backend as State;
    pub use forebay_postgres::engine::Shared;
    pub use forebay_postgres::login_cache::Work;
    pub use forebay_postgres::session::Session;

    /// Whether bytes may lie there without a word: what comes behind Terminate is nobody's, and Terminate itself waits for answers.
    pub fn waits(input: &[u8], _: Option<&State>) -> bool {
        input[0] == b'X'
    }
}
