//! Who is there, on the client's side: from the first byte to a user who has proven its password, or a refusal.
//!
//! ```text
//! ExpectTarget --on_learned--> ExpectResponse --SSLRequest--> ExpectTls --on_tls--> ExpectResponse
//! ExpectResponse --proof by our method--> [ExpectPassword, ExpectSealed] --> Admitted
//!                '--any other--> ExpectProof (by request to switch) --> …
//! ExpectChange --COM_CHANGE_USER--> ExpectProof
//! ```
//! The greeting is that of the target, less what the proxy does not do. A user whom nobody knows goes through the same exchange as one with a
//! wrong password. Nothing is read between a request for TLS and its handshake. Lengths are bounded before bytes are kept.
//! Source: MySQL's documentation, "Connection Phase"; MariaDB's, "Connection".

mod proof;

use crate::handshake;
use crate::login_cache::{Done, LoginCache, Work};
use crate::password::certificate::{FINGERPRINT_BYTES, PROOF_BYTES};
use crate::password::native::NativeHash;
use crate::password::{self, Method, certificate, ed25519};
use crate::server::{Family, Server};
use crate::wire::capability::Capabilities;
use crate::wire::compression::Compression;
use crate::wire::greeting::{Greeting, NONCE_BYTES};
use crate::wire::response::{ChangeUser, Opening, RESPONSE_BYTES_MAX, Response, attributes};
use crate::wire::status::Status;
use crate::wire::{self, HEADER_BYTES};
use forebay_core::Refusal;
use forebay_core::engine::{ClientFacts, TlsFacts};
use forebay_core::orders::{Admission, Order, Orders};
use forebay_core::snapshot::{ClientAuth, Credential, Proxy};
use proof::{Checking, Next};
use secrecy::ExposeSecret as _;
use std::sync::Arc;

/// Longest proof behind the response: an answer by RSA with a long key, or a password in clear text, such as a token.
const PROOF_BYTES_MAX: usize = 64 * 1024;

/// Longest name of an application that is kept.
const PROGRAM_BYTES_MAX: usize = 64;

/// The machine that logs one client in.
pub struct ClientLogin {
    facts: ClientFacts,
    is_tls: bool,
    certificate_shown: bool,
    /// SHA-256 of the certificate that the client saw.
    own_certificate: Option<[u8; FINGERPRINT_BYTES]>,
    /// What the greeting offered.
    offered: Capabilities,
    /// The number of our next packet.
    sequence: u8,
    certificate_proof: Option<[u8; PROOF_BYTES]>,
    state: State,
}

/// What a login found out.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// The user.
    pub user: Box<str>,
    /// The database that it named.
    pub database: Option<Box<str>>,
    /// What was agreed on.
    pub capabilities: Capabilities,
    /// How its connection is to be compressed from then on.
    pub compression: Option<Compression>,
    /// What its connection calls itself.
    pub program: Option<Box<str>>,
    /// The server that it was greeted as.
    pub server: Server,
    /// The number of the packet that ends the login.
    pub sequence: u8,
    /// How it came in.
    pub entrance: Entrance,
    /// What proves our certificate by the password, for clients of MariaDB that trust it by that.
    pub certificate_proof: Option<[u8; PROOF_BYTES]>,
}

/// How a client came in: what does not change where it logs in anew on the same connection.
#[derive(Debug, Clone)]
pub struct Entrance {
    proxy: Arc<Proxy>,
    process: u32,
    session: u64,
    is_tls: bool,
    certificate_shown: bool,
    server: Server,
    capabilities: Capabilities,
    /// All that it said it can.
    said: Capabilities,
    collation: u8,
    /// The last that its library keeps.
    nonce: [u8; NONCE_BYTES],
}

enum State {
    /// What the target says of itself is not known.
    ExpectTarget,
    ExpectResponse(Greeted),
    ExpectTls(Greeted),
    /// A login on a connection that has had one.
    ExpectChange(Box<Entrance>),
    ExpectProof(Box<Known>, Checking),
    /// A key is made elsewhere.
    Working(Box<Known>, Checking),
    Admitted(Box<Known>),
    Over,
}

/// What the greeting said.
#[derive(Clone, Copy)]
struct Greeted {
    server: Server,
    nonce: [u8; NONCE_BYTES],
}

/// Who the client says it is.
pub(crate) struct Known {
    user: String,
    credential: Option<Arc<Credential>>,
    database: Option<Box<str>>,
    capabilities: Capabilities,
    said: Capabilities,
    collation: u8,
    compression: Option<Compression>,
    program: Option<Box<str>>,
    server: Server,
    /// What the proof was made with, where that is short; what the greeting had, else.
    nonce: [u8; NONCE_BYTES],
}

