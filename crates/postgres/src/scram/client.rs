//! The client's side: logs in to a database, and makes the database prove itself.
//!
//! ```text
//! ClientFirst::new ------------------> client-first-message (with the mechanism's name: SASLInitialResponse)
//! AuthenticationSASLContinue --on_server_first--> NeedKeys: salt and iterations
//!   the caller derives ClientKeys off the event loop, or takes them from its cache
//! NeedKeys::with_keys ----------------> client-final-message (SASLResponse), ExpectServerFinal
//! AuthenticationSASLFinal --on_server_final--> the database knew the verifier
//! ```
//! AuthenticationOk without a successful `on_server_final` must not be believed. Bounds: message sizes, salt,
//! iterations; the nonce must continue ours (RFC 5802 section 5.1).
use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;

use super::attributes::{
    Attributes, check_message, check_nonce, decode_iterations, decode_key, decode_salt,
};
use super::keys::{ClientKeys, hmac_sha256};
use super::{Mechanism, NONCE_BYTES, Part, SERVER_MESSAGE_BYTES_MAX, ScramError};

/// How the exchange relates to the TLS channel below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientBinding {
    /// `n`: there is no TLS, or we do not want to bind.
    None,
    /// `y`: there is TLS and we could bind, but the database did not offer PLUS. If it did and the offer was removed on
    /// the way, the database will notice.
    SupportedButNotUsed,
    /// `p`: bound, with the hash of the database's certificate (RFC 5929 section 4.1).
    TlsServerEndPoint(Box<[u8]>),
}

impl ClientBinding {
    /// The mechanism to name in SASLInitialResponse.
    pub fn mechanism(&self) -> Mechanism {
        match self {
            ClientBinding::None | ClientBinding::SupportedButNotUsed => Mechanism::ScramSha256,
            ClientBinding::TlsServerEndPoint(_) => Mechanism::ScramSha256Plus,
        }
    }

    fn gs2_header(&self) -> &'static str {
        match self {
            ClientBinding::None => "n,,",
            ClientBinding::SupportedButNotUsed => "y,,",
            ClientBinding::TlsServerEndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    fn data(&self) -> &[u8] {
        match self {
            ClientBinding::None | ClientBinding::SupportedButNotUsed => &[],
            ClientBinding::TlsServerEndPoint(data) => data,
        }
    }
}

/// The state at the start: the first message is ready, the server's is awaited.
#[derive(Debug)]
pub struct ClientFirst {
    binding: ClientBinding,
    nonce: String,
    /// client-first-message-bare.
    bare: String,
}

/// The state after the server's first message: keys for its salt and iterations are wanted.
#[derive(Debug)]
pub struct NeedKeys {
    salt: Box<[u8]>,
    iterations: NonZeroU32,
    /// `client-first-message-bare "," server-first-message ","`.
    auth_message: Vec<u8>,
    /// client-final-message-without-proof.
    without_proof: Vec<u8>,
}

/// The state after the proof: the server owes its signature.
pub struct ExpectServerFinal {
    signature: [u8; 32],
}

impl ClientFirst {
    /// Starts an exchange; `nonce` is fresh random bytes.
    pub fn new(nonce: &[u8; NONCE_BYTES], binding: ClientBinding) -> ClientFirst {
        // No user name: PostgreSQL takes the startup packet's, and libpq sends none either.
        ClientFirst::with("", STANDARD.encode(nonce), binding)
    }

    /// [`new`](Self::new) with user name and nonce as they stand on the wire.
    pub(super) fn with(username: &str, nonce: String, binding: ClientBinding) -> ClientFirst {
        ClientFirst {
            bare: format!("n={username},r={nonce}"),
            nonce,
            binding,
        }
    }

    /// The mechanism to name beside the first message.
    pub fn mechanism(&self) -> Mechanism {
        self.binding.mechanism()
    }

    /// client-first-message.
    pub fn message(&self) -> Vec<u8> {
        [self.binding.gs2_header(), &self.bare]
            .concat()
            .into_bytes()
    }

