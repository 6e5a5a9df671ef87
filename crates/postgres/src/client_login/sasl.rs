//! The SASL states of a client's login: the offer, the first message, the proof.
//!
//! Each state is consumed by the message it waits for. The arithmetic is in `scram`; here are the messages around it and what a
//! failure is called.

use super::startup::Startup;
use super::{State, authentication, wrong_password};
use crate::login_cache::Work;
use crate::scram::{ExpectProof, Mechanism, NONCE_BYTES, ScramError, ServerFirst, Verifier};
use crate::wire::read::Fields;
use crate::wire::write::string;
use forebay_core::Refusal;
use forebay_core::orders::Orders;
use std::sync::Arc;

/// Whether there is a credential behind the verifier.
#[derive(Clone, Copy)]
pub(super) enum Subject {
    Known,
    /// The verifier is a mock.
    Unknown,
}

/// What a proof may meet: the verifier of the current password, and of the one before; of one salt.
pub(super) struct Verifiers {
    pub(super) current: Arc<Verifier>,
    pub(super) previous: Option<Arc<Verifier>>,
}

/// The mechanisms are offered; the client owes its choice and, as a rule, its first message.
pub(super) struct ExpectSaslInitial {
    startup: Box<Startup>,
    subject: Subject,
    verifiers: Verifiers,
    nonce: [u8; NONCE_BYTES],
    /// Present exactly when SCRAM-SHA-256-PLUS is offered.
    channel_binding: Option<Vec<u8>>,
}

/// The client chose a mechanism without a first message.
pub(super) struct ExpectSaslFirst {
    initial: ExpectSaslInitial,
    mechanism: Mechanism,
}

/// The client owes its proof.
pub(super) struct ExpectSaslProof {
    startup: Box<Startup>,
    subject: Subject,
    expect: ExpectProof,
}

impl ExpectSaslInitial {
    pub(super) fn new(
        startup: Box<Startup>,
        subject: Subject,
        verifiers: Verifiers,
        nonce: [u8; NONCE_BYTES],
        channel_binding: Option<Vec<u8>>,
    ) -> ExpectSaslInitial {
        ExpectSaslInitial {
            startup,
            subject,
            verifiers,
            nonce,
            channel_binding,
        }
    }

    /// AuthenticationSASL, the mechanism we prefer first.
    pub(super) fn write_offer(&self, out: &mut Vec<u8>) {
        let mut names = Vec::new();
        if self.channel_binding.is_some() {
            string(&mut names, Mechanism::ScramSha256Plus.as_str().as_bytes());
        }
        string(&mut names, Mechanism::ScramSha256.as_str().as_bytes());
        names.push(0);
        authentication(out, 10, &names);
    }

    /// SASLInitialResponse: mechanism, length, first message; a length of -1 stands for no message.
    pub(super) fn on_initial_response(
        self,
        body: &[u8],
        orders: &mut Orders<Work>,
    ) -> Result<State, Refusal> {
        let malformed = |_| Refusal::ProtocolViolation("invalid SASL initial response");
        let mut fields = Fields(body);
        let mechanism = fields.string().map_err(malformed)?;
        let mechanism = Mechanism::from_wire(mechanism).ok_or(Refusal::UnsupportedAuth)?;
        let len = fields.u32().map_err(malformed)?;
        if len == u32::MAX && fields.0.is_empty() {
            orders.to_client(|out| authentication(out, 11, &[]));
            return Ok(State::ExpectSaslFirst(ExpectSaslFirst {
                initial: self,
                mechanism,
            }));
        }
        if len as usize != fields.0.len() {
            return Err(Refusal::ProtocolViolation("invalid SASL initial response"));
        }
        self.on_first(mechanism, fields.0, orders)
    }

    fn on_first(
        self,
        mechanism: Mechanism,
        message: &[u8],
        orders: &mut Orders<Work>,
    ) -> Result<State, Refusal> {
        let channel_binding = self.channel_binding.as_deref();
        let (answer, expect) = ServerFirst::on_client_first(
            message,
            mechanism,
            &self.nonce,
            &self.verifiers.current,
            channel_binding,
        )
        .map_err(|error| refusal(error, self.subject, &self.startup))?;
        let expect = match &self.verifiers.previous {
            Some(previous) => expect.or(previous),
            None => expect,
        };
        orders.to_client(|out| authentication(out, 11, &answer));
        Ok(State::ExpectSaslProof(ExpectSaslProof {
            startup: self.startup,
            subject: self.subject,
            expect,
        }))
    }
}

impl ExpectSaslFirst {
    /// SASLResponse with the first message.
    pub(super) fn on_response(
        self,
        body: &[u8],
        orders: &mut Orders<Work>,
    ) -> Result<State, Refusal> {
        self.initial.on_first(self.mechanism, body, orders)
    }
}

impl ExpectSaslProof {
    /// SASLResponse with the proof; answered by AuthenticationSASLFinal.
    pub(super) fn on_response(
        self,
        body: &[u8],
        orders: &mut Orders<Work>,
    ) -> Result<Box<Startup>, Refusal> {
        let authenticated = self
            .expect
            .on_client_final(body)
            .map_err(|error| refusal(error, self.subject, &self.startup))?;
        orders.to_client(|out| authentication(out, 12, &authenticated.server_final));
        let mut startup = self.startup;
        startup.is_previous = authenticated.verifier > 0;
        Ok(startup)
    }
}

/// What a failed exchange is called. Only a wrong proof tells a user without a credential from a wrong password.
fn refusal(error: ScramError, subject: Subject, startup: &Startup) -> Refusal {
    match (error, subject) {
        (ScramError::WrongProof, Subject::Known) => wrong_password(startup),
        (ScramError::WrongProof, Subject::Unknown) => Refusal::NoCredentials {
            user: startup.user_shown(),
        },
        (ScramError::MechanismNotOffered, _) => Refusal::UnsupportedAuth,
        _ => match error.sqlstate() {
            "28000" => Refusal::ChannelBinding(text(error)),
            "0A000" => Refusal::FeatureNotSupported(text(error)),
            _ => Refusal::ProtocolViolation(text(error)),
        },
    }
}

/// PostgreSQL's words (auth-scram.c), less what it says of the bytes themselves.
fn text(error: ScramError) -> &'static str {
    match error {
        ScramError::MessageTooLong => "SCRAM message is too long",
        ScramError::UnsupportedBinding => "unsupported SCRAM channel-binding type",
        ScramError::Downgrade => "SCRAM channel binding negotiation error",
        ScramError::WrongBinding => "SCRAM channel binding check failed",
        ScramError::UnexpectedBinding => {
            "unexpected SCRAM channel-binding attribute in client-final-message"
        }
        ScramError::AuthorizationIdentity => {
            "client uses authorization identity, but it is not supported"
        }
        ScramError::UnsupportedExtension => "client requires an unsupported SCRAM extension",
        ScramError::NonceMismatch => "invalid SCRAM response",
        ScramError::UnprintableNonce => "non-printable characters in SCRAM nonce",
        ScramError::Malformed(_)
        | ScramError::MechanismMismatch
        | ScramError::MechanismNotOffered
        | ScramError::SaltTooLong
        | ScramError::TooManyIterations
        | ScramError::WrongProof
        | ScramError::ServerRefused
        | ScramError::WrongSignature => "malformed SCRAM message",
    }
}
