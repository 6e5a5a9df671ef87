//! A proof of a certificate by the password: with it clients of MariaDB 11.4 and later trust a certificate that nobody signed.
//!
//! The info of the login's OK packet is the byte 1 and, in hexadecimal, `SHA256(stored form || nonce || SHA256(certificate))`. The client makes
//! the same of its password and of the certificate that it saw, so that nobody who sits between can put his own in. The stored form is that of
//! the method; `caching_sha2_password` has none and cannot prove a certificate: a client that is greeted with it gives up before it answers, so
//! a greeting that is to be trusted names `mysql_native_password`, whatever is asked for then. The nonce is the greeting's 20 bytes, or those of
//! the last request to authenticate by a method with a nonce of 20 bytes; servers send the same twice. Sources: MariaDB's documentation,
//! "OK_Packet" and "Zero-configuration TLS"; `plugins/auth/my_auth.c` of its connector.

use super::sha256;
use crate::wire::greeting::NONCE_BYTES;
use subtle::ConstantTimeEq as _;

/// Length of a proof.
pub const PROOF_BYTES: usize = 65;

/// What a proof begins with.
const MARK: u8 = 1;

/// Length of a certificate's fingerprint: SHA-256 of its DER.
pub const FINGERPRINT_BYTES: usize = 32;

/// The proof for a login's OK packet. `stored` is [`NativeHash::stored`](super::native::NativeHash::stored),
/// [`ed25519::PublicKey::stored`](super::ed25519::PublicKey::stored) or [`parsec::Verifier::stored`](super::parsec::Verifier::stored).
pub fn proof(
    stored: &[u8],
    nonce: &[u8; NONCE_BYTES],
    fingerprint: &[u8; FINGERPRINT_BYTES],
) -> [u8; PROOF_BYTES] {
    // Clients compare text, in capitals.
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digest = sha256(&[stored, nonce, fingerprint]);
    let mut proof = [MARK; PROOF_BYTES];
    for (pair, byte) in proof[1..].chunks_exact_mut(2).zip(digest.iter()) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    proof
}

/// Whether the info of an OK packet is a proof, right or wrong: not for people to read.
pub fn is_proof(info: &[u8]) -> bool {
    info.first() == Some(&MARK)
}

/// Whether the info of a login's OK packet proves the server's certificate to a client that knows the password; in constant time.
pub fn verify(
    info: &[u8],
    stored: &[u8],
    nonce: &[u8; NONCE_BYTES],
    fingerprint: &[u8; FINGERPRINT_BYTES],
) -> bool {
    info.ct_eq(&proof(stored, nonce, fingerprint)).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::password::{ed25519, native};

    const NONCE: &[u8; NONCE_BYTES] = b"abcdefghijklmnopqrst";

    /// Python: `sha256(stored + NONCE + sha256(b"certificate").digest()).hexdigest().upper()`.
    #[test]
    fn proofs_are_those_of_another_library() {
        let fingerprint = *sha256(&[b"certificate"]);
        let hash = native::NativeHash::of("pencil");
        let stored = hash.stored().expect("the password is not empty");
        let made = proof(stored, NONCE, &fingerprint);
        let expected = b"\x018F023A4D0D9A74B4BD5CA1899946F27172390318092AA09BC0F67B239DD5B10F";
        assert_eq!(&made, expected);

        let key = ed25519::PublicKey::of("pencil");
        let made = proof(key.stored(), NONCE, &fingerprint);
        let expected = b"\x01263D2A4180CD0F4BAD9D247BFBDBC9BF529858928DCD6E6D662E0C5572C15C34";
        assert_eq!(&made, expected);
    }

    #[test]
    fn a_proof_holds_for_one_certificate_nonce_and_password() {
        let key = ed25519::PublicKey::of("pencil");
        let info = proof(key.stored(), NONCE, &[7; 32]);
        assert!(is_proof(&info) && verify(&info, key.stored(), NONCE, &[7; 32]));
        assert!(!verify(&info, key.stored(), NONCE, &[8; 32]));
        assert!(!verify(
            &info,
            key.stored(),
            b"abcdefghijklmnopqrsT",
            &[7; 32]
        ));
        let other = ed25519::PublicKey::of("pen");
        assert!(!verify(&info, other.stored(), NONCE, &[7; 32]));
        assert!(!verify(&info[..64], key.stored(), NONCE, &[7; 32]));
        assert!(!is_proof(b"Rows matched: 1") && !is_proof(b""));
    }
}
