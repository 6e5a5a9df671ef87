//! Whether the client's proof is right, method by method.
//!
//! `caching_sha2_password` is decided by the short answer wherever that is right; otherwise the client is asked for the password itself, in
//! clear under TLS and sealed by RSA without, as a server that has not seen it before would.

use super::Known;
use crate::login_cache::{Done, LoginCache, Work};
use crate::password::caching_sha2::{self, CachedHash};
use crate::password::native::NativeHash;
use crate::password::parsec::{self, Derivation, Verifier};
use crate::password::rsa::KeyPair;
use crate::password::{self, LONG_NONCE_BYTES, Method, clear, ed25519, is_empty_answer};
use crate::wire::auth;
use crate::wire::greeting::NONCE_BYTES;
use forebay_core::Refusal;
use secrecy::ExposeSecret as _;
use std::sync::Arc;

/// A proof that is awaited.
pub(super) enum Checking {
    /// The answer to a nonce, by one of the methods with a short one.
    Short(Method, [u8; NONCE_BYTES]),
    /// The password itself, under TLS.
    Password,
    /// A request for our key, or the password sealed by it.
    Sealed([u8; NONCE_BYTES]),
    /// The same, once the client has the key.
    SealedBy(Arc<KeyPair>, [u8; NONCE_BYTES]),
    /// A signature.
    Ed25519([u8; LONG_NONCE_BYTES]),
    /// An empty answer, which asks how the key is derived.
    ParsecAsks([u8; LONG_NONCE_BYTES]),
    /// A signature by a derived key.
    Parsec(Arc<Verifier>, [u8; LONG_NONCE_BYTES]),
}

/// What happens next.
pub(super) enum Next {
    /// The client is sent something and answers.
    Send(Made, Checking),
    /// A key must be made.
    Work(Work, Checking),
    /// The proof is right; what the client is told ahead of the OK packet.
    Accepted(Option<Made>),
    /// It is wrong, or cannot be had.
    Refused(Refusal),
}

/// A packet of ours.
pub(super) enum Made {
    /// A request to prove by another method.
    Switch(Method, Vec<u8>),
    /// Another word of the same method.
    More(Vec<u8>),
}

impl Made {
    pub(super) fn write(&self, out: &mut Vec<u8>, sequence: u8) -> u8 {
        match self {
            Made::Switch(method, data) => {
                auth::switch(out, sequence, method.as_str().as_bytes(), data)
            }
            Made::More(data) => auth::more(out, sequence, data),
        }
    }
}

impl Checking {
    /// Asks for a proof by this method. `entropy` is fresh.
    pub(super) fn ask(method: Method, entropy: &[u8], is_tls: bool, known: &Known) -> Next {
        let switch =
            |data: &[u8], checking| Next::Send(Made::Switch(method, data.to_vec()), checking);
        match method {
            Method::Native | Method::CachingSha2 | Method::Sha256 => {
                let random = entropy.first_chunk().expect("there are more than 20");
                let nonce = password::nonce(*random);
                switch(&[&nonce[..], &[0]].concat(), Checking::Short(method, nonce))
            }
            Method::Ed25519 => {
                let nonce = *entropy.first_chunk().expect("there are more than 32");
                switch(&nonce, Checking::Ed25519(nonce))
            }
            Method::Parsec => {
                let nonce = *entropy.first_chunk().expect("there are more than 32");
                switch(&nonce, Checking::ParsecAsks(nonce))
            }
            Method::Clear if is_tls => switch(b"", Checking::Password),
            Method::Clear => Next::Refused(Refusal::ClearTextNeedsTls {
                user: known.user.clone(),
            }),
        }
    }

