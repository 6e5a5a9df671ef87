//! How a password is proven to a server, and how a client's proof is checked: the authentication methods of MySQL and MariaDB, both sides,
//! as plain values: bytes in, bytes or a named error out.
//!
//! Modules: `native`, `caching_sha2`, `sha256`, `clear` (MySQL's, and MariaDB's), `ed25519`, `parsec` (MariaDB's alone); `rsa` hides a password
//! from those who listen, where there is no TLS; `certificate` proves a self-signed certificate by the password.
//!
//! Invariants: nonces and salts are arguments (only RSA takes randomness, inside aws-lc-rs); comparisons take constant time; what was derived
//! from a password is wiped when dropped and never shown; nothing is derived on the way of a login except where a function is documented
//! as *expensive*. Whoever holds the plaintext can check every method; empty passwords are checked like others.
//!
//! Sources: MySQL's documentation, "Authentication Method" and the pages of the plugins; MariaDB's, "Authentication Plugins".

pub mod caching_sha2;
pub mod certificate;
pub mod clear;
pub mod ed25519;
pub mod native;
pub mod parsec;
pub mod rsa;
pub mod sha256;

use crate::wire::greeting::NONCE_BYTES;
use aws_lc_rs::digest;
use std::fmt;
use zeroize::Zeroizing;

/// Length of the nonces of `client_ed25519` and `parsec`.
pub const LONG_NONCE_BYTES: usize = 32;

/// An authentication method, by the name that goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// `mysql_native_password`: SHA-1. MariaDB's usual one, gone from MySQL 9.
    Native,
    /// `caching_sha2_password`: SHA-256. MySQL's usual one.
    CachingSha2,
    /// `sha256_password`: the password itself, under TLS or RSA. Deprecated by MySQL.
    Sha256,
    /// `mysql_clear_password`: the password itself.
    Clear,
    /// `client_ed25519`: a signature. MariaDB's.
    Ed25519,
    /// `parsec`: a signature by a key that is expensive to derive. MariaDB's since 11.6.
    Parsec,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 6] = [
        Method::Native,
        Method::CachingSha2,
        Method::Sha256,
        Method::Clear,
        Method::Ed25519,
        Method::Parsec,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Native => "mysql_native_password",
            Method::CachingSha2 => "caching_sha2_password",
            Method::Sha256 => "sha256_password",
            Method::Clear => "mysql_clear_password",
            Method::Ed25519 => "client_ed25519",
            Method::Parsec => "parsec",
        }
    }

    /// The method of that name, if it is one of these.
    pub fn from_wire(name: &[u8]) -> Option<Method> {
        Method::ALL
            .into_iter()
            .find(|method| method.as_str().as_bytes() == name)
    }

    /// Whether the nonce has [`LONG_NONCE_BYTES`], and no NUL behind it.
    pub fn has_long_nonce(self) -> bool {
        matches!(self, Method::Ed25519 | Method::Parsec)
    }
}

/// Why a proof cannot be made, or was not understood. None of the values carries bytes of the peer or a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProofError {
    /// The server's word is not one of the method's.
    Unexpected,
    /// The server's public key is none, or shorter than 2048 bits.
    UnusableKey,
    /// The password is too long for the server's public key.
    PasswordTooLong,
    /// The password holds a NUL, which ends passwords on the wire.
    PasswordHoldsNul,
    /// The server wants a derivation that the method does not know, or more of it than it allows.
    UnknownDerivation,
    /// The client's sealed password is none.
    NotSealed,
    /// The library of ciphers failed.
    Library,
}

impl ProofError {
    /// For error messages.
    pub fn as_str(self) -> &'static str {
        match self {
            ProofError::Unexpected => "unexpected message during authentication",
            ProofError::UnusableKey => {
                "the server's public key is not an RSA key of 2048 bits or more"
            }
            ProofError::PasswordTooLong => "the password is too long for the server's public key",
            ProofError::PasswordHoldsNul => "the password holds a zero byte",
            ProofError::UnknownDerivation => {
                "the server asks for a key derivation that is not known"
            }
            ProofError::NotSealed => "the encrypted password cannot be read",
            ProofError::Library => "a cryptographic operation failed",
        }
    }
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for ProofError {}

/// A nonce from random bytes, of the characters that every client takes: printable, neither space nor `$`, one byte each.
///
/// MySQL leaves out NUL, which would end it, and `$`, which parts its stored hashes; Connector/J has refused what is not printable.
pub fn nonce(random: [u8; NONCE_BYTES]) -> [u8; NONCE_BYTES] {
    random.map(|byte| match b'!' + byte % 93 {
        b'$' => b'~',
        printable => printable,
    })
}

/// Whether a client answers that it has no password: with nothing, or with a NUL (`caching_sha2_password` of MySQL's own clients).
pub fn is_empty_answer(answer: &[u8]) -> bool {
    matches!(answer, [] | [0])
}

/// The digest of pieces, one behind the other.
fn digest<const LEN: usize>(
    algorithm: &'static digest::Algorithm,
    pieces: &[&[u8]],
) -> Zeroizing<[u8; LEN]> {
    let mut context = digest::Context::new(algorithm);
    pieces.iter().for_each(|piece| context.update(piece));
    let digest = context.finish();
    Zeroizing::new(digest.as_ref().try_into().expect("LEN is the algorithm's"))
}

fn sha1(pieces: &[&[u8]]) -> Zeroizing<[u8; 20]> {
    digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, pieces)
}

fn sha256(pieces: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    digest(&digest::SHA256, pieces)
}

fn sha512(pieces: &[&[u8]]) -> Zeroizing<[u8; 64]> {
    digest(&digest::SHA512, pieces)
}

fn xor<const LEN: usize>(left: &[u8; LEN], right: &[u8; LEN]) -> Zeroizing<[u8; LEN]> {
    Zeroizing::new(std::array::from_fn(|at| left[at] ^ right[at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_known_by_their_names() {
        for method in Method::ALL {
            assert_eq!(Method::from_wire(method.as_str().as_bytes()), Some(method));
        }
        assert_eq!(Method::from_wire(b"dialog"), None);
        assert_eq!(Method::from_wire(b""), None);
    }

    #[test]
    fn nonces_are_of_characters_that_every_client_takes() {
        for byte in 0..=255 {
            let nonce = nonce([byte; NONCE_BYTES]);
            assert!(nonce.iter().all(|it| it.is_ascii_graphic() && *it != b'$'));
        }
    }

    #[test]
    fn clients_without_a_password_say_so_in_two_ways() {
        assert!(is_empty_answer(b"") && is_empty_answer(b"\0"));
        assert!(!is_empty_answer(b"\0\0") && !is_empty_answer(b"x"));
    }
}
