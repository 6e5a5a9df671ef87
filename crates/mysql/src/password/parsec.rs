//! `parsec` of MariaDB 11.6 and later: an Ed25519 signature of two nonces, by a key derived at some expense from password and salt.
//!
//! ```text
//! server: AuthSwitchRequest with its nonce            client: an empty answer
//! server: 'P', n, salt                                client: its nonce, signature of both nonces
//! ```
//! The seed is PBKDF2-HMAC-SHA-512 of password and salt with `1024 << n` iterations, n from 0 to 3. A server that holds the plaintext chooses
//! n and salt itself. Sources: MariaDB's documentation, "Authentication Plugin - PARSEC"; `plugin/auth_parsec`.

use super::{LONG_NONCE_BYTES, ProofError};
use aws_lc_rs::pbkdf2;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use std::fmt;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// Length of a salt.
pub const SALT_BYTES: usize = 18;

/// Length of what a server says of its derivation.
pub const CHALLENGE_BYTES: usize = 2 + SALT_BYTES;

/// Length of an answer: a nonce and a signature.
pub const ANSWER_BYTES: usize = LONG_NONCE_BYTES + 64;

/// Length of the stored form: the challenge and a public key.
pub const STORED_BYTES: usize = CHALLENGE_BYTES + 32;

/// The only derivation there is.
const PBKDF2: u8 = b'P';

/// The largest factor: 8192 iterations.
const FACTOR_MAX: u8 = 3;

/// How a key is derived from a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Derivation {
    /// The binary logarithm of the iterations' thousands.
    factor: u8,
    salt: [u8; SALT_BYTES],
}

impl Derivation {
    /// As MariaDB stores new passwords: 1024 iterations. The salt is random, or the same for a user on all workers.
    pub fn new(salt: [u8; SALT_BYTES]) -> Derivation {
        Derivation { factor: 0, salt }
    }

    /// Reads what a server says.
    ///
    /// # Errors
    /// [`ProofError::UnknownDerivation`], also for more iterations than servers store; [`ProofError::Unexpected`] for another length.
    pub fn read(data: &[u8]) -> Result<Derivation, ProofError> {
        let data: &[u8; CHALLENGE_BYTES] = data.try_into().map_err(|_| ProofError::Unexpected)?;
        let [PBKDF2, factor @ 0..=FACTOR_MAX, salt @ ..] = *data else {
            return Err(ProofError::UnknownDerivation);
        };
        Ok(Derivation { factor, salt })
    }

    /// What a server says.
    pub fn to_bytes(self) -> [u8; CHALLENGE_BYTES] {
        let mut bytes = [PBKDF2; CHALLENGE_BYTES];
        bytes[1] = self.factor;
        bytes[2..].copy_from_slice(&self.salt);
        bytes
    }

    fn iterations(self) -> NonZeroU32 {
        NonZeroU32::new(1024 << self.factor).expect("the factor is at most 3")
    }
}

/// What signs: as good as the password. Cache it by credential and derivation.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    derivation: Derivation,
}

impl SigningKey {
    /// Derives the key. **Expensive**: half a millisecond at 1024 iterations and linear in them; run it off the event loop and cache the
    /// result.
    ///
    /// # Errors
    /// [`ProofError::Library`].
    pub fn derive(
        password: impl AsRef<[u8]>,
        derivation: Derivation,
    ) -> Result<SigningKey, ProofError> {
        let mut seed = Zeroizing::new([0; 32]);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA512,
            derivation.iterations(),
            &derivation.salt,
            password.as_ref(),
            &mut *seed,
        );
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| ProofError::Library)?;
        Ok(SigningKey { pair, derivation })
    }

    /// What checks its signatures.
    pub fn verifier(&self) -> Verifier {
        let mut stored = [0; STORED_BYTES];
        stored[..CHALLENGE_BYTES].copy_from_slice(&self.derivation.to_bytes());
        stored[CHALLENGE_BYTES..].copy_from_slice(self.pair.public_key().as_ref());
        Verifier(stored)
    }

    /// What a client answers; its own nonce is fresh random bytes.
    pub fn answer(
        &self,
        server_nonce: &[u8; LONG_NONCE_BYTES],
        client_nonce: &[u8; LONG_NONCE_BYTES],
    ) -> [u8; ANSWER_BYTES] {
        let signature = self.pair.sign(&[*server_nonce, *client_nonce].concat());
        let mut answer = [0; ANSWER_BYTES];
        answer[..LONG_NONCE_BYTES].copy_from_slice(client_nonce);
        answer[LONG_NONCE_BYTES..].copy_from_slice(signature.as_ref());
        answer
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey([redacted])")
    }
}

/// What a server keeps, and checks answers with: derivation and public key. No password, but enough to try passwords on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Verifier([u8; STORED_BYTES]);

impl Verifier {
    /// Derives a verifier. **Expensive** as [`SigningKey::derive`] is.
    ///
    /// # Errors
    /// [`ProofError::Library`].
    pub fn derive(
        password: impl AsRef<[u8]>,
        derivation: Derivation,
    ) -> Result<Verifier, ProofError> {
        Ok(SigningKey::derive(password, derivation)?.verifier())
    }

