//! Whether the client's proof is right, method by method.
//!
//! `caching_sha2_password` is decided by the short answer wherever that is right; otherwise the client is asked for the password itself, in
//! clear under TLS and sealed by RSA without, as a server that has not seen it before would.

use super::Known;
use crate::login_cache::{Done, LoginCache, Work};
use crate::password::caching_sha2::{self, CachedHash};
use crate::password::native::NativeHash;
use crate::password::parsec::{Derivation, Verifier};
use crate::password::rsa::KeyPair;
use crate::password::{self, LONG_NONCE_BYTES, Method, clear, ed25519, is_empty_answer};
use crate::wire::auth;
use crate::wire::greeting::NONCE_BYTES;
use forebay_core::Refusal;
use forebay_core::snapshot::Credential;
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
    /// A signature by the key derived of one of the user's passwords, the current one's first.
    Parsec(Vec<Arc<Verifier>>, [u8; LONG_NONCE_BYTES]),
}

/// What happens next.
pub(super) enum Next {
    /// The client is sent something and answers.
    Send(Made, Checking),
    /// A key must be made.
    Work(Work, Checking),
    /// The proof is right: by which password, and what the client is told ahead of the OK packet.
    Accepted(Arc<Credential>, Option<Made>),
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
                by_short_nonce(method, password::nonce(*random))
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

    /// The same on a connection that has had a login. Servers keep the nonce of `mysql_native_password`, and MariaDB's library answers with
    /// the one that it had, whatever it is told.
    pub(super) fn ask_again(method: Method, entropy: &[u8], is_tls: bool, known: &Known) -> Next {
        match method {
            Method::Native => by_short_nonce(method, known.nonce),
            _ => Checking::ask(method, entropy, is_tls, known),
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
        match self {
            Checking::Short(Method::CachingSha2, nonce) => {
                let proven = known.proven(|it| CachedHash::of(it).verify(proof, &nonce));
                match (proven, is_tls) {
                    (Some(it), _) if is_empty_answer(proof) => Next::Accepted(it, None),
                    (Some(it), _) => {
                        Next::Accepted(it, Some(Made::More(vec![caching_sha2::ACCEPTED])))
                    }
                    (None, _) if is_empty_answer(proof) => Next::Refused(wrong(known)),
                    (None, true) => want_password(Checking::Password),
                    (None, false) => want_password(Checking::Sealed(nonce)),
                }
            }
            Checking::Short(_, nonce) => {
                known.judge(|secret| NativeHash::of(secret).verify(proof, &nonce))
            }
            Checking::Password => known.judge(|secret| clear::verify(proof, secret)),
            Checking::Sealed(nonce) if proof == [caching_sha2::REQUEST_KEY] => {
                match cache.rsa_key() {
                    Some(key) => send_key(key, nonce),
                    None => Next::Work(Work::RsaKey, Checking::Sealed(nonce)),
                }
            }
            // The client has a key of ours from elsewhere: there is none.
            Checking::Sealed(_) => Next::Refused(wrong(known)),
            Checking::SealedBy(key, nonce) => match key.open(proof, &nonce) {
                Ok(given) => known.judge(|secret| clear::verify(&given, secret)),
                Err(_) => Next::Refused(wrong(known)),
            },
            Checking::Ed25519(nonce) => {
                known.judge(|it| ed25519::PublicKey::of(it).verify(proof, &nonce))
            }
            Checking::ParsecAsks(nonce) => derive_all(known, Vec::new(), nonce, cache),
            Checking::Parsec(verifiers, nonce) => {
                let versions = known.versions().zip(&verifiers);
                let mut right = versions.filter(|(_, verifier)| verifier.verify(proof, &nonce));
                match right.next() {
                    Some((version, _)) => Next::Accepted(Arc::clone(version), None),
                    None => Next::Refused(wrong(known)),
                }
            }
        }
    }

    /// A key was made.
    pub(super) fn on_work(self, known: &Known, done: &Done, cache: &LoginCache) -> Next {
        match (self, done) {
            (Checking::Sealed(nonce), Done::RsaKey(Ok(key))) => {
                // Another may have made one meanwhile, and all are to see the same.
                send_key(cache.rsa_key().unwrap_or_else(|| Arc::clone(key)), nonce)
            }
            (Checking::Parsec(mut made, nonce), Done::Verifier(_, Ok(verifier))) => {
                made.push(Arc::clone(verifier));
                derive_all(known, made, nonce, cache)
            }
            _ => Next::Refused(Refusal::UnsupportedAuth),
        }
    }
}

fn want_password(checking: Checking) -> Next {
    Next::Send(Made::More(vec![caching_sha2::PASSWORD_WANTED]), checking)
}

fn by_short_nonce(method: Method, nonce: [u8; NONCE_BYTES]) -> Next {
    let data = [&nonce[..], &[0]].concat();
    Next::Send(Made::Switch(method, data), Checking::Short(method, nonce))
}

fn send_key(key: Arc<KeyPair>, nonce: [u8; NONCE_BYTES]) -> Next {
    let pem = key.public_pem().as_bytes().to_vec();
    Next::Send(Made::More(pem), Checking::SealedBy(key, nonce))
}

/// Makes the verifiers that are missing, and says how the client's key is derived; for a user whom nobody knows as for others.
fn derive_all(
    known: &Known,
    mut made: Vec<Arc<Verifier>>,
    nonce: [u8; LONG_NONCE_BYTES],
    cache: &LoginCache,
) -> Next {
    let salt = cache.salt(&known.user);
    for version in known.versions().skip(made.len()) {
        match cache.verifier(version) {
            Some(verifier) => made.push(verifier),
            None => {
                let work = Work::Verifier(Arc::clone(version), salt);
                return Next::Work(work, Checking::Parsec(made, nonce));
            }
        }
    }
    let told = Derivation::new(salt).to_bytes().to_vec();
    Next::Send(Made::More(told), Checking::Parsec(made, nonce))
}

fn wrong(known: &Known) -> Refusal {
    let user = known.user.clone();
    match known.credential {
        Some(_) => Refusal::WrongPassword { user },
        None => Refusal::NoCredentials { user },
    }
}

impl Known {
    /// The user with each of its passwords; none for a user whom nobody knows.
    fn versions(&self) -> impl Iterator<Item = &Arc<Credential>> {
        self.credential.iter().flat_map(Credential::versions)
    }

