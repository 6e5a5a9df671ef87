//! What a SCRAM server stores instead of a password, in PostgreSQL's own form (`pg_authid.rolpassword`).
//!
//! A verifier cannot log in, but it lets its holder guess passwords and pose as the server, so it is never shown
//! except by [`Verifier::to_secret`]. Users that do not exist get a [mock](Verifier::mock) that no proof satisfies.
use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::attributes::{decode_iterations, decode_key, decode_salt};
use super::keys::{ClientKeys, Key, hmac_sha256};
use super::{Mechanism, Part, SALT_BYTES_DEFAULT, SALT_BYTES_MAX, ScramError};

/// A stored SCRAM-SHA-256 secret: enough to authenticate a client, not to be one.
#[derive(Clone)]
pub struct Verifier {
    iterations: NonZeroU32,
    /// 1 to `SALT_BYTES_MAX` bytes.
    salt: Box<[u8]>,
    stored_key: Key,
    server_key: Key,
}

impl Verifier {
    /// Reads `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
    ///
    /// # Errors
    /// [`ScramError::Malformed`] with [`Part::Verifier`] for any other form, [`ScramError::SaltTooLong`].
    pub fn parse(text: &str) -> Result<Verifier, ScramError> {
        let (iterations, salt, stored_key, server_key) =
            split(text).ok_or(ScramError::Malformed(Part::Verifier))?;
        Ok(Verifier {
            iterations: decode_iterations(iterations.as_bytes(), Part::Verifier)?,
            salt: decode_salt(salt.as_bytes(), Part::Verifier)?,
            stored_key: Zeroizing::new(decode_key(stored_key.as_bytes(), Part::Verifier)?),
            server_key: Zeroizing::new(decode_key(server_key.as_bytes(), Part::Verifier)?),
        })
    }

    /// Derives the verifier of a password. **Expensive**, as [`ClientKeys::derive`] is: run it off the event loop and
    /// cache the result.
    ///
    /// # Errors
    /// [`ScramError::Malformed`] when the salt is empty, [`ScramError::SaltTooLong`].
    pub fn derive(
        password: impl AsRef<[u8]>,
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Result<Verifier, ScramError> {
        match salt.len() {
            0 => return Err(ScramError::Malformed(Part::Salt)),
            1..=SALT_BYTES_MAX => {}
            _ => return Err(ScramError::SaltTooLong),
        }
        let keys = ClientKeys::derive(password, salt, iterations);
        Ok(Verifier {
            iterations,
            salt: salt.into(),
            stored_key: keys.stored_key().clone(),
            server_key: keys.server_key().clone(),
        })
    }

    /// A verifier for a user that does not exist: the same salt for the same name each time, so that the exchange looks
    /// like a real one, and keys that no password has.
    ///
    /// `process_secret` is random, drawn once, and should outlive restarts: a salt that changes gives the mock away.
    /// `iterations` should be those of real users.
    pub fn mock(username: &str, process_secret: &[u8; 32], iterations: NonZeroU32) -> Verifier {
        let of = |purpose: &[u8]| hmac_sha256(process_secret, &[purpose, username.as_bytes()]);
        Verifier {
            iterations,
            salt: of(b"salt ")[..SALT_BYTES_DEFAULT].into(),
            stored_key: of(b"stored "),
            server_key: of(b"server "),
        }
    }

    /// Whether this is the verifier of that password. **Expensive**, as deriving is; the comparison takes constant time.
    ///
    /// For clients that send their password in clear text.
    pub fn matches(&self, password: impl AsRef<[u8]>) -> bool {
        let keys = ClientKeys::derive(password, &self.salt, self.iterations);
        keys.stored_key().ct_eq(self.stored_key.as_slice()).into()
    }

    /// PostgreSQL's text form, which [`parse`](Self::parse) reads.
    pub fn to_secret(&self) -> SecretString {
        let stored_key = Zeroizing::new(STANDARD.encode(*self.stored_key));
        let server_key = Zeroizing::new(STANDARD.encode(*self.server_key));
        let salt = STANDARD.encode(&self.salt);
        let mechanism = Mechanism::ScramSha256.as_str();
        format!(
            "{mechanism}${}:{salt}${}:{}",
            self.iterations, *stored_key, *server_key
        )
        .into()
    }

    /// How many iterations the client has to run.
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// The salt the client has to use.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    pub(super) fn stored_key(&self) -> &Key {
        &self.stored_key
    }

    pub(super) fn server_key(&self) -> &Key {
        &self.server_key
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// Iterations, salt, StoredKey and ServerKey, still encoded.
fn split(text: &str) -> Option<(&str, &str, &str, &str)> {
    let mut parts = text.split('$');
    let (mechanism, work, keys) = (parts.next()?, parts.next()?, parts.next()?);
    if mechanism != Mechanism::ScramSha256.as_str() || parts.next().is_some() {
        return None;
    }
    let (iterations, salt) = work.split_once(':')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    Some((iterations, salt, stored_key, server_key))
}
