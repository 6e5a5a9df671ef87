//! TLS as a filter between a driver and protocol code: bytes in, bytes out, no socket and no clock of its own.
//!
//! A [`Filter`] is one connection. Bytes from the wire go in with [`Filter::on_wire`], plaintext comes out and so does whatever must
//! be sent back; plaintext goes the other way with [`Filter::on_plain`]. What all connections of one proxy or one target have in
//! common (certificates, keys, authorities) is read once into [`ServerSettings`] or [`ClientSettings`]; a reload makes new settings
//! for new connections and leaves the old ones alone.
//!
//! `filter` is the machine, `drive` runs rustls for it, `config` turns the snapshot into settings, `verify` decides whether a target's certificate will do,
//! `binding` computes channel binding data. Nothing of rustls shows outside of this module.

mod binding;
mod config;
mod drive;
mod error;
mod filter;
mod verify;

pub use binding::server_end_point;
pub use config::{ClientSettings, ServerSettings};
pub use error::{CertificateFault, TlsError};
pub use filter::{Filter, HANDSHAKE_BYTES_MAX, Progress};

/// The one protocol we offer and accept by ALPN, as PostgreSQL 17 and later name it (IANA registry of ALPN protocol ids).
pub const ALPN_POSTGRESQL: &[u8] = b"postgresql";
