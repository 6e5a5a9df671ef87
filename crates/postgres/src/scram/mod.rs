//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, both sides, as plain values: bytes in, bytes or a named error out.
//!
//! Modules: `server` authenticates our client ([`ServerFirst`] then [`ExpectProof`]); `client` logs in to a database
//! ([`ClientFirst`], [`NeedKeys`], [`ExpectServerFinal`]); `keys` and `verifier` are what each side knows instead of a
//! password; `password` is SASLprep as PostgreSQL does it; `attributes` reads `a=value,…` lists; `error` names every no.
//!
//! Invariants: no randomness inside (nonces and salts are arguments); nothing is derived from a password on the way of
//! a login except where a function is documented as *expensive*, so that the caller can run it off its event loop and
//! cache the result; every state is consumed by the fact it waits for, so a proof can be tried once per exchange.
//!
//! Sources: RFC 5802, RFC 7677, RFC 5929 (`tls-server-end-point`), PostgreSQL's chapter "SASL Authentication".
mod attributes;
mod client;
mod error;
mod keys;
mod password;
mod server;
#[cfg(test)]
mod tests;
mod verifier;

pub use client::{ClientBinding, ClientFirst, ExpectServerFinal, NeedKeys};
pub use error::{Part, ScramError};
pub use keys::ClientKeys;
pub use password::password_bytes;
pub use server::{Authenticated, ExpectProof, ServerFirst};
pub use verifier::Verifier;

use std::num::NonZeroU32;

/// Random bytes each side puts into its nonce (base64 makes 24 characters of them), as PostgreSQL does.
pub const NONCE_BYTES: usize = 18;

/// Salt bytes PostgreSQL generates, and what a mock verifier shows.
pub const SALT_BYTES_DEFAULT: usize = 16;

/// Longest salt accepted from a database or a stored verifier, in bytes.
pub const SALT_BYTES_MAX: usize = 1024;

/// Iterations of PostgreSQL's verifiers unless `scram_iterations` says otherwise; also RFC 7677's minimum.
pub const ITERATIONS_DEFAULT: NonZeroU32 = NonZeroU32::new(4096).expect("4096 is not zero");

/// The default for the most iterations we let a database ask of us: 0.1 to 0.4 seconds of one core, by machine.
pub const ITERATIONS_MAX_DEFAULT: NonZeroU32 =
    NonZeroU32::new(1_000_000).expect("a million is not zero");

/// Longest message accepted from a client, in bytes: PostgreSQL's own limit for SASL messages.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 1024;

/// Longest message accepted from a database, in bytes: the longest salt in base64, a nonce and room for extensions.
pub const SERVER_MESSAGE_BYTES_MAX: usize = 4096;

/// The only channel binding type PostgreSQL knows (RFC 5929 section 4).
const TLS_SERVER_END_POINT: &[u8] = b"tls-server-end-point";

/// A SASL mechanism of this family, as offered in AuthenticationSASL and chosen in SASLInitialResponse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// `SCRAM-SHA-256`: no channel binding.
    ScramSha256,
    /// `SCRAM-SHA-256-PLUS`: bound to the TLS channel by the hash of the server's certificate.
    ScramSha256Plus,
}

impl Mechanism {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }

    /// The mechanism of that name on the wire, if it is one of these two.
    pub fn from_wire(name: &[u8]) -> Option<Mechanism> {
        [Mechanism::ScramSha256, Mechanism::ScramSha256Plus]
            .into_iter()
            .find(|m| m.as_str().as_bytes() == name)
    }
}
