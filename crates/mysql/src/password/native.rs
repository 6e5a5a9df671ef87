//! `mysql_native_password`: the stored hash, the answer to a nonce, and its check.
//!
//! `SHA1(password) xor SHA1(nonce || SHA1(SHA1(password)))`; the server keeps `SHA1(SHA1(password))`. Source: MySQL's documentation, "Native
//! Authentication". Weak by today's measure: who sees one login and the stored hash knows `SHA1(password)`, which is as good as the password.

use super::{sha1, xor};
use crate::wire::greeting::NONCE_BYTES;
use std::fmt;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Length of an answer, unless the password is empty.
pub const TOKEN_BYTES: usize = 20;

/// What a client answers to a nonce: nothing if the password is empty.
pub fn answer(password: impl AsRef<[u8]>, nonce: &[u8; NONCE_BYTES]) -> Vec<u8> {
    let password = password.as_ref();
    if password.is_empty() {
        return Vec::new();
    }
    let once = sha1(&[password]);
    let twice = sha1(&[&once[..]]);
    xor(&once, &sha1(&[nonce, &twice[..]])).to_vec()
}

/// `SHA1(SHA1(password))`: what a server keeps, and checks answers with; nothing for an empty password.
#[derive(Clone)]
pub struct NativeHash(Option<Zeroizing<[u8; TOKEN_BYTES]>>);

impl NativeHash {
    /// The hash of a password.
    pub fn of(password: impl AsRef<[u8]>) -> NativeHash {
        let password = password.as_ref();
        NativeHash((!password.is_empty()).then(|| sha1(&[&sha1(&[password])[..]])))
    }

    /// The hash's bytes, unless the password is empty: the stored form for [`certificate`](super::certificate).
    pub fn stored(&self) -> Option<&[u8; TOKEN_BYTES]> {
        self.0.as_deref()
    }

    /// Whether an answer shows that the client knows the password; in constant time.
    pub fn verify(&self, answer: &[u8], nonce: &[u8; NONCE_BYTES]) -> bool {
        let (Some(hash), Ok(token)) = (&self.0, <&[u8; TOKEN_BYTES]>::try_from(answer)) else {
            return self.0.is_none() && answer.is_empty();
        };
        let once = xor(token, &sha1(&[nonce, &hash[..]]));
        sha1(&[&once[..]]).ct_eq(hash.as_slice()).into()
    }
}

impl fmt::Debug for NativeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NativeHash([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &[u8; NONCE_BYTES] = b"abcdefghijklmnopqrst";

    /// PyMySQL: `_auth.scramble_native_password(b"pencil", NONCE)`.
    const TOKEN: [u8; 20] = [
        0x52, 0x79, 0xae, 0xba, 0xa4, 0x56, 0x2b, 0x33, 0x63, 0xb3, 0xe2, 0xc4, 0x32, 0x9e, 0x2c,
        0x19, 0xe8, 0xfb, 0x27, 0x97,
    ];

    #[test]
    fn answers_are_those_of_another_client() {
        assert_eq!(answer("pencil", NONCE), TOKEN);
        assert!(answer("", NONCE).is_empty());
    }

    /// Python: `sha1(sha1(b"pencil").digest())`.
    #[test]
    fn the_hash_is_what_servers_keep() {
        let hash = NativeHash::of("pencil");
        let stored = hash.stored().expect("the password is not empty");
        let expected = [
            0x76, 0x14, 0xbe, 0x58, 0x63, 0x6c, 0x81, 0x0a, 0x9d, 0x89, 0x70, 0xa5, 0x0b, 0x3b,
            0x2a, 0x78, 0x45, 0x04, 0x13, 0xe4,
        ];
        assert_eq!(*stored, expected);
    }

    #[test]
    fn an_answer_is_accepted_only_for_the_same_password_and_nonce() {
        let hash = NativeHash::of("pencil");
        assert!(hash.verify(&TOKEN, NONCE));
        assert!(!hash.verify(&TOKEN, b"abcdefghijklmnopqrsT"));
        assert!(!NativeHash::of("pen").verify(&TOKEN, NONCE));
        for wrong in [&TOKEN[..19], b"", b"\0", &[0; 20], &[0; 21]] {
            assert!(!hash.verify(wrong, NONCE));
        }
    }

    #[test]
    fn an_empty_password_is_proven_by_nothing_alone() {
        let hash = NativeHash::of("");
        assert!(hash.verify(b"", NONCE));
        assert!(!hash.verify(&TOKEN, NONCE) && !hash.verify(&[0; 20], NONCE));
        assert_eq!(hash.stored(), None);
    }

    #[test]
    fn the_hash_is_not_shown_by_debug() {
        let text = format!("{:?}", NativeHash::of("pencil"));
        assert_eq!(text, "NativeHash([redacted])");
    }
}
