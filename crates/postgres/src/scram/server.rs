//! The server's side: authenticates our client against a [`Verifier`], in microseconds.
//!
//! ```text
//! SASLInitialResponse --ServerFirst::on_client_first--> server-first-message, ExpectProof
//! SASLResponse        --ExpectProof::on_client_final--> server-final-message, the client is who it says
//! ```
//! Any error ends the exchange. What binds to the TLS channel follows RFC 5802 section 6 and PostgreSQL: with the offer
//! of PLUS standing, a client may say `n` (it cannot bind) or bind, but not `y` (it could, but saw no offer).
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq as _;

use super::attributes::{Attributes, check_message, check_nonce, decode_key};
use super::keys::{ClientKeys, Key, hmac_sha256, sha256, xor};
use super::{
    CLIENT_MESSAGE_BYTES_MAX, Mechanism, NONCE_BYTES, Part, ScramError, TLS_SERVER_END_POINT,
    Verifier,
};

/// The state before the client's first message: it holds nothing, all it needs comes with that message.
#[derive(Debug)]
pub struct ServerFirst;

/// The state after the server's first message: the client owes its proof.
pub struct ExpectProof {
    /// `c=` must be this: base64 of the client's own GS2 header and the channel's data.
    binding: String,
    /// What it is called if it is not.
    binding_fault: ScramError,
    /// `r=` must be this: the client's nonce and ours.
    nonce: Vec<u8>,
    /// `client-first-message-bare "," server-first-message ","`.
    auth_message: Vec<u8>,
    /// StoredKey and ServerKey of each verifier that may be met.
    keys: Vec<(Key, Key)>,
}

/// The client knows the password.
pub struct Authenticated {
    /// Which verifier it has met: 0 for the one that it was told of, then those of [`ExpectProof::or`].
    pub verifier: usize,
    /// server-final-message (`v=…`), the data of AuthenticationSASLFinal: proves to the client that we knew the verifier.
    pub server_final: Vec<u8>,
    /// The client's own keys, which its proof discloses: they log in, without a password, to any database whose
    /// verifier has the same salt and iterations as the one used here.
    pub keys: ClientKeys,
}

impl ServerFirst {
    /// Answers client-first-message with server-first-message (the data of AuthenticationSASLContinue).
    ///
    /// `mechanism` is the one the client selected, `nonce` fresh random bytes, `channel_binding` the
    /// `tls-server-end-point` data of this connection: present exactly when SCRAM-SHA-256-PLUS was offered. An unknown
    /// user is given [`Verifier::mock`]; the user name inside the message does not count, as in PostgreSQL.
    ///
    /// # Errors
    /// Every variant of [`ScramError`] that blames a client, except those of the final message.
    pub fn on_client_first(
        message: &[u8],
        mechanism: Mechanism,
        nonce: &[u8; NONCE_BYTES],
        verifier: &Verifier,
        channel_binding: Option<&[u8]>,
    ) -> Result<(Vec<u8>, ExpectProof), ScramError> {
        let nonce = STANDARD.encode(nonce);
        respond(
            message,
            mechanism,
            nonce.as_bytes(),
            verifier,
            channel_binding,
        )
    }
}

/// [`ServerFirst::on_client_first`] with our nonce as it stands on the wire.
pub(super) fn respond(
    message: &[u8],
    mechanism: Mechanism,
    our_nonce: &[u8],
    verifier: &Verifier,
    channel_binding: Option<&[u8]>,
) -> Result<(Vec<u8>, ExpectProof), ScramError> {
    check_message(message, CLIENT_MESSAGE_BYTES_MAX)?;
    let (gs2_header, bare) = split_gs2_header(message)?;
    let bound_data = check_binding_flag(gs2_header, mechanism, channel_binding)?;
    let client_nonce = read_bare(bare)?;

    let nonce = [client_nonce, our_nonce].concat();
    let salt = STANDARD.encode(verifier.salt());
    let tail = format!(",s={salt},i={}", verifier.iterations());
    let server_first = [b"r=", nonce.as_slice(), tail.as_bytes()].concat();
    let expect = ExpectProof {
        binding: STANDARD.encode([gs2_header, bound_data].concat()),
        // To the channel somebody could be relaying; without it the client contradicts itself.
        binding_fault: match mechanism {
            Mechanism::ScramSha256Plus => ScramError::WrongBinding,
            Mechanism::ScramSha256 => ScramError::UnexpectedBinding,
        },
        nonce,
        auth_message: [bare, b",", &server_first, b","].concat(),
        keys: vec![keys_of(verifier)],
    };
    Ok((server_first, expect))
}

fn keys_of(verifier: &Verifier) -> (Key, Key) {
    (verifier.stored_key().clone(), verifier.server_key().clone())
}

impl ExpectProof {
    /// A proof that meets this verifier does as well, if its salt and iterations are those that the client was told: a client that is
    /// told one salt proves one password by it.
    #[must_use]
    pub fn or(mut self, verifier: &Verifier) -> ExpectProof {
        self.keys.push(keys_of(verifier));
        self
    }

