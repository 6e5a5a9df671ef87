//! `sha256_password`: the password itself, under TLS as it is, else sealed with the server's RSA key.
//!
//! A client under TLS answers with the password and a NUL; one without asks for the key with `01`, unless it has it. A socket file does not
//! count as private here, other than for `caching_sha2_password`. Source: MySQL's documentation, "SHA-256 Authentication Method". Deprecated;
//! a server that can check `caching_sha2_password` asks for that instead.

use super::clear;
use super::rsa::ExpectKey;
use crate::wire::greeting::NONCE_BYTES;
use zeroize::Zeroizing;

/// What a client says to be sent the server's public key.
pub const REQUEST_KEY: u8 = 1;

/// What a client answers to a nonce.
#[derive(Debug)]
pub enum Answer {
    /// The password, or the NUL that says that it is empty.
    Password(Zeroizing<Vec<u8>>),
    /// [`REQUEST_KEY`].
    AskForKey(ExpectKey),
}

impl Answer {
    /// The answer.
    ///
    /// # Errors
    /// [`ProofError::PasswordHoldsNul`](super::ProofError::PasswordHoldsNul).
    pub fn new(
        password: impl AsRef<[u8]>,
        nonce: &[u8; NONCE_BYTES],
        is_tls: bool,
    ) -> Result<Answer, super::ProofError> {
        let password = password.as_ref();
        if is_tls || password.is_empty() {
            return clear::answer(password).map(Answer::Password);
        }
        Ok(Answer::AskForKey(ExpectKey::new(*nonce)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_sent_only_where_nobody_listens() {
        let nonce = b"abcdefghijklmnopqrst";
        let Ok(Answer::Password(sent)) = Answer::new("pencil", nonce, true) else {
            panic!("under TLS the password is sent");
        };
        assert_eq!(*sent, b"pencil\0");
        let Ok(Answer::Password(sent)) = Answer::new("", nonce, false) else {
            panic!("that there is none is no secret");
        };
        assert_eq!(*sent, b"\0");
        assert!(matches!(
            Answer::new("pencil", nonce, false),
            Ok(Answer::AskForKey(_))
        ));
    }
}
