//! Who is there, on the client's side: from the first byte to the moment the client has proven itself.
//!
//! ```text
//! ExpectFirst --SSLRequest--> ExpectTls --on_tls--> ExpectFirst     (direct TLS goes the same way)
//! ExpectFirst --StartupMessage--> [DerivingVerifier --on_work-->] ExpectSaslInitial --> ExpectSaslProof --> Admitted
//!                            '--> ExpectMd5 | ExpectClear --> Admitted
//! ```
//! `AuthenticationOk` is not sent here: errors of the database come before it, as on a direct connection. A client certificate is
//! verified by TLS if the proxy has authorities for it; the password is asked for all the same. A user without a credential goes
//! through the whole exchange and fails at the proof. Nothing is kept of a message whose length is above its bound.
//! Source: PostgreSQL documentation, "Message Flow: Start-up" and "SASL Authentication"; backend_startup.c, auth.c.

mod options;
mod password;
mod sasl;
mod start_only;
mod startup;

use crate::login_cache::{Done, LoginCache, Work};
use crate::scram::{NONCE_BYTES, Verifier};
use crate::wire::startup::{First, first};
use crate::wire::{DecodeError, HEADER_BYTES, header, write};
use forebay_core::engine::{ClientFacts, TlsFacts};
use forebay_core::orders::{Admission, CancelKey, Order, Orders};
use forebay_core::snapshot::{ClientAuth, Credential};
use forebay_core::{CloseReason, PinReason, Refusal};
use password::{ExpectClear, ExpectMd5};
use sasl::{ExpectSaslFirst, ExpectSaslInitial, ExpectSaslProof, Subject, Verifiers};
use startup::Startup;
use std::sync::Arc;

/// Longest message of an authentication exchange; SASL messages are at most 1024 bytes.
const MESSAGE_BYTES_MAX: usize = 2 * 1024;

/// Longest message with a password in clear: tokens come that way, too.
const CLEAR_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// First byte of a TLS handshake record: direct TLS.
const TLS_HANDSHAKE: u8 = 0x16;

/// What ALPN must agree on before a client may begin with TLS (PostgreSQL documentation, "SSL Session Encryption").
pub const ALPN: &[u8] = b"postgresql";

/// The machine that authenticates one client.
pub struct ClientLogin {
    facts: ClientFacts,
    channel: Channel,
    state: State,
}

/// A client that has proven who it is.
pub struct Admitted {
    /// Database user.
    pub user: String,
    /// Database.
    pub database: String,
    /// Settings of the startup message: lower-case names, values as given, each name once, in order, but those that a backend of its
    /// own was started with. Empty for replication, whose backend reads them all itself.
    pub baseline: Vec<(String, String)>,
    /// Minor version of protocol 3 that was agreed on.
    pub minor: u16,
    /// Process number for `BackendKeyData`.
    pub process: u32,
    /// Number of the session.
    pub session: u64,
    /// Secret for `BackendKeyData`: 4 bytes before protocol 3.2, else 32.
    pub secret: Box<[u8]>,
    /// Why the session has a backend of its own from start to end, if it has.
    pub dedicated: Option<PinReason>,
}

impl std::fmt::Debug for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admitted")
            .field("user", &self.user)
            .field("database", &self.database)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ClientLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientLogin")
            .field("session", &self.facts.session)
            .finish_non_exhaustive()
    }
}

/// The keys that a proof by SCRAM may meet are made, one after the other.
struct Deriving {
    startup: Box<Startup>,
    credential: Arc<Credential>,
    /// Of the current password.
    made: Option<Arc<Verifier>>,
}

/// What the bytes go through.
enum Channel {
    Clear,
    Tls {
        server_end_point: Option<Vec<u8>>,
        client_certificate: bool,
    },
}

enum State {
    ExpectFirst(Asked),
    ExpectTls(TlsStart),
    DerivingVerifier(Deriving),
    ExpectSaslInitial(ExpectSaslInitial),
    ExpectSaslFirst(ExpectSaslFirst),
    ExpectSaslProof(ExpectSaslProof),
    ExpectMd5(ExpectMd5),
    ExpectClear(ExpectClear),
    Admitted(Box<Startup>),
    /// Refused, or a cancel request: nothing more is read.
    Over,
}