    /// Checks client-final-message; on success the client is authenticated. Costs two HMACs and a hash.
    ///
    /// # Errors
    /// [`ScramError::WrongProof`] for a wrong password or a mock verifier; [`ScramError::WrongBinding`],
    /// [`ScramError::NonceMismatch`], [`ScramError::MessageTooLong`], [`ScramError::Malformed`].
    pub fn on_client_final(self, message: &[u8]) -> Result<Authenticated, ScramError> {
        check_message(message, CLIENT_MESSAGE_BYTES_MAX)?;
        let (without_proof, proof) = self.read_client_final(message)?;
        let auth_message = [self.auth_message.as_slice(), without_proof];
        for (verifier, (stored_key, server_key)) in self.keys.iter().enumerate() {
            let client_key = xor(&proof, &hmac_sha256(stored_key, &auth_message));
            if bool::from(sha256(&client_key).ct_eq(stored_key.as_slice())) {
                let signature = hmac_sha256(server_key, &auth_message);
                return Ok(Authenticated {
                    verifier,
                    server_final: format!("v={}", STANDARD.encode(*signature)).into_bytes(),
                    keys: ClientKeys::proven(client_key, stored_key, server_key),
                });
            }
        }
        Err(ScramError::WrongProof)
    }

    /// `c=…,r=…[,extensions],p=…` cut into what precedes `,p=` and the proof.
    fn read_client_final<'a>(&self, message: &'a [u8]) -> Result<(&'a [u8], [u8; 32]), ScramError> {
        let mut attributes = Attributes::new(message);
        self.check_binding(attributes.expect(b'c', Part::ChannelBinding)?)?;
        if attributes.expect(b'r', Part::Nonce)? != self.nonce {
            return Err(ScramError::NonceMismatch);
        }
        let (without_proof, proof) = loop {
            // Without the comma before the attribute: `c` and `r` precede it, and the cursor is one beyond the end at most.
            let before = &message[..attributes.next_at() - 1];
            match attributes.next()? {
                Some((b'p', value)) => break (before, decode_key(value, Part::Proof)?),
                Some(_extension) => {}
                None => return Err(ScramError::Malformed(Part::Proof)),
            }
        };
        match attributes.next()? {
            None => Ok((without_proof, proof)),
            Some(_) => Err(ScramError::Malformed(Part::Message)),
        }
    }

    /// The encoded forms are compared, as PostgreSQL does.
    fn check_binding(&self, value: &[u8]) -> Result<(), ScramError> {
        if value == self.binding.as_bytes() {
            Ok(())
        } else {
            Err(self.binding_fault)
        }
    }
}

impl fmt::Debug for ExpectProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExpectProof").finish_non_exhaustive()
    }
}

impl fmt::Debug for Authenticated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticated").finish_non_exhaustive()
    }
}

/// Cuts client-first-message behind `gs2-cbind-flag "," [authzid] ","`; an authorization identity is refused here.
fn split_gs2_header(message: &[u8]) -> Result<(&[u8], &[u8]), ScramError> {
    let flag_end = memchr::memchr(b',', message).ok_or(ScramError::Malformed(Part::Gs2Header))?;
    match &message[flag_end + 1..] {
        [b',', ..] => Ok(message.split_at(flag_end + 2)),
        [b'a', ..] => Err(ScramError::AuthorizationIdentity),
        _ => Err(ScramError::Malformed(Part::Gs2Header)),
    }
}

/// Judges the flag by what was offered and selected; the data that `c=` must carry beyond the header.
fn check_binding_flag<'a>(
    gs2_header: &[u8],
    mechanism: Mechanism,
    channel_binding: Option<&'a [u8]>,
) -> Result<&'a [u8], ScramError> {
    let flag = &gs2_header[..gs2_header.len() - 2];
    match (flag, mechanism, channel_binding) {
        (_, Mechanism::ScramSha256Plus, None) => Err(ScramError::MechanismNotOffered),
        (b"n", Mechanism::ScramSha256, _) | (b"y", Mechanism::ScramSha256, None) => Ok(&[]),
        (b"y", Mechanism::ScramSha256, Some(_)) => Err(ScramError::Downgrade),
        (b"n" | b"y", Mechanism::ScramSha256Plus, _) => Err(ScramError::MechanismMismatch),
        ([b'p', b'=', ..], Mechanism::ScramSha256, _) => Err(ScramError::MechanismMismatch),
        ([b'p', b'=', name @ ..], Mechanism::ScramSha256Plus, Some(data)) => match name {
            TLS_SERVER_END_POINT => Ok(data),
            _ => Err(ScramError::UnsupportedBinding),
        },
        _ => Err(ScramError::Malformed(Part::Gs2Header)),
    }
}

/// The nonce in client-first-message-bare: `n=…,r=…[,extensions]`.
fn read_bare(bare: &[u8]) -> Result<&[u8], ScramError> {
    let mut attributes = Attributes::new(bare);
    attributes.expect_first(b'n', Part::Username)?;
    let nonce = attributes.expect(b'r', Part::Nonce)?;
    check_nonce(nonce)?;
    attributes.skip_extensions()?;
    Ok(nonce)
}