impl std::fmt::Debug for ClientLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientLogin")
            .field("session", &self.facts.session)
            .finish_non_exhaustive()
    }
}

impl ClientLogin {
    /// A client connected.
    pub fn new(facts: ClientFacts, orders: &mut Orders<Work>) -> ClientLogin {
        let mut login = ClientLogin {
            facts,
            is_tls: false,
            certificate_shown: false,
            own_certificate: None,
            offered: Capabilities::NONE,
            sequence: 0,
            certificate_proof: None,
            state: State::ExpectTarget,
        };
        match login.facts.target.take() {
            Some(said) => login.on_learned(&said, orders),
            None => orders.push(Order::Learn),
        }
        login
    }

    /// A client that came in so logs in anew. `entropy` is fresh.
    pub fn again(entrance: Entrance, entropy: [u8; 64]) -> ClientLogin {
        ClientLogin {
            facts: ClientFacts {
                proxy: Arc::clone(&entrance.proxy),
                process: entrance.process,
                session: entrance.session,
                target: None,
                entropy,
            },
            is_tls: entrance.is_tls,
            certificate_shown: entrance.certificate_shown,
            own_certificate: None,
            offered: entrance.capabilities,
            sequence: 1,
            certificate_proof: None,
            state: State::ExpectChange(Box::new(entrance)),
        }
    }

    /// What it says of itself then: `COM_CHANGE_USER`. Its proof is asked for, whatever it has sent along.
    pub fn on_change_user(
        &mut self,
        cache: &LoginCache,
        payload: &[u8],
        orders: &mut Orders<Work>,
    ) {
        let State::ExpectChange(entrance) = std::mem::replace(&mut self.state, State::Over) else {
            return orders.push(Order::Bug("a login was told of a change of user"));
        };
        let change = match ChangeUser::read(payload, entrance.said) {
            Ok(change) => change,
            Err(error) => return self.refuse(Refusal::ProtocolViolation(error.as_str()), orders),
        };
        let user = String::from_utf8_lossy(change.user).into_owned();
        let Ok(database) = std::str::from_utf8(change.database) else {
            let text = "names of databases are UTF-8 here";
            return self.refuse(Refusal::FeatureNotSupported(text), orders);
        };
        let collation = change.collation.and_then(|it| u8::try_from(it).ok());
        let known = Box::new(Known {
            credential: self.facts.proxy.credential(&user).cloned(),
            user,
            database: (!database.is_empty()).then(|| database.into()),
            capabilities: entrance.capabilities,
            said: entrance.said,
            collation: collation.unwrap_or(entrance.collation),
            // The connection stays as it is.
            compression: None,
            program: program_of(change.attributes),
            server: entrance.server,
            nonce: entrance.nonce,
        });
        let method = self.method(&known);
        let next = method.map(|method| {
            Checking::ask_again(
                method,
                &self.facts.entropy[NONCE_BYTES..],
                self.is_tls,
                &known,
            )
        });
        let result = next.and_then(|next| self.go_on(cache, known, next, orders));
        if let Err(refusal) = result {
            self.refuse(refusal, orders);
        }
    }

    /// The method by which this user proves its password.
    fn method(&self, known: &Known) -> Result<Method, Refusal> {
        match &known.credential {
            Some(credential) => method_of(credential.client_auth),
            None => self
                .facts
                .proxy
                .credentials
                .first()
                .map_or(Ok(Method::Native), |other| method_of(other.client_auth)),
        }
    }

    /// The number of our next packet.
    pub fn sequence(&self) -> u8 {
        self.sequence
    }

    /// What the target says of itself is known: the client is greeted.
    pub fn on_learned(&mut self, said: &[u8], orders: &mut Orders<Work>) {
        let State::ExpectTarget = self.state else {
            return;
        };
        let Ok(target) = Greeting::read(said) else {
            self.state = State::Over;
            return orders.push(Order::Bug("a greeting that was read before cannot be read"));
        };
        self.offered = handshake::offered(target.capabilities);
        let tls = match self.facts.proxy.tls {
            Some(_) => Capabilities::SSL,
            None => Capabilities::NONE,
        };
        let (first, _) = self
            .facts
            .entropy
            .split_first_chunk()
            .expect("64 are more than 20");
        let nonce = password::nonce(*first);
        let greeting = Greeting {
            connection_id: self.facts.process,
            nonce,
            status: Status::AUTOCOMMIT,
            capabilities: self.offered | tls,
            ..target
        };
        orders.to_client(|out| greeting.write(out));
        self.sequence = 1;
        let server = Server::of(&target);
        self.state = State::ExpectResponse(Greeted { server, nonce });
    }