/// Encryption that was asked for before; each kind may be asked for once.
#[derive(Clone, Copy, Default)]
struct Asked {
    ssl: bool,
    gss: bool,
}

/// How TLS began.
enum TlsStart {
    /// By SSLRequest.
    Requested(Asked),
    /// By its own first byte, which only ALPN justifies.
    Direct,
}

/// The random bytes of a login, each used for one thing.
struct Entropy<'a> {
    cancel_secret: &'a [u8; 32],
    nonce: &'a [u8; NONCE_BYTES],
    md5_salt: &'a [u8; 4],
}

impl ClientLogin {
    /// A client connected.
    pub fn new(facts: ClientFacts) -> ClientLogin {
        ClientLogin {
            facts,
            channel: Channel::Clear,
            state: State::ExpectFirst(Asked::default()),
        }
    }

    /// The client's bytes.
    pub fn on_bytes(&mut self, cache: &mut LoginCache, input: &[u8], orders: &mut Orders<Work>) {
        let mut input = input;
        while !input.is_empty() {
            let used = match self.state {
                State::ExpectFirst(asked) => self.read_first(asked, cache, input, orders),
                State::ExpectTls(_)
                | State::DerivingVerifier(_)
                | State::Admitted(_)
                | State::Over => return,
                _ => self.read_message(input, orders),
            };
            match used {
                Ok(Some(len)) => input = &input[len..],
                Ok(None) => return,
                Err(refusal) => return self.refuse(refusal, orders),
            }
        }
    }

    /// The TLS handshake is complete.
    pub fn on_tls(&mut self, facts: &TlsFacts, orders: &mut Orders<Work>) {
        let asked = match self.state {
            State::ExpectTls(TlsStart::Requested(asked)) => asked,
            State::ExpectTls(TlsStart::Direct) if facts.alpn.as_deref() == Some(ALPN) => {
                Asked::default()
            }
            State::ExpectTls(TlsStart::Direct) => {
                let text = "received direct SSL connection request without ALPN protocol negotiation extension";
                return self.refuse(Refusal::ProtocolViolation(text), orders);
            }
            _ => {
                return orders.push(Order::Bug(
                    "TLS completed for a client that did not begin it",
                ));
            }
        };
        self.channel = Channel::Tls {
            server_end_point: facts.server_end_point.clone(),
            client_certificate: facts.client_certificate,
        };
        self.state = State::ExpectFirst(asked);
    }

    /// A verifier is derived.
    pub fn on_work(&mut self, cache: &mut LoginCache, done: Done, orders: &mut Orders<Work>) {
        match (std::mem::replace(&mut self.state, State::Over), done) {
            (State::DerivingVerifier(deriving), Done::Verifier(verifier)) => {
                self.state = self.on_verifier(deriving, verifier, cache, orders);
                if !matches!(self.state, State::DerivingVerifier(_)) {
                    orders.push(Order::Resume);
                }
            }
            (State::Over, _) => {}
            _ => orders.push(Order::Bug(
                "a client login was given work that it did not order",
            )),
        }
    }

    /// What the login found out; `None` unless it ordered [`Order::Admit`].
    pub fn into_admitted(self) -> Option<Admitted> {
        let State::Admitted(startup) = self.state else {
            return None;
        };
        let secret = entropy(&self.facts.entropy).cancel_secret;
        let secret_bytes = if startup.minor >= 2 { 32 } else { 4 };
        Some(Admitted {
            user: startup.user_shown(),
            database: startup.database,
            baseline: startup.baseline,
            minor: startup.minor,
            process: self.facts.process,
            session: self.facts.session,
            secret: secret[..secret_bytes].into(),
            dedicated: startup.dedicated.map(|dedicated| dedicated.reason),
        })
    }

    fn refuse(&mut self, refusal: Refusal, orders: &mut Orders<Work>) {
        self.state = State::Over;
        orders.refuse(refusal);
    }

    /// Whether TLS has verified a certificate of the client's.
    fn showed_certificate(&self) -> bool {
        matches!(
            self.channel,
            Channel::Tls {
                client_certificate: true,
                ..
            }
        )
    }

