//! `mysql_clear_password`, and the password itself wherever a method wants it: with a NUL behind it.
//!
//! Source: MySQL's documentation, "Clear text client plugin". Only ever under TLS; whether there is any is the login's to know.

use super::{ProofError, sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// What a client sends.
///
/// # Errors
/// [`ProofError::PasswordHoldsNul`]: the server would take what is ahead of it for all.
pub fn answer(password: impl AsRef<[u8]>) -> Result<Zeroizing<Vec<u8>>, ProofError> {
    let password = password.as_ref();
    if password.contains(&0) {
        return Err(ProofError::PasswordHoldsNul);
    }
    let mut answer = Zeroizing::new(Vec::with_capacity(password.len() + 1));
    answer.extend_from_slice(password);
    answer.push(0);
    Ok(answer)
}

/// The password in a client's answer: what is ahead of its NUL, which some clients leave out.
pub fn password_of(answer: &[u8]) -> &[u8] {
    match answer {
        [password @ .., 0] => password,
        password => password,
    }
}

/// Whether an answer holds this password; the time it takes depends on the answer alone.
pub fn verify(answer: &[u8], password: impl AsRef<[u8]>) -> bool {
    let given = sha256(&[password_of(answer)]);
    given.ct_eq(sha256(&[password.as_ref()]).as_slice()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_sent_with_a_nul_and_accepted_with_and_without() {
        let sent = answer("pencil").expect("no NUL in it");
        assert_eq!(*sent, b"pencil\0");
        assert!(verify(&sent, "pencil") && verify(b"pencil", "pencil"));
        assert!(verify(b"\0", "") && verify(b"", ""));
    }

    #[test]
    fn other_passwords_are_not_accepted() {
        for wrong in [&b"pencils\0"[..], b"penci\0", b"", b"\0", b"pencil\0\0"] {
            assert!(!verify(wrong, "pencil"), "{wrong:?}");
        }
    }

    #[test]
    fn a_password_that_would_be_cut_is_not_sent() {
        assert_eq!(answer("pen\0cil"), Err(ProofError::PasswordHoldsNul));
    }
}
