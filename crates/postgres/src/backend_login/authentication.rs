//! Answers to a database's authentication requests: the password in clear under TLS, MD5, or SCRAM with the strongest binding that
//! both sides know.
//!
//! AuthenticationOk ends SCRAM only after the database's own signature was checked.

use super::{BackendLogin, Channel, Failure, State};
use crate::login_cache::{LoginCache, Work};
use crate::md5_password::Md5Hash;
use crate::scram::{
    ClientBinding, ClientFirst, ClientKeys, ExpectServerFinal, ITERATIONS_MAX_DEFAULT, Mechanism,
    NONCE_BYTES, NeedKeys, ScramError,
};
use crate::wire::read::Fields;
use crate::wire::write;
use forebay_core::Refusal;
use forebay_core::orders::{Order, Orders};
use secrecy::ExposeSecret as _;

/// Authentication requests.
impl BackendLogin {
    pub(super) fn on_authentication(
        &mut self,
        state: State,
        body: &[u8],
        cache: &mut LoginCache,
        orders: &mut Orders<Work>,
    ) -> Result<State, Failure> {
        let mut fields = Fields(body);
        let kind = fields.u32().map_err(|error| error.as_str())?;
        match (state, kind) {
            (State::ExpectRequest | State::ExpectOk, 0) => Ok(State::ExpectReady),
            (State::ExpectRequest, 3) => self.send_clear_text(orders),
            (State::ExpectRequest, 5) => self.send_md5(fields.0, orders),
            (State::ExpectRequest, 10) => self.choose_mechanism(fields, orders),
            (State::ExpectRequest, 2 | 7 | 9) => Err(Failure::Untrusted(
                "the database asks for GSSAPI, Kerberos or SSPI authentication",
            )),
            (State::ExpectSaslContinue(first), 11) => {
                self.on_sasl_continue(first, fields.0, cache, orders)
            }
            (State::ExpectSaslFinal(expect), 12) => on_sasl_final(expect, fields.0),
            (State::ExpectSaslContinue(_) | State::ExpectSaslFinal(_), 0) => {
                Err(Failure::Untrusted(
                    "the database accepts the login without proving that it knows the password",
                ))
            }
            (State::ExpectRequest, _) => Err(Failure::Untrusted(
                "the database asks for an unknown kind of authentication",
            )),
            _ => Err("the database sent an unexpected authentication request".into()),
        }
    }

    fn send_clear_text(&self, orders: &mut Orders<Work>) -> Result<State, Failure> {
        if !self.is_tls() {
            return Err(Failure::Untrusted(
                "the database asks for the password in clear text, but the connection has no TLS",
            ));
        }
        send_password(
            self.facts.credential.password.expose_secret().as_bytes(),
            orders,
        );
        Ok(State::ExpectOk)
    }

    fn send_md5(&self, salt: &[u8], orders: &mut Orders<Work>) -> Result<State, Failure> {
        let salt = salt
            .try_into()
            .map_err(|_| "the database sent a malformed MD5 salt")?;
        let credential = &self.facts.credential;
        let hash = Md5Hash::of(&credential.username, credential.password.expose_secret());
        send_password(&hash.response(salt), orders);
        Ok(State::ExpectOk)
    }

    /// AuthenticationSASL: names up to an empty one.
    fn choose_mechanism(
        &self,
        mut names: Fields<'_>,
        orders: &mut Orders<Work>,
    ) -> Result<State, Failure> {
        let (mut plain, mut plus) = (false, false);
        loop {
            let name = names.string().map_err(|error| error.as_str())?;
            match Mechanism::from_wire(name) {
                Some(Mechanism::ScramSha256) => plain = true,
                Some(Mechanism::ScramSha256Plus) => plus = true,
                None if name.is_empty() => break,
                None => {}
            }
        }
        let binding = match &self.channel {
            Channel::Tls {
                server_end_point: Some(data),
            } if plus => ClientBinding::TlsServerEndPoint(data.clone()),
            Channel::Tls {
                server_end_point: Some(_),
            } => ClientBinding::SupportedButNotUsed,
            Channel::Tls {
                server_end_point: None,
            }
            | Channel::Clear => ClientBinding::None,
        };
        if binding.mechanism() == Mechanism::ScramSha256 && !plain {
            return Err(Failure::Untrusted(
                "the database offers no SASL mechanism that is known here",
            ));
        }
        let nonce: &[u8; NONCE_BYTES] = self
            .facts
            .entropy
            .first_chunk()
            .expect("32 bytes are enough for a nonce");
        let first = ClientFirst::new(nonce, binding);
        orders.to_backend(|out| sasl_initial_response(out, &first));
        Ok(State::ExpectSaslContinue(first))
    }

    fn on_sasl_continue(
        &self,
        first: ClientFirst,
        message: &[u8],
        cache: &mut LoginCache,
        orders: &mut Orders<Work>,
    ) -> Result<State, Failure> {
        let need = first
            .on_server_first(message, ITERATIONS_MAX_DEFAULT)
            .map_err(scram_failed)?;
        match cache.keys(&self.facts.credential, need.salt(), need.iterations()) {
            Ok(keys) => Ok(prove(need, &keys, orders)),
            Err(work) => {
                orders.push(Order::Work(work));
                Ok(State::DerivingKeys(need))
            }
        }
    }
}

/// Sends the proof; the database owes its own.
pub(super) fn prove(need: NeedKeys, keys: &ClientKeys, orders: &mut Orders<Work>) -> State {
    let (message, expect) = need.with_keys(keys);
    orders.to_backend(|out| write::message(out, b'p', |out| out.extend_from_slice(&message)));
    State::ExpectSaslFinal(expect)
}

fn on_sasl_final(expect: ExpectServerFinal, message: &[u8]) -> Result<State, Failure> {
    expect
        .on_server_final(message)
        .map(|()| State::ExpectOk)
        .map_err(scram_failed)
}

fn sasl_initial_response(out: &mut Vec<u8>, first: &ClientFirst) {
    let message = first.message();
    write::message(out, b'p', |out| {
        write::string(out, first.mechanism().as_str().as_bytes());
        let len = u32::try_from(message.len()).expect("a first message has about a hundred bytes");
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&message);
    });
}

fn send_password(password: &[u8], orders: &mut Orders<Work>) {
    orders.to_backend(|out| write::message(out, b'p', |out| write::string(out, password)));
}

fn scram_failed(error: ScramError) -> Failure {
    Failure::Refused(Refusal::TargetAuthentication {
        detail: format!("SCRAM with the database failed: {error}").into(),
    })
}
