//! A model of MySQL 9 or MariaDB 10.11 and of its clients, as pure machines: bytes and facts in, bytes out. The sibling of the PostgreSQL
//! model around it.
//!
//! [`Server`] keeps what connections share (the log table, named locks, users, limits) and one machine per connection; it follows MySQL's
//! rules for transactions, settings, user variables, character sets, databases, prepared statements and session tracking closely enough
//! that a proxy in between can be judged by it. [`client`] plays programs generated from a seed and checks every reply against its own idea
//! of the session, written apart from the server's. Packets are read and written by the engine's own wire module, which has tests of its
//! own; what they mean is known here apart.

pub mod client;
mod connection;
mod execute;
mod prepared;
mod reply;
mod select;
mod server;
mod session;
mod sql;
mod statements;
mod transaction;
mod variables;

pub use server::{Flavor, Server, ServerConfig};