    /// The client's bytes.
    pub fn on_bytes(&mut self, cache: &LoginCache, input: &[u8], orders: &mut Orders<Work>) {
        let mut input = input;
        loop {
            let max = match self.state {
                State::ExpectResponse(_) => RESPONSE_BYTES_MAX,
                State::ExpectProof(..) => PROOF_BYTES_MAX,
                State::ExpectTarget
                | State::ExpectTls(_)
                | State::ExpectChange(_)
                | State::Working(..)
                | State::Admitted(_)
                | State::Over => return,
            };
            let Some(header) = wire::header(input) else {
                return;
            };
            if header.len > HEADER_BYTES + max {
                let max = u32::try_from(max).expect("bounds are small");
                return self.refuse(Refusal::MessageTooLarge { max }, orders);
            }
            let Some(packet) = input.get(..header.len) else {
                return orders.push(Order::Need(header.len));
            };
            if header.sequence != self.sequence {
                return self.refuse(Refusal::ProtocolViolation("packets out of order"), orders);
            }
            self.sequence = header.sequence.wrapping_add(1);
            orders.swallow(header.len);
            input = &input[header.len..];
            if let Err(refusal) = self.on_packet(cache, &packet[HEADER_BYTES..], orders) {
                return self.refuse(refusal, orders);
            }
        }
    }