    /// Reads server-first-message. `iterations_max` bounds what the database may make us compute
    /// ([`ITERATIONS_MAX_DEFAULT`](super::ITERATIONS_MAX_DEFAULT) unless the operator says otherwise).
    ///
    /// # Errors
    /// [`ScramError::Malformed`], [`ScramError::MessageTooLong`], [`ScramError::SaltTooLong`],
    /// [`ScramError::TooManyIterations`], [`ScramError::NonceMismatch`], [`ScramError::UnsupportedExtension`].
    pub fn on_server_first(
        self,
        message: &[u8],
        iterations_max: NonZeroU32,
    ) -> Result<NeedKeys, ScramError> {
        check_message(message, SERVER_MESSAGE_BYTES_MAX)?;
        let mut attributes = Attributes::new(message);
        let nonce = attributes.expect_first(b'r', Part::Nonce)?;
        self.check_nonce(nonce)?;
        let salt = decode_salt(attributes.expect(b's', Part::Salt)?, Part::Salt)?;
        let iterations =
            decode_iterations(attributes.expect(b'i', Part::Iterations)?, Part::Iterations)?;
        if iterations > iterations_max {
            return Err(ScramError::TooManyIterations);
        }
        attributes.skip_extensions()?;
        Ok(NeedKeys {
            salt,
            iterations,
            auth_message: [self.bare.as_bytes(), b",", message, b","].concat(),
            without_proof: [b"c=", self.encoded_binding().as_bytes(), b",r=", nonce].concat(),
        })
    }

    /// The server's nonce begins with ours and adds something, or the exchange could be a recorded one.
    fn check_nonce(&self, nonce: &[u8]) -> Result<(), ScramError> {
        check_nonce(nonce)?;
        match nonce.strip_prefix(self.nonce.as_bytes()) {
            Some([_, ..]) => Ok(()),
            _ => Err(ScramError::NonceMismatch),
        }
    }

    fn encoded_binding(&self) -> String {
        STANDARD.encode([self.binding.gs2_header().as_bytes(), self.binding.data()].concat())
    }
}

impl NeedKeys {
    /// The salt to derive with: with the iterations and the credential, the key of a cache.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// The iterations to derive with, at most what the caller allowed.
    pub fn iterations(&self) -> NonZeroU32 {
        self.iterations
    }

    /// Makes client-final-message from keys derived with exactly this salt and these iterations.
    pub fn with_keys(self, keys: &ClientKeys) -> (Vec<u8>, ExpectServerFinal) {
        let auth_message = [self.auth_message.as_slice(), &self.without_proof];
        let signature = *hmac_sha256(keys.server_key(), &auth_message);
        let proof = STANDARD.encode(keys.proof(&auth_message));
        let client_final = [self.without_proof.as_slice(), b",p=", proof.as_bytes()].concat();
        (client_final, ExpectServerFinal { signature })
    }
}

impl ExpectServerFinal {
    /// Checks server-final-message; on success the database is authenticated to us.
    ///
    /// # Errors
    /// [`ScramError::WrongSignature`], [`ScramError::ServerRefused`], [`ScramError::Malformed`],
    /// [`ScramError::MessageTooLong`].
    pub fn on_server_final(self, message: &[u8]) -> Result<(), ScramError> {
        check_message(message, SERVER_MESSAGE_BYTES_MAX)?;
        if message.starts_with(b"e=") {
            return Err(ScramError::ServerRefused);
        }
        let mut attributes = Attributes::new(message);
        let signature = decode_key(attributes.expect(b'v', Part::Signature)?, Part::Signature)?;
        attributes.skip_extensions()?;
        if bool::from(signature.ct_eq(&self.signature)) {
            Ok(())
        } else {
            Err(ScramError::WrongSignature)
        }
    }
}

impl fmt::Debug for ExpectServerFinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpectServerFinal").finish_non_exhaustive()
    }
}