    fn is_tls(&self) -> bool {
        matches!(self.channel, Channel::Tls { .. })
    }
}

/// Before the startup message. Readers answer how much they consumed, or `None` when nothing more is to be read now.
impl ClientLogin {
    fn read_first(
        &mut self,
        asked: Asked,
        cache: &mut LoginCache,
        input: &[u8],
        orders: &mut Orders<Work>,
    ) -> Result<Option<usize>, Refusal> {
        if input[0] == TLS_HANDSHAKE && !self.is_tls() && !asked.ssl && !asked.gss {
            self.start_direct_tls(orders);
            return Ok(None);
        }
        let (packet, len) = match first(input).map_err(|error| not_a_packet(error, input))? {
            Ok(packet) => packet,
            Err(need) => {
                orders.push(Order::Need(need));
                return Ok(None);
            }
        };
        let is_last = len == input.len();
        orders.swallow(len);
        match packet {
            First::Ssl => self.on_ssl_request(asked, is_last, orders)?,
            First::Gss => self.on_gss_request(asked, is_last, orders)?,
            First::Cancel { process, secret } => {
                let secret = secret.to_vec();
                orders.push(Order::Cancel(Box::new(CancelKey {
                    process,
                    secret,
                    ends: false,
                })));
                self.state = State::Over;
            }
            First::Startup {
                version,
                parameters,
            } => self.state = self.on_startup(version, parameters, cache, orders)?,
        }
        Ok(Some(len))
    }

    fn start_direct_tls(&mut self, orders: &mut Orders<Work>) {
        if self.facts.proxy.tls.is_none() {
            self.state = State::Over;
            orders.push(Order::Close(CloseReason::ClientProtocol));
            return;
        }
        self.state = State::ExpectTls(TlsStart::Direct);
        orders.push(Order::StartTls);
    }

    fn on_ssl_request(
        &mut self,
        asked: Asked,
        is_last: bool,
        orders: &mut Orders<Work>,
    ) -> Result<(), Refusal> {
        if asked.ssl || self.is_tls() {
            return Err(Refusal::ProtocolViolation("unexpected SSL request"));
        }
        // What came in clear behind the request could have been put there by anybody, and must not be taken for what the client
        // says under TLS (CVE-2021-23222).
        if !is_last {
            return Err(Refusal::ProtocolViolation(
                "received unencrypted data after SSL request",
            ));
        }
        let asked = Asked { ssl: true, ..asked };
        if self.facts.proxy.tls.is_some() {
            orders.to_client(|out| out.push(b'S'));
            orders.push(Order::StartTls);
            self.state = State::ExpectTls(TlsStart::Requested(asked));
        } else {
            orders.to_client(|out| out.push(b'N'));
            self.state = State::ExpectFirst(asked);
        }
        Ok(())
    }

    fn on_gss_request(
        &mut self,
        asked: Asked,
        is_last: bool,
        orders: &mut Orders<Work>,
    ) -> Result<(), Refusal> {
        if asked.gss || self.is_tls() {
            return Err(Refusal::ProtocolViolation(
                "unexpected GSSAPI encryption request",
            ));
        }
        if !is_last {
            return Err(Refusal::ProtocolViolation(
                "received unencrypted data after GSSAPI encryption request",
            ));
        }
        orders.to_client(|out| out.push(b'N'));
        self.state = State::ExpectFirst(Asked { gss: true, ..asked });
        Ok(())
    }

    fn on_startup(
        &mut self,
        version: u32,
        parameters: &[u8],
        cache: &mut LoginCache,
        orders: &mut Orders<Work>,
    ) -> Result<State, Refusal> {
        let [major, minor] = halves(version);
        if major != 3 {
            return Err(Refusal::ProtocolVersion { major, minor });
        }
        if self.facts.proxy.require_tls && !self.is_tls() {
            return Err(Refusal::TlsRequired);
        }
        let tls = self.facts.proxy.tls.as_ref();
        if tls.is_some_and(|tls| !tls.client_authorities.is_empty()) && !self.showed_certificate() {
            return Err(Refusal::CertificateRequired);
        }
        let startup = Box::new(Startup::read(minor, parameters)?);
        if startup.is_negotiated {
            orders.to_client(|out| startup.write_negotiation(out));
        }
        if startup.user.is_empty() {
            return Err(Refusal::MissingUser);
        }
        self.ask_for_proof(startup, cache, orders)
    }