    fn on_packet(
        &mut self,
        cache: &LoginCache,
        payload: &[u8],
        orders: &mut Orders<Work>,
    ) -> Result<(), Refusal> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::ExpectResponse(greeted) if Opening::is_tls_request(payload) => {
                if self.is_tls || self.facts.proxy.tls.is_none() {
                    return Err(Refusal::ProtocolViolation("TLS was not offered"));
                }
                self.state = State::ExpectTls(greeted);
                orders.push(Order::StartTls);
                Ok(())
            }
            State::ExpectResponse(greeted) => self.on_response(cache, greeted, payload, orders),
            State::ExpectProof(known, checking) => {
                let next = checking.on_proof(&known, self.is_tls, payload, cache);
                self.go_on(cache, known, next, orders)
            }
            other => {
                self.state = other;
                Ok(())
            }
        }
    }

    /// The TLS handshake is complete.
    pub fn on_tls(&mut self, facts: &TlsFacts, orders: &mut Orders<Work>) {
        let State::ExpectTls(greeted) = self.state else {
            return orders.push(Order::Bug(
                "TLS completed for a client that did not begin it",
            ));
        };
        self.is_tls = true;
        self.certificate_shown = facts.client_certificate;
        self.own_certificate = facts.own_certificate;
        self.state = State::ExpectResponse(greeted);
    }

    /// Slow work is done.
    pub fn on_work(&mut self, done: &Done, cache: &LoginCache, orders: &mut Orders<Work>) {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Working(known, checking) => {
                let next = checking.on_work(&known, done, cache);
                if let Err(refusal) = self.go_on(cache, known, next, orders) {
                    self.refuse(refusal, orders);
                }
                if !matches!(self.state, State::Working(..)) {
                    orders.push(Order::Resume);
                }
            }
            other => self.state = other,
        }
    }

    /// What the login found out, once the client is admitted.
    pub fn into_admitted(self) -> Option<Admitted> {
        let State::Admitted(known) = self.state else {
            return None;
        };
        Some(Admitted {
            user: known.user.into(),
            database: known.database,
            capabilities: known.capabilities,
            compression: known.compression,
            program: known.program,
            server: known.server,
            sequence: self.sequence,
            certificate_proof: self.certificate_proof,
            entrance: Entrance {
                proxy: self.facts.proxy,
                process: self.facts.process,
                session: self.facts.session,
                is_tls: self.is_tls,
                certificate_shown: self.certificate_shown,
                server: known.server,
                capabilities: known.capabilities,
                said: known.said,
                collation: known.collation,
                nonce: known.nonce,
            },
        })
    }

    fn on_response(
        &mut self,
        cache: &LoginCache,
        greeted: Greeted,
        payload: &[u8],
        orders: &mut Orders<Work>,
    ) -> Result<(), Refusal> {
        let broken = |error: wire::DecodeError| Refusal::ProtocolViolation(error.as_str());
        let response = Response::read(payload).map_err(broken)?;
        let proxy = &self.facts.proxy;
        if proxy.require_tls && !self.is_tls {
            return Err(Refusal::TlsRequired);
        }
        let asks_for_certificate = proxy
            .tls
            .as_ref()
            .is_some_and(|tls| !tls.client_authorities.is_empty());
        if asks_for_certificate && !self.certificate_shown {
            return Err(Refusal::CertificateRequired);
        }
        let known = Box::new(self.known(&greeted, &response)?);
        let method = self.method(&known)?;
        let next = if response.plugin == Some(method.as_str().as_bytes())
            && matches!(method, Method::Native | Method::CachingSha2)
        {
            let checking = Checking::Short(method, greeted.nonce);
            checking.on_proof(&known, self.is_tls, response.proof, cache)
        } else {
            Checking::ask(
                method,
                &self.facts.entropy[NONCE_BYTES..],
                self.is_tls,
                &known,
            )
        };
        self.go_on(cache, known, next, orders)
    }

    fn known(&self, greeted: &Greeted, response: &Response<'_>) -> Result<Known, Refusal> {
        let user = String::from_utf8_lossy(response.user).into_owned();
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(Into::into);
        let database = response.database.map(text).transpose();
        let opening = response.opening;
        Ok(Known {
            credential: self.facts.proxy.credential(&user).cloned(),
            user,
            database: database
                .map_err(|_| Refusal::FeatureNotSupported("names of databases are UTF-8 here"))?,
            capabilities: handshake::agreed(opening.capabilities, self.offered),
            said: opening.capabilities,
            collation: opening.collation,
            compression: Compression::of(opening.capabilities, response.zstd_level)?,
            program: program_of(response.attributes),
            server: greeted.server,
            nonce: greeted.nonce,
        })
    }

    fn go_on(
        &mut self,
        cache: &LoginCache,
        mut known: Box<Known>,
        next: Next,
        orders: &mut Orders<Work>,
    ) -> Result<(), Refusal> {
        let sequence = self.sequence;
        match next {
            Next::Send(made, checking) => {
                if let Checking::Short(_, nonce) = &checking {
                    known.nonce = *nonce;
                }
                let mut next = sequence;
                orders.to_client(|out| next = made.write(out, sequence));
                self.sequence = next;
                self.state = State::ExpectProof(known, checking);
            }
            Next::Work(work, checking) => {
                self.state = State::Working(known, checking);
                orders.push(Order::Pause);
                orders.push(Order::Work(work));
            }
            Next::Accepted(proven, made) => {
                self.certificate_proof = self.prove_certificate(cache, &known, &proven);
                if let Some(made) = made {
                    let mut next = sequence;
                    orders.to_client(|out| next = made.write(out, sequence));
                    self.sequence = next;
                }
                orders.push(Order::Admit(Box::new(Admission {
                    user: known.user.clone(),
                    database: String::new(),
                    handshake: handshake::number(known.capabilities, known.collation),
                    dedicated: None,
                    is_previous: known
                        .credential
                        .as_ref()
                        .is_some_and(|current| !Arc::ptr_eq(current, &proven)),
                })));
                self.state = State::Admitted(known);
            }
            Next::Refused(refusal) => return Err(refusal),
        }
        Ok(())
    }

    /// Clients of MariaDB that were given no authority trust a certificate that the password proves.
    fn prove_certificate(
        &self,
        cache: &LoginCache,
        known: &Known,
        credential: &Arc<Credential>,
    ) -> Option<[u8; PROOF_BYTES]> {
        let fingerprint = self.own_certificate.as_ref()?;
        if !known.said.is_mariadb() || known.server.family != Family::MariaDb {
            return None;
        }
        let password = credential.password.expose_secret();
        let prove = |stored: &[u8]| certificate::proof(stored, &known.nonce, fingerprint);
        match credential.client_auth {
            ClientAuth::NativePassword => {
                let hash = NativeHash::of(password);
                hash.stored().map(|stored| prove(stored))
            }
            ClientAuth::Ed25519 => Some(prove(ed25519::PublicKey::of(password).stored())),
            ClientAuth::Parsec => Some(prove(cache.verifier(credential)?.stored())),
            _ => None,
        }
    }

    fn refuse(&mut self, refusal: Refusal, orders: &mut Orders<Work>) {
        self.state = State::Over;
        orders.refuse(refusal);
    }
}

/// What a connection calls itself.
fn program_of(field: &[u8]) -> Option<Box<str>> {
    let mut named = attributes(field).flatten();
    let (_, value) = named.find(|(name, _)| *name == b"program_name")?;
    let value = &value[..value.len().min(PROGRAM_BYTES_MAX)];
    Some(String::from_utf8_lossy(value).into())
}

/// The method by which clients prove that they know a password.
fn method_of(auth: ClientAuth) -> Result<Method, Refusal> {
    match auth {
        ClientAuth::NativePassword => Ok(Method::Native),
        ClientAuth::CachingSha2 => Ok(Method::CachingSha2),
        ClientAuth::Ed25519 => Ok(Method::Ed25519),
        ClientAuth::Parsec => Ok(Method::Parsec),
        ClientAuth::ClearText => Ok(Method::Clear),
        // Configuration does not allow these for this family.
        ClientAuth::ScramSha256 | ClientAuth::Md5 => Err(Refusal::UnsupportedAuth),
    }
}
