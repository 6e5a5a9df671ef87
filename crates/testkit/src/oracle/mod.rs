//! The differential oracle: session programs played on a database directly and through Forebay, every reply compared.
//!
//! - [`program`]: what is played: sessions that open, send and close, step by step. [`script`] holds written ones, [`grammar`]
//!   makes random ones from a seed.
//! - [`connection`]: a blocking client that speaks the protocol's messages; [`replies`] knows which of them are still due and
//!   writes a reply as a line, with what must differ masked.
//! - [`player`]: plays a program on one side; [`mod@bench`] is a pair of sides with their databases, and compares.
//! - [`mysql`]: the same for MySQL and MariaDB, whose protocol and SQL are others.
//! - [`shrink`]: leaves out steps of a program that differs for as long as it still differs. [`known`] are the differences that
//!   were looked at, with their reasons.
//!
//! Sessions that dirty their backends (neighbours) are part of a program, but only the proxied side plays them. A step is sent
//! when the step before is answered, so a seed repeats a run as far as a real server repeats itself. Unlike the rest of this
//! crate this part uses sockets and real time: its servers are real.

pub mod bench;
pub mod connection;
pub mod grammar;
pub mod known;
pub mod mysql;
pub mod player;
pub mod program;
pub mod replies;
pub mod schema;
pub mod script;
pub mod shrink;
