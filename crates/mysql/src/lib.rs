//! The MySQL and MariaDB engine: wire, logins, exchange, tracking, pinning, without I/O. The sibling of `forebay-postgres`.
//!
//! | file | answers |
//! | --- | --- |
//! | `sql/` | what the text of a command does to its session |
//! | `wire/` | where packets and messages begin and end, and what their fields are |
//! | `password/` | how a password is proven, by each authentication method and on either side |
//! | `handshake.rs` | what the two ends agree on for good, as a number |
//! | `client_login.rs`, `backend_login.rs` | who is there; who are we |
//! | `engine.rs` | which machine a fact concerns: the engine contract |
//! | `from_client.rs`, `unleased.rs` | a client's commands, with a backend and without |
//! | `from_backend.rs`, `exchange.rs` | a backend's answers: whose they are, where they end, what follows from them |
//! | `sql/`, `judging.rs` | what a text does, in the terms of the files below |
//! | `tracking.rs`, `statements.rs`, `pinning.rs`, `told.rs` | what follows a session, what keeps its backend, what servers report |
//! | `parting.rs` | what a backend must not take along |
//!
//! Invariants: no socket, clock, thread or randomness, but for what RSA takes inside its library; every size is checked before it is kept.

pub mod backend;
pub mod backend_login;
pub mod client_login;
pub mod engine;
pub mod errors;
pub mod exchange;
pub mod from_backend;
pub mod from_client;
pub mod handshake;
pub mod judging;
pub mod left_behind;
pub mod login_cache;
pub mod parting;
pub mod password;
pub mod pinning;
mod reading_back;
pub mod server;
pub mod session;
pub mod sql;
pub mod statements;
pub mod told;
pub mod tracking;
pub mod unleased;
pub mod wire;

pub use engine::Mysql;