    /// The client's answer.
    pub(super) fn on_proof(
        self,
        known: &Known,
        is_tls: bool,
        proof: &[u8],
        cache: &LoginCache,
    ) -> Next {
        let secret = known.credential.as_ref();
        let secret = secret.map(|credential| credential.password.expose_secret());
        match self {
            Checking::Short(Method::CachingSha2, nonce) => {
                let right = secret.is_some_and(|it| CachedHash::of(it).verify(proof, &nonce));
                match (right, is_tls) {
                    (true, _) if is_empty_answer(proof) => Next::Accepted(None),
                    (true, _) => Next::Accepted(Some(Made::More(vec![caching_sha2::ACCEPTED]))),
                    (false, _) if is_empty_answer(proof) => Next::Refused(wrong(known)),
                    (false, true) => want_password(Checking::Password),
                    (false, false) => want_password(Checking::Sealed(nonce)),
                }
            }
            Checking::Short(_, nonce) => known
                .judge(secret.is_some_and(|secret| NativeHash::of(secret).verify(proof, &nonce))),
            Checking::Password => {
                known.judge(secret.is_some_and(|secret| clear::verify(proof, secret)))
            }
            Checking::Sealed(nonce) if proof == [caching_sha2::REQUEST_KEY] => {
                match cache.rsa_key() {
                    Some(key) => send_key(key, nonce),
                    None => Next::Work(Work::RsaKey, Checking::Sealed(nonce)),
                }
            }
            // The client has a key of ours from elsewhere: there is none.
            Checking::Sealed(_) => Next::Refused(wrong(known)),
            Checking::SealedBy(key, nonce) => known.judge(match key.open(proof, &nonce) {
                Ok(given) => secret.is_some_and(|secret| clear::verify(&given, secret)),
                Err(_) => false,
            }),
            Checking::Ed25519(nonce) => known
                .judge(secret.is_some_and(|it| ed25519::PublicKey::of(it).verify(proof, &nonce))),
            Checking::ParsecAsks(nonce) => match &known.credential {
                None => derive(cache.salt(&known.user), nonce, None),
                Some(credential) => match cache.verifier(credential) {
                    Some(verifier) => derive(cache.salt(&known.user), nonce, Some(verifier)),
                    None => Next::Work(
                        Work::Verifier(Arc::clone(credential), cache.salt(&known.user)),
                        Checking::ParsecAsks(nonce),
                    ),
                },
            },
            Checking::Parsec(verifier, nonce) => {
                known.judge(secret.is_some() && verifier.verify(proof, &nonce))
            }
        }
    }

    /// A key was made.
    pub(super) fn on_work(self, done: &Done, cache: &LoginCache) -> Next {
        match (self, done) {
            (Checking::Sealed(nonce), Done::RsaKey(Ok(key))) => {
                // Another may have made one meanwhile, and all are to see the same.
                send_key(cache.rsa_key().unwrap_or_else(|| Arc::clone(key)), nonce)
            }
            (Checking::ParsecAsks(nonce), Done::Verifier(credential, Ok(verifier))) => derive(
                cache.salt(&credential.username),
                nonce,
                Some(Arc::clone(verifier)),
            ),
            _ => Next::Refused(Refusal::UnsupportedAuth),
        }
    }
}

fn want_password(checking: Checking) -> Next {
    Next::Send(Made::More(vec![caching_sha2::PASSWORD_WANTED]), checking)
}

fn send_key(key: Arc<KeyPair>, nonce: [u8; NONCE_BYTES]) -> Next {
    let pem = key.public_pem().as_bytes().to_vec();
    Next::Send(Made::More(pem), Checking::SealedBy(key, nonce))
}

/// Says how the key is derived; for a user whom nobody knows as for others.
fn derive(
    salt: [u8; parsec::SALT_BYTES],
    nonce: [u8; LONG_NONCE_BYTES],
    verifier: Option<Arc<Verifier>>,
) -> Next {
    let told = Derivation::new(salt).to_bytes().to_vec();
    let checking = match verifier {
        Some(verifier) => Checking::Parsec(verifier, nonce),
        None => Checking::Password,
    };
    Next::Send(Made::More(told), checking)
}

fn wrong(known: &Known) -> Refusal {
    let user = known.user.clone();
    match known.credential {
        Some(_) => Refusal::WrongPassword { user },
        None => Refusal::NoCredentials { user },
    }
}

impl Known {
    fn judge(&self, right: bool) -> Next {
        match right {
            true => Next::Accepted(None),
            false => Next::Refused(wrong(self)),
        }
    }
}
