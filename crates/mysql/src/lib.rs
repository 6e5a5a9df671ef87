//! The MySQL and MariaDB engine: wire, logins, exchange, tracking, pinning, without I/O. The sibling of `forebay-postgres`.
//!
//! | file | answers |
//! | --- | --- |
//! | `wire/` | where packets and messages begin and end, and what their fields are |
//!
//! Invariants: no socket, clock, thread or randomness; every size is checked before it is kept.

pub mod wire;
