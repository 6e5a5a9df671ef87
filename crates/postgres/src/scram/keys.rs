//! What a SCRAM client knows instead of a password: the three keys of RFC 5802 section 3, and the arithmetic on them.
//!
//! ```text
//! SaltedPassword  = PBKDF2-HMAC-SHA-256(password, salt, iterations)      expensive, on purpose
//! ClientKey       = HMAC(SaltedPassword, "Client Key")     StoredKey = SHA-256(ClientKey)
//! ServerKey       = HMAC(SaltedPassword, "Server Key")
//! ClientProof     = ClientKey xor HMAC(StoredKey, AuthMessage)
//! ServerSignature = HMAC(ServerKey, AuthMessage)
//! ```
use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac, pbkdf2};
use zeroize::Zeroizing;

use super::password_bytes;

/// A 32-byte secret that is overwritten when dropped.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// The keys that log in to any server holding the verifier of the same (password, salt, iterations).
///
/// As powerful as the password towards those servers: never shown, overwritten on drop. Cache it by (credential, salt,
/// iterations) so that a login costs two HMACs instead of a derivation.
#[derive(Clone)]
pub struct ClientKeys {
    client_key: Key,
    server_key: Key,
    stored_key: Key,
}

impl ClientKeys {
    /// Derives the keys. **Expensive**: about half a millisecond at 4096 iterations and linear in them; run it off the
    /// event loop and cache the result.
    ///
    /// The password is prepared as [`password_bytes`] does.
    pub fn derive(password: impl AsRef<[u8]>, salt: &[u8], iterations: NonZeroU32) -> ClientKeys {
        let mut salted_password = Zeroizing::new([0; 32]);
        let password = password_bytes(password);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            salt,
            &password,
            &mut *salted_password,
        );
        let client_key = hmac_sha256(&salted_password, &[b"Client Key"]);
        let server_key = hmac_sha256(&salted_password, &[b"Server Key"]);
        ClientKeys {
            stored_key: sha256(&client_key),
            client_key,
            server_key,
        }
    }

    /// The keys of a client that has just proved to know `client_key`.
    pub(super) fn proven(client_key: Key, stored_key: &Key, server_key: &Key) -> ClientKeys {
        ClientKeys {
            client_key,
            stored_key: stored_key.clone(),
            server_key: server_key.clone(),
        }
    }

    pub(super) fn stored_key(&self) -> &Key {
        &self.stored_key
    }

    pub(super) fn server_key(&self) -> &Key {
        &self.server_key
    }

    /// ClientProof over an AuthMessage given in pieces.
    pub(super) fn proof(&self, auth_message: &[&[u8]]) -> [u8; 32] {
        *xor(
            &self.client_key,
            &hmac_sha256(&self.stored_key, auth_message),
        )
    }
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientKeys([redacted])")
    }
}

/// HMAC-SHA-256 over the concatenation of `pieces`.
pub(super) fn hmac_sha256(key: &[u8; 32], pieces: &[&[u8]]) -> Key {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for piece in pieces {
        context.update(piece);
    }
    array(context.sign().as_ref())
}

pub(super) fn sha256(bytes: &[u8; 32]) -> Key {
    array(digest::digest(&digest::SHA256, bytes).as_ref())
}

pub(super) fn xor(left: &[u8; 32], right: &[u8; 32]) -> Key {
    Zeroizing::new(std::array::from_fn(|i| left[i] ^ right[i]))
}

fn array(bytes: &[u8]) -> Key {
    Zeroizing::new(bytes.try_into().expect("SHA-256 makes 32 bytes"))
}