    /// The password that was proven, if it was one.
    fn proven(&self, is_right: impl Fn(&str) -> bool) -> Option<Arc<Credential>> {
        let mut versions = self.versions();
        let proven = versions.find(|version| is_right(version.password.expose_secret()));
        proven.cloned()
    }

    fn judge(&self, is_right: impl Fn(&str) -> bool) -> Next {
        match self.proven(is_right) {
            Some(proven) => Next::Accepted(proven, None),
            None => Next::Refused(wrong(self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login_cache::work;
    use crate::password::parsec::SigningKey;
    use crate::server::Server;
    use crate::wire::capability::Capabilities;
    use forebay_core::snapshot::ClientAuth;

    /// A user whose password was `older` until now.
    fn known(client_auth: ClientAuth) -> Known {
        let version = |password: &str, previous| {
            Arc::new(Credential {
                username: "u".to_owned(),
                password: password.into(),
                client_auth,
                previous,
            })
        };
        Known {
            user: "u".to_owned(),
            credential: Some(version("secret", Some(version("older", None)))),
            database: None,
            capabilities: Capabilities::NONE,
            said: Capabilities::NONE,
            collation: 45,
            compression: None,
            program: None,
            server: Server::default(),
            nonce: [1; NONCE_BYTES],
        }
    }

    /// Which password was proven: 0 for the current one.
    fn version(known: &Known, next: &Next) -> Option<usize> {
        let Next::Accepted(proven, _) = next else {
            return None;
        };
        known.versions().position(|it| Arc::ptr_eq(it, proven))
    }

    const PASSWORDS: [(&str, Option<usize>); 3] =
        [("secret", Some(0)), ("older", Some(1)), ("other", None)];

    #[test]
    fn a_signature_by_either_password_is_taken() {
        let cache = LoginCache::new([7; 32]);
        let known = known(ClientAuth::Ed25519);
        let nonce = [5; LONG_NONCE_BYTES];
        for (password, wanted) in PASSWORDS {
            let proof = ed25519::SigningKey::of(password).sign(&nonce);
            let next = Checking::Ed25519(nonce).on_proof(&known, false, &proof, &cache);
            assert_eq!(version(&known, &next), wanted, "{password}");
        }
    }

    #[test]
    fn who_logs_in_anew_is_asked_by_the_nonce_that_the_connection_had_where_servers_keep_it() {
        let known = known(ClientAuth::CachingSha2);
        let asked = |method| match Checking::ask_again(method, &[9; 64], false, &known) {
            Next::Send(Made::Switch(..), Checking::Short(_, nonce)) => nonce,
            _ => panic!("a request to prove by a short method"),
        };
        assert_eq!(asked(Method::Native), known.nonce);
        assert_ne!(asked(Method::CachingSha2), known.nonce);
    }

    #[test]
    fn a_derived_key_of_either_password_is_taken() {
        let mut cache = LoginCache::new([7; 32]);
        let known = known(ClientAuth::Parsec);
        let nonce = [5; LONG_NONCE_BYTES];
        for (password, wanted) in PASSWORDS {
            let mut next = Checking::ParsecAsks(nonce).on_proof(&known, false, b"", &cache);
            // Both are derived once, the first time that somebody asks.
            while let Next::Work(ordered, checking) = next {
                let done = work(ordered);
                cache.learn(&done);
                next = checking.on_work(&known, &done, &cache);
            }
            let Next::Send(Made::More(told), checking) = next else {
                panic!("a client is told how its key is derived");
            };
            let derivation = Derivation::read(&told).expect("our own");
            let key = SigningKey::derive(password, derivation).expect("a short password");
            let proof = key.answer(&nonce, &[9; LONG_NONCE_BYTES]);
            let next = checking.on_proof(&known, false, &proof, &cache);
            assert_eq!(version(&known, &next), wanted, "{password}");
        }
    }
}
