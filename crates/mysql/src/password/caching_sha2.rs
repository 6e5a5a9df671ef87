//! `caching_sha2_password`: the answer to a nonce, its check, and the full exchange that a server without the password asks for.
//!
//! `SHA256(password) xor SHA256(SHA256(SHA256(password)) || nonce)`. A server that keeps `SHA256(SHA256(password))` in its cache checks that and
//! says `03`; one that has only the slow hash says `04`, and wants the password: as it is under TLS (or through a socket file), else sealed
//! with its RSA key, which it sends when asked with `02`. Who holds the plaintext can always check the answer. Source: MySQL's
//! documentation, "Caching_sha2_password information", `sql/auth/sha2_password.cc`.

use super::rsa::ExpectKey;
use super::{ProofError, is_empty_answer, sha256, xor};
use crate::wire::greeting::NONCE_BYTES;
use std::fmt;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Length of an answer, unless the password is empty.
pub const TOKEN_BYTES: usize = 32;

/// What a client says to be sent the server's public key.
pub const REQUEST_KEY: u8 = 2;

/// What a server says when the answer was right: an OK packet follows.
pub const ACCEPTED: u8 = 3;

/// What a server says when it wants the password itself.
pub const PASSWORD_WANTED: u8 = 4;

/// What a client answers to a nonce: nothing if the password is empty.
pub fn answer(password: impl AsRef<[u8]>, nonce: &[u8; NONCE_BYTES]) -> Vec<u8> {
    let password = password.as_ref();
    if password.is_empty() {
        return Vec::new();
    }
    let once = sha256(&[password]);
    let twice = sha256(&[&once[..]]);
    xor(&once, &sha256(&[&twice[..], nonce])).to_vec()
}

/// `SHA256(SHA256(password))`: what answers are checked with; nothing for an empty password.
#[derive(Clone)]
pub struct CachedHash(Option<Zeroizing<[u8; TOKEN_BYTES]>>);

impl CachedHash {
    /// The hash of a password.
    pub fn of(password: impl AsRef<[u8]>) -> CachedHash {
        let password = password.as_ref();
        CachedHash((!password.is_empty()).then(|| sha256(&[&sha256(&[password])[..]])))
    }

    /// Whether an answer shows that the client knows the password; in constant time.
    pub fn verify(&self, answer: &[u8], nonce: &[u8; NONCE_BYTES]) -> bool {
        let (Some(hash), Ok(token)) = (&self.0, <&[u8; TOKEN_BYTES]>::try_from(answer)) else {
            return self.0.is_none() && is_empty_answer(answer);
        };
        let once = xor(token, &sha256(&[&hash[..], nonce]));
        sha256(&[&once[..]]).ct_eq(hash.as_slice()).into()
    }
}

impl fmt::Debug for CachedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CachedHash([redacted])")
    }
}

/// A client's state after its answer, as long as no OK packet came.
#[derive(Debug, Clone, Copy)]
pub struct ExpectVerdict {
    nonce: [u8; NONCE_BYTES],
    is_private: bool,
}

/// What a server's verdict on an answer asks for.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing: an OK packet follows.
    Accepted,
    /// The password, as `clear::answer` says it.
    SendPassword,
    /// The password, sealed: ask for the key with [`REQUEST_KEY`].
    AskForKey(ExpectKey),
}

impl ExpectVerdict {
    /// After the answer to this nonce. `is_private` says that nobody can listen: TLS, or a socket file.
    pub fn new(nonce: [u8; NONCE_BYTES], is_private: bool) -> ExpectVerdict {
        ExpectVerdict { nonce, is_private }
    }

    /// The server's next word, as AuthMoreData carries it.
    ///
    /// # Errors
    /// [`ProofError::Unexpected`].
    pub fn on_more(self, data: &[u8]) -> Result<Verdict, ProofError> {
        match (data, self.is_private) {
            ([ACCEPTED], _) => Ok(Verdict::Accepted),
            ([PASSWORD_WANTED], true) => Ok(Verdict::SendPassword),
            ([PASSWORD_WANTED], false) => Ok(Verdict::AskForKey(ExpectKey::new(self.nonce))),
            _ => Err(ProofError::Unexpected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &[u8; NONCE_BYTES] = b"abcdefghijklmnopqrst";

    /// PyMySQL: `_auth.scramble_caching_sha2(b"pencil", NONCE)`.
    const TOKEN: [u8; 32] = [
        0xa4, 0x76, 0x82, 0x37, 0xb0, 0x40, 0xee, 0xf7, 0x29, 0x5d, 0x9c, 0x34, 0x84, 0x5a, 0xfb,
        0x4d, 0x4a, 0xdb, 0xf9, 0x57, 0x1c, 0x70, 0x5e, 0x77, 0xf6, 0x16, 0xca, 0xa2, 0x9f, 0xa4,
        0xed, 0xc8,
    ];

    #[test]
    fn answers_are_those_of_another_client() {
        assert_eq!(answer("pencil", NONCE), TOKEN);
        assert!(answer("", NONCE).is_empty());
    }

    #[test]
    fn an_answer_is_accepted_only_for_the_same_password_and_nonce() {
        let hash = CachedHash::of("pencil");
        assert!(hash.verify(&TOKEN, NONCE));
        assert!(!hash.verify(&TOKEN, b"abcdefghijklmnopqrsT"));
        assert!(!CachedHash::of("pen").verify(&TOKEN, NONCE));
        for wrong in [&TOKEN[..31], b"", b"\0", &[0; 32], &[0; 33]] {
            assert!(!hash.verify(wrong, NONCE));
        }
    }

    #[test]
    fn an_empty_password_is_proven_by_nothing_or_a_nul() {
        let hash = CachedHash::of("");
        assert!(hash.verify(b"", NONCE) && hash.verify(b"\0", NONCE));
        assert!(!hash.verify(&TOKEN, NONCE) && !hash.verify(&[0; 32], NONCE));
    }

    #[test]
    fn the_password_is_sent_only_where_nobody_listens() {
        let open = ExpectVerdict::new(*NONCE, false);
        let private = ExpectVerdict::new(*NONCE, true);
        assert!(matches!(open.on_more(&[3]), Ok(Verdict::Accepted)));
        assert!(matches!(private.on_more(&[4]), Ok(Verdict::SendPassword)));
        assert!(matches!(open.on_more(&[4]), Ok(Verdict::AskForKey(_))));
        for odd in [&[][..], &[5], &[4, 4], &[3, 0]] {
            assert_eq!(open.on_more(odd).err(), Some(ProofError::Unexpected));
        }
    }

    #[test]
    fn the_hash_is_not_shown_by_debug() {
        let text = format!("{:?}", CachedHash::of("pencil"));
        assert_eq!(text, "CachedHash([redacted])");
    }
}
