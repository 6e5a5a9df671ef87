//! A model of PostgreSQL 18 and of its clients, as pure machines: bytes and facts in, bytes out. That of MySQL is [`mysql`].
//!
//! [`Server`] keeps what connections share (the log table, advisory locks, users, limits) and one machine per
//! connection; it follows PostgreSQL's rules for transactions, settings, prepared statements, portals and COPY
//! (protocol documentation, chapter "Message Flow") closely enough that a proxy in between can be judged by it.
//! [`ScriptedClient`] plays a program generated from a seed and checks every reply against its own idea of the
//! session, written apart from the server's. Neither knows sockets, clocks, threads or foreign randomness.

mod backend;
pub mod client;
mod connection;
mod copy;
mod error;
mod evaluate;
mod execute;
mod extended;
mod frontend;
mod gucs;
mod login;
pub mod mysql;
mod probe;
mod rng;
mod server;
mod session;
mod settings;
mod simple;
mod sql;
mod wire;
mod xact;

#[cfg(test)]
mod conversations;
#[cfg(test)]
mod direct;

pub use backend::{Backend, Column};
pub use client::{Ledger, ScriptedClient};
pub use error::{PgError, Severity};
pub use frontend::{Frontend, Named};
pub use rng::SplitMix64;
pub use server::{
    Availability, Commit, ConnectionId, Mixed, Next, Protocol, Server, ServerConfig, User, Wait,
};
pub use wire::{DecodeError, Frame, split_frame};