    fn ask_for_proof(
        &mut self,
        startup: Box<Startup>,
        cache: &mut LoginCache,
        orders: &mut Orders<Work>,
    ) -> Result<State, Refusal> {
        let known = startup.known_user();
        let credential = known.and_then(|user| self.facts.proxy.credential(user));
        let Some(credential) = credential.cloned() else {
            let mock = Verifiers {
                current: Arc::new(cache.mock(&startup.user_shown())),
                previous: None,
            };
            return Ok(self.offer_sasl(startup, Subject::Unknown, mock, orders));
        };
        match credential.client_auth {
            ClientAuth::ScramSha256 => {
                let verifier = cache.verifier(&credential);
                let deriving = Deriving {
                    startup,
                    credential,
                    made: None,
                };
                match verifier {
                    Ok(verifier) => Ok(self.on_verifier(deriving, verifier, cache, orders)),
                    Err(work) => Ok(derive(deriving, work, orders)),
                }
            }
            ClientAuth::Md5 => {
                let salt = *entropy(&self.facts.entropy).md5_salt;
                orders.to_client(|out| authentication(out, 5, &salt));
                Ok(State::ExpectMd5(ExpectMd5 {
                    startup,
                    credential,
                    salt,
                }))
            }
            ClientAuth::ClearText if self.is_tls() => {
                orders.to_client(|out| authentication(out, 3, &[]));
                Ok(State::ExpectClear(ExpectClear {
                    startup,
                    credential,
                }))
            }
            // MySQL's: configuration does not allow them for this family.
            ClientAuth::NativePassword
            | ClientAuth::CachingSha2
            | ClientAuth::Ed25519
            | ClientAuth::Parsec => Err(Refusal::UnsupportedAuth),
            ClientAuth::ClearText => Err(Refusal::ClearTextNeedsTls {
                user: startup.user_shown(),
            }),
        }
    }

    /// One of the verifiers is there: the exchange begins once all are.
    fn on_verifier(
        &self,
        deriving: Deriving,
        verifier: Arc<Verifier>,
        cache: &mut LoginCache,
        orders: &mut Orders<Work>,
    ) -> State {
        let verifiers = match (deriving.made, &deriving.credential.previous) {
            (Some(current), _) => Verifiers {
                current,
                previous: Some(verifier),
            },
            (None, None) => Verifiers {
                current: verifier,
                previous: None,
            },
            (None, Some(previous)) => match cache.verifier(previous) {
                Ok(previous) => Verifiers {
                    current: verifier,
                    previous: Some(previous),
                },
                Err(work) => {
                    let made = Some(verifier);
                    return derive(Deriving { made, ..deriving }, work, orders);
                }
            },
        };
        self.offer_sasl(deriving.startup, Subject::Known, verifiers, orders)
    }

    fn offer_sasl(
        &self,
        startup: Box<Startup>,
        subject: Subject,
        verifiers: Verifiers,
        orders: &mut Orders<Work>,
    ) -> State {
        let channel_binding = match &self.channel {
            Channel::Tls {
                server_end_point, ..
            } => server_end_point.clone(),
            Channel::Clear => None,
        };
        let nonce = *entropy(&self.facts.entropy).nonce;
        let state = ExpectSaslInitial::new(startup, subject, verifiers, nonce, channel_binding);
        orders.to_client(|out| state.write_offer(out));
        State::ExpectSaslInitial(state)
    }
}

/// After the startup message: password messages, whose bodies differ by what is awaited.
impl ClientLogin {
    fn read_message(
        &mut self,
        input: &[u8],
        orders: &mut Orders<Work>,
    ) -> Result<Option<usize>, Refusal> {
        match input[0] {
            b'p' => {}
            b'X' => {
                self.state = State::Over;
                orders.push(Order::Close(CloseReason::ClientQuit));
                return Ok(None);
            }
            _ => return Err(Refusal::ProtocolViolation(self.state.expected())),
        }
        let len = match header(input).map_err(|error| Refusal::ProtocolViolation(error.as_str()))? {
            Some(header) => header.len,
            None => HEADER_BYTES,
        };
        let max = self.state.message_bytes_max();
        if len > max {
            let max = u32::try_from(max).expect("bounds here are kilobytes");
            return Err(Refusal::MessageTooLarge { max });
        }
        if input.len() < len {
            orders.push(Order::Need(len));
            return Ok(None);
        }
        // Before any order that the message causes: whoever admits the client may look at its input at once.
        orders.swallow(len);
        self.on_password(&input[HEADER_BYTES..len], orders)?;
        Ok(Some(len))
    }

