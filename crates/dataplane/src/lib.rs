//! Workers, drivers, TLS, sessions and backends: the only crate that moves client bytes.
//!
//! What crosses threads: immutable snapshots, the connection budget of each target, letters between workers (`mailbox`), results of
//! slow work (`workshop`), counters and events. Nothing else; a query touches one thread.

pub mod buffer;
pub mod clock;
pub mod driver;
mod socket;
pub mod tls;
