//! What one worker remembers of logins that takes long to make: verifiers of MariaDB's `parsec` and the proxy's RSA key. Making them is
//! [`Work`], done on another thread by [`work`].
//!
//! Entries belong to one `Arc<Credential>`, known by its address. They hold it weakly: the address is not used again while an entry
//! refers to it, yet a replaced password is wiped as soon as no snapshot has it.

use crate::password::parsec::{Derivation, SigningKey, Verifier};
use crate::password::rsa::KeyPair;
use crate::password::{ProofError, parsec};
use aws_lc_rs::hmac;
use forebay_core::snapshot::Credential;
use secrecy::ExposeSecret as _;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use zeroize::Zeroizing;

/// Most verifiers that a cache holds.
pub const ENTRIES_MAX: usize = 1024;

/// Work too slow for an event loop.
#[derive(Debug)]
pub enum Work {
    /// What a client's `parsec` proof is checked against.
    Verifier(Arc<Credential>, [u8; parsec::SALT_BYTES]),
    /// What proves a password to a server by `parsec`.
    SigningKey(Arc<Credential>, Derivation),
    /// The key with which clients without TLS seal their passwords.
    RsaKey,
}

/// Its result.
#[derive(Debug)]
pub enum Done {
    /// Of [`Work::Verifier`].
    Verifier(Arc<Credential>, Result<Arc<Verifier>, ProofError>),
    /// Of [`Work::SigningKey`].
    SigningKey(Result<Arc<SigningKey>, ProofError>),
    /// Of [`Work::RsaKey`].
    RsaKey(Result<Arc<KeyPair>, ProofError>),
}

/// Does it. Takes half a millisecond to some tenths of a second.
pub fn work(work: Work) -> Done {
    match work {
        Work::Verifier(credential, salt) => {
            let password = credential.password.expose_secret();
            let verifier = Verifier::derive(password, Derivation::new(salt));
            Done::Verifier(credential, verifier.map(Arc::new))
        }
        Work::SigningKey(credential, derivation) => {
            let password = credential.password.expose_secret();
            Done::SigningKey(SigningKey::derive(password, derivation).map(Arc::new))
        }
        Work::RsaKey => Done::RsaKey(KeyPair::generate().map(Arc::new)),
    }
}

/// One worker's memory.
pub struct LoginCache {
    process_secret: Zeroizing<[u8; 32]>,
    verifiers: HashMap<usize, (Weak<Credential>, Arc<Verifier>)>,
    rsa_key: Option<Arc<KeyPair>>,
}

impl LoginCache {
    /// An empty cache; `process_secret` is random and the same for all workers, else salts would tell workers apart.
    pub fn new(process_secret: [u8; 32]) -> LoginCache {
        LoginCache {
            process_secret: Zeroizing::new(process_secret),
            verifiers: HashMap::new(),
            rsa_key: None,
        }
    }

    /// The salt that a user is shown, known or not: the same on every worker and in every login.
    pub fn salt(&self, user: &str) -> [u8; parsec::SALT_BYTES] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*self.process_secret);
        let tag = hmac::sign(&key, user.as_bytes());
        let (salt, _) = tag
            .as_ref()
            .split_first_chunk()
            .expect("32 are more than 18");
        *salt
    }

    /// Randomness for a login on a connection that has had one: nobody can foresee it, and no two are alike.
    pub fn entropy(&self, session: u64, turn: u32) -> [u8; 64] {
        let key = hmac::Key::new(hmac::HMAC_SHA512, &*self.process_secret);
        let mut context = hmac::Context::with_key(&key);
        context.update(b"change user");
        context.update(&session.to_le_bytes());
        context.update(&turn.to_le_bytes());
        let tag = context.sign();
        tag.as_ref().try_into().expect("SHA-512 has 64 bytes")
    }

    /// The verifier of a credential, if it was derived before.
    pub fn verifier(&self, credential: &Arc<Credential>) -> Option<Arc<Verifier>> {
        let (owner, verifier) = self.verifiers.get(&address(credential))?;
        (owner.strong_count() > 0).then(|| Arc::clone(verifier))
    }

    /// The proxy's key, if it was made before.
    pub fn rsa_key(&self) -> Option<Arc<KeyPair>> {
        self.rsa_key.clone()
    }

    /// Remembers a result.
    pub fn learn(&mut self, done: &Done) {
        match done {
            Done::Verifier(credential, Ok(verifier)) => {
                if self.verifiers.len() >= ENTRIES_MAX {
                    self.verifiers.clear();
                }
                let entry = (Arc::downgrade(credential), Arc::clone(verifier));
                self.verifiers.insert(address(credential), entry);
            }
            Done::RsaKey(Ok(key)) => self.rsa_key = Some(Arc::clone(key)),
            Done::Verifier(..) | Done::SigningKey(_) | Done::RsaKey(Err(_)) => {}
        }
    }
}

impl std::fmt::Debug for LoginCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginCache")
            .field("verifiers", &self.verifiers.len())
            .finish_non_exhaustive()
    }
}

fn address(credential: &Arc<Credential>) -> usize {
    Arc::as_ptr(credential) as usize
}
