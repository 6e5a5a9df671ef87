//! The differential oracle for MySQL and MariaDB, the sibling of what stands beside this folder for PostgreSQL.
//!
//! - [`program`]: what is played. [`script`] holds written programs, [`grammar`] makes random ones from a seed.
//! - [`connection`]: a blocking client of the protocol; [`replies`] knows where an answer ends and writes its packets as lines.
//! - [`player`]: plays a program on one side; [`mod@bench`] is a pair of sides with their databases ([`schema`]), and compares.
//!
//! Both sides are on one server: texts of programs say `db_` where the names of databases differ, see [`player::Side`].

pub mod bench;
pub mod connection;
pub mod grammar;
pub mod player;
pub mod program;
pub mod replies;
pub mod schema;
pub mod script;

/// The committed list of known differences, for [`super::known::read`].
pub const KNOWN: &str = include_str!("known.txt");