    fn on_password(&mut self, body: &[u8], orders: &mut Orders<Work>) -> Result<(), Refusal> {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::ExpectSaslInitial(state) => state.on_initial_response(body, orders)?,
            State::ExpectSaslFirst(state) => state.on_response(body, orders)?,
            State::ExpectSaslProof(state) => admit(state.on_response(body, orders)?, orders),
            State::ExpectMd5(state) => admit(state.on_password(body)?, orders),
            State::ExpectClear(state) => admit(state.on_password(body)?, orders),
            state @ (State::ExpectFirst(_)
            | State::ExpectTls(_)
            | State::DerivingVerifier(_)
            | State::Admitted(_)
            | State::Over) => state,
        };
        Ok(())
    }
}

impl State {
    fn expected(&self) -> &'static str {
        match self {
            State::ExpectMd5(_) | State::ExpectClear(_) => "expected password response",
            _ => "expected SASL response",
        }
    }

    fn message_bytes_max(&self) -> usize {
        match self {
            State::ExpectClear(_) => CLEAR_MESSAGE_BYTES_MAX,
            _ => MESSAGE_BYTES_MAX,
        }
    }
}

/// Orders a verifier and waits for it.
fn derive(deriving: Deriving, work: Work, orders: &mut Orders<Work>) -> State {
    orders.push(Order::Pause);
    orders.push(Order::Work(work));
    State::DerivingVerifier(deriving)
}

fn admit(startup: Box<Startup>, orders: &mut Orders<Work>) -> State {
    orders.push(Order::Admit(Box::new(Admission {
        user: startup.user_shown(),
        database: startup.database.clone(),
        handshake: 0,
        dedicated: startup.dedicated.as_ref().map(|own| own.parameters.clone()),
        is_previous: startup.is_previous,
    })));
    State::Admitted(startup)
}

fn wrong_password(startup: &Startup) -> Refusal {
    Refusal::WrongPassword {
        user: startup.user_shown(),
    }
}

/// An authentication request of this kind (PostgreSQL documentation, "Message Formats").
fn authentication(out: &mut Vec<u8>, kind: u32, data: &[u8]) {
    write::message(out, b'R', |out| {
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(data);
    });
}

/// What is told of bytes that are no startup packet: to the log, not to whoever sent them, as it may speak another protocol
/// (`ProcessStartupPacket` reports it as COMMERROR).
pub const NO_STARTUP: &str = "invalid length of startup packet";

/// A version that is not ours need not have our layout.
fn not_a_packet(error: DecodeError, input: &[u8]) -> Refusal {
    let version = input
        .get(4..8)
        .and_then(<[u8]>::first_chunk)
        .map(|word| halves(u32::from_be_bytes(*word)));
    match (error, version) {
        (DecodeError::Truncated, Some([major, minor])) if major != 3 => {
            Refusal::ProtocolVersion { major, minor }
        }
        (DecodeError::Truncated, _) => Refusal::ProtocolViolation(
            "invalid startup packet layout: expected terminator as last byte",
        ),
        (DecodeError::Length, _) => Refusal::ProtocolViolation(NO_STARTUP),
    }
}

fn halves(version: u32) -> [u16; 2] {
    let [a, b, c, d] = version.to_be_bytes();
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}

fn entropy(bytes: &[u8; 64]) -> Entropy<'_> {
    let (cancel_secret, rest) = bytes.split_first_chunk().expect("64 bytes are enough");
    let (nonce, rest) = rest.split_first_chunk().expect("64 bytes are enough");
    let (md5_salt, _unused) = rest.split_first_chunk().expect("64 bytes are enough");
    Entropy {
        cancel_secret,
        nonce,
        md5_salt,
    }
}
