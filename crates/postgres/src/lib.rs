//! The PostgreSQL engine: wire, logins, exchange, tracking, pinning, without I/O.
//!
//! | file | answers |
//! | --- | --- |
//! | `wire/` | where messages begin and end, and what their fields are |
//! | `client_login.rs`, `backend_login.rs` | who is there, on either side |
//! | `scram/`, `md5_password.rs`, `login_cache.rs` | how a password is proven, and what of it need not be computed again |
//! | `session.rs`, `backend.rs` | what is known of a client and of a database connection |
//! | `welcome.rs` | what a client reads when its login is complete |
//! | `unleased.rs` | what a client without a backend is answered, and when it needs one |
//! | `from_client.rs`, `from_backend.rs`, `relay.rs` | what becomes of each message, either way |
//! | `exchange.rs` | which replies are due, and what each would change |
//! | `tracking.rs`, `reports.rs` | which settings a session and a backend have |
//! | `statements.rs` | which prepared statements they have, and under what names |
//! | `columns.rs` | whether a statement's rows still are what a client was told |
//! | `plain_names.rs` | which of them a backend has under names that clients gave |
//! | `listening.rs`, `listener.rs` | what a session listens on, and the connection that listens for all of them |
//! | `pinning.rs` | why a session keeps its backend |
//! | `probe.rs`, `said.rs` | what code that nobody here reads did to a session, and which statements are looked after |
//! | `customs.rs`, `sequences.rs`, `temporary.rs`, `parting.rs` | what only one server process remembers, or must not keep |
//! | `sql/` | what a statement does to its session |
//! | `errors.rs` | how a refusal reads on the wire |
//! | `engine.rs` | all of this as the engine contract of `forebay-core` |
//!
//! Resetting a backend is a replay (`tracking/difference.rs`), cancelling a question of `engine.rs`.
//!
//! Invariants: no socket, clock, thread or randomness; every size is checked before it is kept; a backend is given on only when
//! `Exchange::is_clean` says so.

pub mod backend;
pub mod backend_login;
pub mod client_login;
pub mod columns;
pub mod customs;
pub mod engine;
pub mod errors;
pub mod exchange;
pub mod from_backend;
pub mod from_client;
pub mod listener;
pub mod listening;
pub mod login_cache;
pub mod md5_password;
pub mod parting;
pub mod pinning;
pub mod plain_names;
pub mod probe;
pub mod relay;
pub mod reports;
pub mod said;
pub mod scram;
pub mod sequences;
pub mod session;
pub mod sql;
pub mod statements;
pub mod temporary;
pub mod tracking;
pub mod unleased;
pub mod welcome;
pub mod wire;

pub use engine::Postgres;
