//! The proof of our password to a database, method by method.

use crate::password::caching_sha2::{self, ExpectVerdict, Verdict};
use crate::password::parsec::{Derivation, SigningKey};
use crate::password::rsa::ExpectKey;
use crate::password::sha256;
use crate::password::{LONG_NONCE_BYTES, Method, ProofError, clear, ed25519, native};
use crate::wire::auth::nonce_of;
use crate::wire::greeting::{Greeting, NONCE_BYTES};

/// A proof on its way.
pub(super) struct Proving {
    method: Method,
    is_private: bool,
    awaits: Awaits,
    is_switched: bool,
}

/// What the server may say next besides its verdict.
enum Awaits {
    Nothing,
    Sha2(ExpectVerdict),
    Key(ExpectKey),
    /// How the key is derived, for the nonce that will be signed.
    Derivation([u8; LONG_NONCE_BYTES]),
    /// The same, once it is known.
    Signature([u8; LONG_NONCE_BYTES]),
}

/// What is sent: nothing, where the method waits for more.
type Answer = Option<Vec<u8>>;

impl Proving {
    /// The proof that goes with the response: by the method that the server names, where it is one that may be begun unasked.
    pub(super) fn first(
        greeting: &Greeting<'_>,
        password: &str,
        is_private: bool,
    ) -> Result<(Proving, Vec<u8>), ProofError> {
        let method = match Method::from_wire(greeting.plugin) {
            Some(method @ (Method::Native | Method::CachingSha2)) => method,
            Some(Method::Sha256) => Method::CachingSha2,
            // Whatever it is, the server will ask for it with its own nonce.
            _ => Method::Native,
        };
        let mut proving = Proving {
            method,
            is_private,
            awaits: Awaits::Nothing,
            is_switched: false,
        };
        let proof = proving.answer(&greeting.nonce, password);
        Ok((proving, proof))
    }

    pub(super) fn method_name(&self) -> &'static [u8] {
        self.method.as_str().as_bytes()
    }

    fn answer(&mut self, nonce: &[u8; NONCE_BYTES], password: &str) -> Vec<u8> {
        match self.method {
            Method::CachingSha2 => {
                self.awaits = Awaits::Sha2(ExpectVerdict::new(*nonce, self.is_private));
                caching_sha2::answer(password, nonce)
            }
            _ => native::answer(password, nonce),
        }
    }

    /// The server wants another method.
    pub(super) fn switch(
        &mut self,
        plugin: &[u8],
        data: &[u8],
        password: &str,
    ) -> Result<Answer, &'static str> {
        const UNKNOWN: &str =
            "the database asks for an authentication method that is not spoken here";
        if std::mem::replace(&mut self.is_switched, true)
            && self.method.as_str().as_bytes() == plugin
        {
            return Err("the database asks for the same proof again");
        }
        self.method = Method::from_wire(plugin).ok_or(UNKNOWN)?;
        self.awaits = Awaits::Nothing;
        let short = || nonce_of(data).map_err(|error| error.as_str());
        let long = || -> Result<[u8; LONG_NONCE_BYTES], &'static str> {
            let nonce = data
                .strip_suffix(b"\0")
                .filter(|data| data.len() == LONG_NONCE_BYTES);
            let nonce = nonce.unwrap_or(data);
            nonce.try_into().map_err(|_| "a nonce of another length")
        };
        let text = |error: ProofError| error.as_str();
        Ok(Some(match self.method {
            Method::Native | Method::CachingSha2 => self.answer(&short()?, password),
            Method::Sha256 => match sha256::Answer::new(password, &short()?, self.is_private) {
                Ok(sha256::Answer::Password(password)) => password.to_vec(),
                Ok(sha256::Answer::AskForKey(expect)) => {
                    self.awaits = Awaits::Key(expect);
                    vec![sha256::REQUEST_KEY]
                }
                Err(error) => return Err(error.as_str()),
            },
            Method::Clear if !self.is_private => {
                return Err("the database asks for the password in clear text without TLS");
            }
            Method::Clear => clear::answer(password).map_err(text)?.to_vec(),
            Method::Ed25519 => ed25519::SigningKey::of(password).sign(&long()?).to_vec(),
            Method::Parsec => {
                self.awaits = Awaits::Derivation(long()?);
                Vec::new()
            }
        }))
    }

    /// The server's next word, where it says how a key is derived.
    pub(super) fn derivation(&mut self, data: &[u8]) -> Result<Option<Derivation>, ProofError> {
        let Awaits::Derivation(nonce) = self.awaits else {
            return Ok(None);
        };
        self.awaits = Awaits::Signature(nonce);
        Derivation::read(data).map(Some)
    }

    /// The signature, once the key is there. `entropy` is fresh.
    pub(super) fn sign(
        &mut self,
        key: &SigningKey,
        entropy: &[u8; LONG_NONCE_BYTES],
    ) -> Result<Vec<u8>, ProofError> {
        match std::mem::replace(&mut self.awaits, Awaits::Nothing) {
            Awaits::Signature(nonce) => Ok(key.answer(&nonce, entropy).to_vec()),
            _ => Err(ProofError::Unexpected),
        }
    }

    /// Any other word of the server's.
    pub(super) fn more(&mut self, data: &[u8], password: &str) -> Result<Answer, ProofError> {
        match std::mem::replace(&mut self.awaits, Awaits::Nothing) {
            Awaits::Sha2(expect) => match expect.on_more(data)? {
                Verdict::Accepted => Ok(None),
                Verdict::SendPassword => Ok(Some(clear::answer(password)?.to_vec())),
                Verdict::AskForKey(expect) => {
                    self.awaits = Awaits::Key(expect);
                    Ok(Some(vec![caching_sha2::REQUEST_KEY]))
                }
            },
            Awaits::Key(expect) => expect.on_key(data, password).map(Some),
            Awaits::Nothing | Awaits::Derivation(_) | Awaits::Signature(_) => {
                Err(ProofError::Unexpected)
            }
        }
    }
}
