//! Forebay's control side: what the operator wants, read, checked and turned into snapshots. Moves no client bytes.
//!
//! | module | answers |
//! | --- | --- |
//! | `config` | what a `forebay.toml` says, or everything that is wrong with it |
//! | `connection_url` | what `forebay run postgres://…` means |
//! | `difference` | what changed between two snapshots, for the log |
//! | `files` | the contents of a small file that the operator named |
//! | `certificates` | DER from PEM, and whether key and certificate belong together |
//!
//! Invariants: nothing here opens a socket; a message names files, keys and limits, never a password or a key's bytes; every file
//! is read up to a bound.

mod certificates;
pub mod config;
pub mod connection_url;
mod difference;
mod files;

pub use config::error::{ConfigError, ConfigErrors, Warning};
pub use difference::differences;
