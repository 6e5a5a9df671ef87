//! Every way a SCRAM exchange can fail, as one small closed enum.
//!
//! The values carry no bytes of the peer and no secret, so they can be logged and shown as they are. Which of them a
//! client is told is the login's decision: PostgreSQL tells apart protocol violations from a wrong password, but never
//! an unknown user from a wrong password (both are [`ScramError::WrongProof`]).
use std::fmt;

/// Why an exchange, or reading a stored verifier, failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScramError {
    /// A message or stored verifier does not have the form RFC 5802 prescribes; the part says where.
    Malformed(Part),
    /// A message exceeds [`CLIENT_MESSAGE_BYTES_MAX`](super::CLIENT_MESSAGE_BYTES_MAX) or
    /// [`SERVER_MESSAGE_BYTES_MAX`](super::SERVER_MESSAGE_BYTES_MAX).
    MessageTooLong,
    /// The salt is longer than [`SALT_BYTES_MAX`](super::SALT_BYTES_MAX).
    SaltTooLong,
    /// The database asks for more iterations than the caller allows.
    TooManyIterations,
    /// The client chose SCRAM-SHA-256-PLUS although it was not offered.
    MechanismNotOffered,
    /// The binding flag contradicts the mechanism: `p` without PLUS, or `n`/`y` with it.
    MechanismMismatch,
    /// The client binds to the channel by another type than `tls-server-end-point`.
    UnsupportedBinding,
    /// The client says `y`, "the server does not offer channel binding", but we did: somebody between us and the
    /// client removed the offer.
    Downgrade,
    /// The client's channel binding data is not that of this connection: somebody relays the exchange.
    WrongBinding,
    /// The client says that it bound nothing when it had not announced it so (or the other way round).
    UnexpectedBinding,
    /// A nonce is not of printable characters.
    UnprintableNonce,
    /// The client asks to act as another identity (`a=`), which PostgreSQL does not support.
    AuthorizationIdentity,
    /// The peer requires an extension (`m=`); none exists.
    UnsupportedExtension,
    /// The nonce in the peer's message does not continue the nonces of this exchange.
    NonceMismatch,
    /// The client does not know the password, or its user is unknown.
    WrongProof,
    /// The database ended the exchange with an error (`e=`).
    ServerRefused,
    /// The database could not prove that it knows the password's verifier: it is not the server it claims to be.
    WrongSignature,
}

/// The part of a message that is not well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The message as a whole: empty, with a zero byte, or not a list of attributes.
    Message,
    /// The channel binding flag or the commas of the GS2 header that it opens.
    Gs2Header,
    /// `n=`, the user name (which PostgreSQL then ignores: the startup packet's counts).
    Username,
    /// `r=`, the nonce.
    Nonce,
    /// `s=`, the salt.
    Salt,
    /// `i=`, the iteration count.
    Iterations,
    /// `c=`, the channel binding.
    ChannelBinding,
    /// `p=`, the client's proof.
    Proof,
    /// `v=`, the server's signature.
    Signature,
    /// A stored verifier.
    Verifier,
}

impl ScramError {
    /// The SQLSTATE PostgreSQL reports for this fault of a client; `08P01` for the faults only a database can commit.
    pub fn sqlstate(self) -> &'static str {
        match self {
            ScramError::WrongProof => "28P01",
            ScramError::Downgrade | ScramError::WrongBinding => "28000",
            ScramError::AuthorizationIdentity | ScramError::UnsupportedExtension => "0A000",
            ScramError::Malformed(_)
            | ScramError::MessageTooLong
            | ScramError::SaltTooLong
            | ScramError::TooManyIterations
            | ScramError::MechanismNotOffered
            | ScramError::MechanismMismatch
            | ScramError::UnsupportedBinding
            | ScramError::UnexpectedBinding
            | ScramError::UnprintableNonce
            | ScramError::NonceMismatch
            | ScramError::ServerRefused
            | ScramError::WrongSignature => "08P01",
        }
    }
}

impl fmt::Display for ScramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            ScramError::Malformed(part) => {
                return write!(f, "malformed SCRAM message: {}", part.as_str());
            }
            ScramError::MessageTooLong => "SCRAM message is too long",
            ScramError::SaltTooLong => "SCRAM salt is too long",
            ScramError::TooManyIterations => "server asks for more SCRAM iterations than allowed",
            ScramError::MechanismNotOffered => {
                "client selected a SASL mechanism that was not offered"
            }
            ScramError::MechanismMismatch => {
                "SCRAM channel binding flag does not fit the selected mechanism"
            }
            ScramError::UnsupportedBinding => "unsupported SCRAM channel binding type",
            ScramError::Downgrade => {
                "client believes that channel binding was not offered, but it was"
            }
            ScramError::WrongBinding => "SCRAM channel binding check failed",
            ScramError::UnexpectedBinding => "unexpected SCRAM channel binding data",
            ScramError::UnprintableNonce => "SCRAM nonce has characters that are not printable",
            ScramError::AuthorizationIdentity => {
                "client uses authorization identity, but it is not supported"
            }
            ScramError::UnsupportedExtension => "peer requires an unsupported SCRAM extension",
            ScramError::NonceMismatch => "SCRAM nonce does not match",
            ScramError::WrongProof => "password authentication failed",
            ScramError::ServerRefused => "server ended the SCRAM exchange with an error",
            ScramError::WrongSignature => "server could not prove that it knows the password",
        };
        f.write_str(text)
    }
}

impl std::error::Error for ScramError {}

impl Part {
    fn as_str(self) -> &'static str {
        match self {
            Part::Message => "not a list of attributes",
            Part::Gs2Header => "channel binding flag",
            Part::Username => "user name",
            Part::Nonce => "nonce",
            Part::Salt => "salt",
            Part::Iterations => "iteration count",
            Part::ChannelBinding => "channel binding data",
            Part::Proof => "proof",
            Part::Signature => "server signature",
            Part::Verifier => "stored verifier",
        }
    }
}
