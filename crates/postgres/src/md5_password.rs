//! PostgreSQL's MD5 password authentication: the stored hash, the answer to a challenge, and its check.
//!
//! Deprecated by PostgreSQL and weak: the stored hash is as good as the password, and the challenge has four bytes. It
//! is here for databases and drivers that know nothing better; whether it may be used is the login's decision.
//! Source: PostgreSQL's chapter "Message Flow", AuthenticationMD5Password:
//! `"md5" || md5(md5(password || user) || salt)`, digests in lower-case hexadecimal.
use std::fmt;

use md5::{Digest as _, Md5};
use secrecy::SecretString;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// Bytes of a stored hash and of a response: `md5` and 32 hexadecimal digits.
pub const MD5_TEXT_BYTES: usize = 35;

/// `"md5" || md5(password || user)`: what PostgreSQL stores, and all that logging in takes.
#[derive(Clone)]
pub struct Md5Hash(Zeroizing<[u8; MD5_TEXT_BYTES]>);

impl Md5Hash {
    /// The hash of a password of that user. The password is used as it is, without SASLprep.
    pub fn of(user: impl AsRef<[u8]>, password: impl AsRef<[u8]>) -> Md5Hash {
        Md5Hash(md5_text(password.as_ref(), user.as_ref()))
    }

    /// Reads a stored hash; `None` unless it is `md5` and 32 lower-case hexadecimal digits, PostgreSQL's own test.
    pub fn parse(text: &str) -> Option<Md5Hash> {
        let text: &[u8; MD5_TEXT_BYTES] = text.as_bytes().try_into().ok()?;
        let digits = text.strip_prefix(b"md5")?;
        digits
            .iter()
            .all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f'))
            .then(|| Md5Hash(Zeroizing::new(*text)))
    }

    /// The stored form, which [`parse`](Self::parse) reads.
    pub fn to_secret(&self) -> SecretString {
        str::from_utf8(self.0.as_slice())
            .expect("hexadecimal digits are ASCII")
            .into()
    }

    /// What a client answers to a challenge: the text of PasswordMessage, without its terminating zero.
    pub fn response(&self, salt: [u8; 4]) -> [u8; MD5_TEXT_BYTES] {
        *md5_text(&self.0[3..], &salt)
    }

    /// Whether a client's answer (without its terminating zero) shows that it knows this hash; in constant time.
    pub fn verify_response(&self, response: &[u8], salt: [u8; 4]) -> bool {
        self.response(salt).ct_eq(response).into()
    }

    /// Whether a password received in clear text is the one hashed here; in constant time.
    pub fn matches(&self, user: impl AsRef<[u8]>, password: impl AsRef<[u8]>) -> bool {
        Md5Hash::of(user, password)
            .0
            .ct_eq(self.0.as_slice())
            .into()
    }
}

impl fmt::Debug for Md5Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Md5Hash([redacted])")
    }
}

/// `"md5"` and the digest of both pieces in hexadecimal.
fn md5_text(first: &[u8], second: &[u8]) -> Zeroizing<[u8; MD5_TEXT_BYTES]> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = Md5::new()
        .chain_update(first)
        .chain_update(second)
        .finalize();
    let mut text = Zeroizing::new([0; MD5_TEXT_BYTES]);
    text[..3].copy_from_slice(b"md5");
    for (pair, byte) in text[3..].chunks_exact_mut(2).zip(digest) {
        pair.copy_from_slice(&[
            DIGITS[usize::from(byte >> 4)],
            DIGITS[usize::from(byte & 15)],
        ]);
    }
    text
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    /// What PostgreSQL 15 stored for user `m` with password `pencil`.
    const STORED: &str = "md58bbf3f45673bf67d02e4214911f3417f";

    #[test]
    fn hashes_equal_those_that_postgresql_stores() {
        assert_eq!(
            Md5Hash::of("m", "pencil").to_secret().expose_secret(),
            STORED
        );
        assert_eq!(
            Md5Hash::parse(STORED)
                .expect("it is a hash")
                .to_secret()
                .expose_secret(),
            STORED
        );
    }

    #[test]
    fn the_answer_to_a_challenge_is_accepted_only_for_the_same_hash_and_salt() {
        let hash = Md5Hash::parse(STORED).expect("it is a hash");
        let response = hash.response([1, 2, 3, 4]);
        assert!(hash.verify_response(&response, [1, 2, 3, 4]));
        assert!(!hash.verify_response(&response, [1, 2, 3, 5]));
        assert!(!Md5Hash::of("m", "pen").verify_response(&response, [1, 2, 3, 4]));
        assert!(!hash.verify_response(&response[..34], [1, 2, 3, 4]));
        assert!(!hash.verify_response(b"", [1, 2, 3, 4]));
        assert!(!hash.verify_response(STORED.as_bytes(), [1, 2, 3, 4]));
    }

    #[test]
    fn clear_text_passwords_are_checked_against_the_hash() {
        let hash = Md5Hash::parse(STORED).expect("it is a hash");
        assert!(hash.matches("m", "pencil"));
        assert!(!hash.matches("m", "pen"));
        assert!(!hash.matches("n", "pencil"));
    }

    #[test]
    fn texts_that_are_no_hash_are_passwords() {
        let upper_case = STORED.to_uppercase();
        for text in [
            "",
            "md5",
            "pencil",
            &STORED[..34],
            &format!("{STORED}0"),
            &upper_case,
            &STORED.replace('8', "g"),
        ] {
            assert!(Md5Hash::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_hash_is_not_shown_by_debug() {
        assert_eq!(
            format!("{:?}", Md5Hash::of("m", "pencil")),
            "Md5Hash([redacted])"
        );
    }
}
