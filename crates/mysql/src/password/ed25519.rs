//! `client_ed25519` of MariaDB: an Ed25519 signature of a nonce by a key made of the password.
//!
//! The standard hashes a seed of 32 bytes into scalar and prefix (RFC 8032 section 5.1.5); here the password itself is hashed, of whatever length.
//! All else is the standard's, so that signatures are checked by an ordinary library, and a password of 32 bytes is an ordinary seed.
//! Sources: MariaDB's documentation, "Authentication Plugin - ed25519"; `plugin/auth_ed25519`.

use super::{LONG_NONCE_BYTES, sha512};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use std::fmt;
use zeroize::Zeroizing;

/// Length of a signature, which is the whole answer.
pub const SIGNATURE_BYTES: usize = 64;

/// Length of a public key.
pub const PUBLIC_KEY_BYTES: usize = 32;

/// What signs: as good as the password.
pub struct SigningKey {
    scalar: Zeroizing<Scalar>,
    prefix: Zeroizing<[u8; 32]>,
    public: [u8; PUBLIC_KEY_BYTES],
}

impl SigningKey {
    /// The key of a password. Takes about a tenth of a millisecond.
    pub fn of(password: impl AsRef<[u8]>) -> SigningKey {
        let hash = sha512(&[password.as_ref()]);
        let (scalar, prefix) = hash.split_at(32);
        let half = |bytes: &[u8]| -> Zeroizing<[u8; 32]> {
            Zeroizing::new(bytes.try_into().expect("half of 64 bytes"))
        };
        let clamped = Zeroizing::new(clamp_integer(*half(scalar)));
        let scalar = Zeroizing::new(Scalar::from_bytes_mod_order(*clamped));
        SigningKey {
            public: EdwardsPoint::mul_base(&scalar).compress().to_bytes(),
            scalar,
            prefix: half(prefix),
        }
    }

    /// What checks its signatures.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.public)
    }

    /// What a client answers to a nonce (RFC 8032 section 5.1.6). Takes about a tenth of a millisecond.
    pub fn sign(&self, nonce: &[u8; LONG_NONCE_BYTES]) -> [u8; SIGNATURE_BYTES] {
        let blind = Scalar::from_bytes_mod_order_wide(&sha512(&[&self.prefix[..], nonce]));
        let blind = Zeroizing::new(blind);
        let point = EdwardsPoint::mul_base(&blind).compress().to_bytes();
        let challenge = sha512(&[&point, &self.public, nonce]);
        let challenge = Scalar::from_bytes_mod_order_wide(&challenge);
        let proof = *blind + challenge * *self.scalar;
        let mut signature = [0; SIGNATURE_BYTES];
        signature[..32].copy_from_slice(&point);
        signature[32..].copy_from_slice(&proof.to_bytes());
        signature
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}

/// What a server keeps, and checks signatures with. No password, but enough to try passwords on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; PUBLIC_KEY_BYTES]);

impl PublicKey {
    /// The key of a password. Takes about a tenth of a millisecond.
    pub fn of(password: impl AsRef<[u8]>) -> PublicKey {
        SigningKey::of(password).public_key()
    }

    /// The key's bytes: the stored form for [`certificate`](super::certificate).
    pub fn stored(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.0
    }

    /// Whether an answer shows that the client knows the password.
    pub fn verify(&self, answer: &[u8], nonce: &[u8; LONG_NONCE_BYTES]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(nonce, answer)
            .is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;

    fn nonce() -> [u8; LONG_NONCE_BYTES] {
        std::array::from_fn(|at| at as u8)
    }

    /// PyMySQL with PyNaCl: `_auth.ed25519_password(b"pencil", bytes(range(32)))`.
    const SIGNATURE: &str = "439294572414f2d0088571388ae40a7c5268c182c6e19b96c9cf70a66bf8eee1\
                             866f1609b34cf21b96d5bda0c47a4937ed8be656a2c2c95c597373fca1eeaf0b";

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn signatures_are_those_of_another_client() {
        assert_eq!(
            hexadecimal(&SigningKey::of("pencil").sign(&nonce())),
            SIGNATURE
        );
    }

    /// Python: base64 of PyNaCl's `crypto_scalarmult_ed25519_base_noclamp` of the clamped half of `sha512(b"pencil")`.
    #[test]
    fn the_public_key_is_what_servers_keep() {
        let key = PublicKey::of("pencil");
        assert_eq!(
            STANDARD_NO_PAD.encode(key.stored()),
            "x1YAMCvR7TI3XkfIDrsGUiePkxOybYVG94ctSSWCDSc"
        );
    }

    #[test]
    fn a_password_of_32_bytes_is_an_ordinary_seed() {
        let password = b"thirty-two bytes of a password!!";
        let key = SigningKey::of(password);
        let ordinary = Ed25519KeyPair::from_seed_unchecked(password).expect("a seed");
        assert_eq!(key.public_key().stored(), ordinary.public_key().as_ref());
        assert_eq!(key.sign(&nonce()), ordinary.sign(&nonce()).as_ref());
    }

    #[test]
    fn an_answer_is_accepted_only_for_the_same_password_and_nonce() {
        for password in ["", "pencil", "a password of far more than thirty-two bytes"] {
            let answer = SigningKey::of(password).sign(&nonce());
            assert!(PublicKey::of(password).verify(&answer, &nonce()));
            assert!(!PublicKey::of(password).verify(&answer, &[1; LONG_NONCE_BYTES]));
            assert!(!PublicKey::of("pen").verify(&answer, &nonce()));
            assert!(!PublicKey::of(password).verify(&answer[..63], &nonce()));
            assert!(!PublicKey::of(password).verify(b"", &nonce()));
        }
    }

    #[test]
    fn keys_are_not_shown_by_debug() {
        let key = SigningKey::of("pencil");
        let text = format!("{key:?} {:?}", key.public_key());
        assert_eq!(text, "SigningKey([redacted]) PublicKey([redacted])");
    }
}
