//! What tests of the whole engine share: `world` obeys its orders as a worker would, `messages` writes the protocol as text and
//! back, `talk` follows a connection by its bytes alone, `frames` is a client whose connection is compressed, `making` brings clients and backends into being without a network.
//!
//! `world` and `notation` are those of the PostgreSQL engine's tests; `kin` tells them whose they are.

#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "several tests include this, each uses a part; a panic is how a test fails"
)]

pub mod frames;
pub mod making;
pub mod messages;
#[path = "../../../postgres/tests/support/notation.rs"]
pub mod notation;
pub mod talk;
#[path = "../../../postgres/tests/support/world.rs"]
pub mod world;

/// The family whose world it is.
pub mod kin {
    pub use forebay_mysql::Mysql as Kind;
    pub use forebay_mysql::backend::Backend as State;
    pub use forebay_mysql::engine::Shared;
    pub use forebay_mysql::login_cache::Work;
    pub use forebay_mysql::session::Session;

    /// Bytes of a header, a command and the number of a statement.
    const BEGINNING_BYTES: usize = 9;

    /// Whether bytes may lie there without a word: the beginning of a packet, and a command behind one that is not answered.
    pub fn waits(input: &[u8], backend: Option<&State>) -> bool {
        let is_busy = |backend: &State| backend.holding || !backend.exchange.is_empty();
        input.len() < BEGINNING_BYTES || backend.is_some_and(is_busy)
    }
}
