//! Passwords sealed with RSA, for `caching_sha2_password` and `sha256_password` without TLS: hidden from those who listen, not from somebody
//! who puts his own key in the server's place.
//!
//! The password and its NUL, xor the nonce over and over, encrypted as RSAES-OAEP with SHA-1; the key goes over the wire as PEM. Sources: MySQL's
//! documentation, "Caching_sha2_password information"; `sql/auth/sha2_password.cc`. aws-lc-rs takes the randomness that OAEP wants, and decrypts
//! in constant time.

use super::{ProofError, clear};
use crate::wire::greeting::NONCE_BYTES;
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use zeroize::Zeroizing;

const BEGIN: &[u8] = b"-----BEGIN PUBLIC KEY-----";
const END: &[u8] = b"-----END PUBLIC KEY-----";

/// Longest key that is read, in PEM: one of 16384 bits takes less.
pub const PEM_BYTES_MAX: usize = 4096;

/// Characters of base64 in a line of PEM (RFC 7468 section 2).
const PEM_LINE: usize = 64;

/// A client's state after it asked for the server's key.
#[derive(Debug)]
pub struct ExpectKey {
    nonce: [u8; NONCE_BYTES],
}

impl ExpectKey {
    /// For the nonce that the answer was made with.
    pub fn new(nonce: [u8; NONCE_BYTES]) -> ExpectKey {
        ExpectKey { nonce }
    }

    /// The server's key, as AuthMoreData carries it; the result is what to send.
    ///
    /// # Errors
    /// [`ProofError::UnusableKey`], [`ProofError::PasswordTooLong`], [`ProofError::PasswordHoldsNul`], [`ProofError::Library`].
    pub fn on_key(self, pem: &[u8], password: impl AsRef<[u8]>) -> Result<Vec<u8>, ProofError> {
        PublicKey::from_pem(pem)?.seal(password, &self.nonce)
    }
}

/// A server's public key.
#[derive(Debug)]
pub struct PublicKey(OaepPublicEncryptingKey);

impl PublicKey {
    /// Reads a key.
    ///
    /// # Errors
    /// [`ProofError::UnusableKey`].
    pub fn from_pem(pem: &[u8]) -> Result<PublicKey, ProofError> {
        let der = der_of(pem).ok_or(ProofError::UnusableKey)?;
        PublicEncryptingKey::from_der(&der)
            .ok()
            .and_then(|key| OaepPublicEncryptingKey::new(key).ok())
            .map(PublicKey)
            .ok_or(ProofError::UnusableKey)
    }

    /// Seals a password.
    ///
    /// # Errors
    /// [`ProofError::PasswordTooLong`], [`ProofError::PasswordHoldsNul`], [`ProofError::Library`].
    pub fn seal(
        &self,
        password: impl AsRef<[u8]>,
        nonce: &[u8; NONCE_BYTES],
    ) -> Result<Vec<u8>, ProofError> {
        let mut hidden = clear::answer(password)?;
        if hidden.len() > self.0.max_plaintext_size(&OAEP_SHA1_MGF1SHA1) {
            return Err(ProofError::PasswordTooLong);
        }
        apply(&mut hidden, nonce);
        let mut sealed = vec![0; self.0.ciphertext_size()];
        let len = self
            .0
            .encrypt(&OAEP_SHA1_MGF1SHA1, &hidden, &mut sealed, None)
            .map_err(|_| ProofError::Library)?
            .len();
        sealed.truncate(len);
        Ok(sealed)
    }
}

/// A server's key pair.
pub struct KeyPair {
    private: OaepPrivateDecryptingKey,
    pem: String,
}

impl KeyPair {
    /// Makes a key of 2048 bits, as MySQL does, with randomness of the library's. **Expensive**: a tenth of a second and up; once for a
    /// process, off the event loop.
    ///
    /// # Errors
    /// [`ProofError::Library`].
    pub fn generate() -> Result<KeyPair, ProofError> {
        PrivateDecryptingKey::generate(KeySize::Rsa2048)
            .ok()
            .and_then(KeyPair::of)
            .ok_or(ProofError::Library)
    }

    /// Reads a private key in PKCS #8.
    ///
    /// # Errors
    /// [`ProofError::UnusableKey`].
    pub fn from_pkcs8(der: &[u8]) -> Result<KeyPair, ProofError> {
        PrivateDecryptingKey::from_pkcs8(der)
            .ok()
            .and_then(KeyPair::of)
            .ok_or(ProofError::UnusableKey)
    }

    fn of(private: PrivateDecryptingKey) -> Option<KeyPair> {
        let public: PublicKeyX509Der<'_> = private.public_key().as_der().ok()?;
        Some(KeyPair {
            pem: pem_of(public.as_ref()),
            private: OaepPrivateDecryptingKey::new(private).ok()?,
        })
    }

    /// The public key, as clients are sent it.
    pub fn public_pem(&self) -> &str {
        &self.pem
    }

    /// The password that a client sealed.
    ///
    /// # Errors
    /// [`ProofError::NotSealed`]; what is wrong with it is not told.
    pub fn open(
        &self,
        sealed: &[u8],
        nonce: &[u8; NONCE_BYTES],
    ) -> Result<Zeroizing<Vec<u8>>, ProofError> {
        let mut opened = Zeroizing::new(vec![0; self.private.min_output_size()]);
        let len = self
            .private
            .decrypt(&OAEP_SHA1_MGF1SHA1, sealed, &mut opened, None)
            .map_err(|_| ProofError::NotSealed)?
            .len();
        opened.truncate(len);
        apply(&mut opened, nonce);
        match opened.pop() {
            Some(0) => Ok(opened),
            _ => Err(ProofError::NotSealed),
        }
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").finish_non_exhaustive()
    }
}

/// Hides or shows a password.
fn apply(password: &mut [u8], nonce: &[u8; NONCE_BYTES]) {
    for (byte, mask) in password.iter_mut().zip(nonce.iter().cycle()) {
        *byte ^= mask;
    }
}

/// The bytes between the lines of a PEM; whatever stands around them is passed over.
fn der_of(pem: &[u8]) -> Option<Vec<u8>> {
    let pem = pem.get(..pem.len().min(PEM_BYTES_MAX))?;
    let begin = memchr::memmem::find(pem, BEGIN)? + BEGIN.len();
    let text = &pem[begin..];
    let text = &text[..memchr::memmem::find(text, END)?];
    let text: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    STANDARD.decode(text).ok()
}

fn pem_of(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::with_capacity(text.len() + text.len() / PEM_LINE + 56);
    pem.push_str("-----BEGIN PUBLIC KEY-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(PEM_LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str("-----END PUBLIC KEY-----\n");
    pem
}

#[cfg(test)]
mod tests;