    /// What the server says of its derivation.
    pub fn challenge(&self) -> &[u8] {
        &self.0[..CHALLENGE_BYTES]
    }

    /// The stored form for [`certificate`](super::certificate).
    pub fn stored(&self) -> &[u8; STORED_BYTES] {
        &self.0
    }

    /// Whether an answer shows that the client knows the password.
    pub fn verify(&self, answer: &[u8], server_nonce: &[u8; LONG_NONCE_BYTES]) -> bool {
        let Some((client_nonce, signature)) = answer.split_at_checked(LONG_NONCE_BYTES) else {
            return false;
        };
        UnparsedPublicKey::new(&ED25519, &self.0[CHALLENGE_BYTES..])
            .verify(&[&server_nonce[..], client_nonce].concat(), signature)
            .is_ok()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: [u8; 32] = *b"abcdefghijklmnopqrstuvwxyz012345";

    fn derivation(factor: u8) -> Derivation {
        let mut bytes = [PBKDF2; CHALLENGE_BYTES];
        bytes[1] = factor;
        (0..18).for_each(|at| bytes[2 + at] = 100 + at as u8);
        Derivation::read(&bytes).expect("known")
    }

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Python: `cryptography`'s `Ed25519PrivateKey.from_private_bytes(pbkdf2_hmac("sha512", b"pencil", bytes(range(100, 118)), 1024 << n, 32))`, its
    /// public key and its signature of `bytes(range(32)) + bytes(range(200, 232))`.
    #[test]
    fn keys_and_signatures_are_those_of_another_library() {
        let server = std::array::from_fn(|at| at as u8);
        let client = std::array::from_fn(|at| 200 + at as u8);
        for (factor, public, signature) in [
            (
                0,
                "ddd59174f40df00dd13c7ff3f8e975dabf7eafdc72d408e828fe8ae9c27078b5",
                "bf94bad232f7c7f4baf269ee37fbcd6a379ae9af93f707108380421aa8e6d2a2\
                 f9d1f916997a66a737280accfbdada14ee30bf7c27d50918c80410a7c4295106",
            ),
            (
                3,
                "52c3f4c4b896ab426216d65b701d4378637fbe7ff639f881fa90d771fffd7750",
                "03da3d107d23aacba85f4893a5d3a4223559ccb906fea1b2ab248caae5bc56e6\
                 88e3c2b2dfe9da83d3b32e77c716c3de82f54f51b578f5e9c48ffe009aef070b",
            ),
        ] {
            let key = SigningKey::derive("pencil", derivation(factor)).expect("derived");
            let verifier = key.verifier();
            assert_eq!(hexadecimal(&verifier.stored()[CHALLENGE_BYTES..]), public);
            let answer = key.answer(&server, &client);
            assert_eq!(answer[..32], client);
            assert_eq!(hexadecimal(&answer[32..]), signature);
        }
    }

    #[test]
    fn an_answer_is_accepted_only_for_the_same_password_and_nonce() {
        let key = SigningKey::derive("pencil", derivation(0)).expect("derived");
        let verifier = key.verifier();
        let answer = key.answer(&SERVER, &[9; 32]);
        assert!(verifier.verify(&answer, &SERVER));
        assert!(!verifier.verify(&answer, &[9; 32]));
        let other = Verifier::derive("pen", derivation(0)).expect("derived");
        assert!(!other.verify(&answer, &SERVER));
        for wrong in [
            &answer[..95],
            &answer[1..],
            &answer[..32],
            &answer[..5],
            b"",
        ] {
            assert!(!verifier.verify(wrong, &SERVER));
        }
    }

    #[test]
    fn a_derivation_is_read_as_it_was_written() {
        let verifier = Verifier::derive("pencil", derivation(2)).expect("derived");
        assert_eq!(Derivation::read(verifier.challenge()), Ok(derivation(2)));
        assert_eq!(verifier.challenge()[..2], *b"P\x02");
        assert_eq!(Derivation::new([7; 18]).to_bytes()[..3], *b"P\0\x07");
    }

    #[test]
    fn derivations_that_servers_do_not_have_are_refused() {
        let mut bytes = derivation(0).to_bytes();
        assert_eq!(Derivation::read(&bytes[..19]), Err(ProofError::Unexpected));
        assert_eq!(Derivation::read(&[b'P'; 21]), Err(ProofError::Unexpected));
        bytes[1] = 4;
        assert_eq!(Derivation::read(&bytes), Err(ProofError::UnknownDerivation));
        bytes[..2].copy_from_slice(b"Q\0");
        assert_eq!(Derivation::read(&bytes), Err(ProofError::UnknownDerivation));
    }

    #[test]
    fn keys_are_not_shown_by_debug() {
        let key = SigningKey::derive("pencil", derivation(0)).expect("derived");
        let text = format!("{key:?} {:?}", key.verifier());
        assert_eq!(text, "SigningKey([redacted]) Verifier([redacted])");
    }
}
