//! The PostgreSQL engine: wire, logins, exchange, tracking, pinning, without I/O.
//!
//! | file | answers |
//! | --- | --- |
//! | `wire/` | where messages begin and end, and what their fields are |
//! | `client_login.rs`, `backend_login.rs` | who is there, on either side |
//! | `scram/`, `md5_password.rs` | how a password is proven |
//! | `sql/` | what a statement does to its session |
//! | `errors.rs` | how a refusal reads on the wire |
//!
//! Invariants: no socket, clock, thread or randomness; every size is checked before it is kept.

pub mod backend;
pub mod backend_login;
pub mod client_login;
pub mod engine;
pub mod errors;
pub mod exchange;
pub mod from_backend;
pub mod from_client;
pub mod login_cache;
pub mod md5_password;
pub mod pinning;
pub mod relay;
pub mod reports;
pub mod scram;
pub mod session;
pub mod sql;
pub mod statements;
pub mod tracking;
pub mod unleased;
pub mod wire;

pub use engine::Postgres;
