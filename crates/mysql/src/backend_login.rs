//! Who are we, on the database's side: from the connection to a backend that may serve, or the name of what went wrong.
//!
//! ```text
//! ExpectGreeting --TLS--> ExpectTls --on_tls--> ExpectVerdict      (without TLS straight there; a scout ends with the greeting)
//! ExpectVerdict --AuthSwitch, AuthMoreData--> ExpectVerdict        (DerivingKey --on_work--> in between for `parsec`)
//!               '--OK--> [Tracking -->] ReadingLimits --> RunningInitQuery --> Ready
//! ```
//! A connection that only kills says so behind its login and closes. The database may be hostile: nothing it says is shown to a client
//! before the login is over, a password is never sent in clear where somebody may listen, and lengths are bounded. `BackendReady` and
//! `BackendFailed` end the login; nothing is read after them.
//! Source: MySQL's documentation, "Connection Phase"; MariaDB's, "Connection".

mod proving;
mod setup;

use crate::backend::Beginning;
use crate::errors::target_refused;
use crate::exchange::{Read, Reading, Shape};
use crate::handshake;
use crate::login_cache::{Done, Work};
use crate::server::Server;
use crate::wire::auth::AuthPacket;
use crate::wire::capability::Capabilities;
use crate::wire::greeting::Greeting;
use crate::wire::reply::{self, ErrorPacket};
use crate::wire::response::{Opening, Response};
use crate::wire::status::Status;
use crate::wire::{self, HEADER_BYTES, PAYLOAD_BYTES_MAX, write};
use forebay_core::engine::{BackendFacts, Purpose, TlsFacts};
use forebay_core::orders::{Order, Orders};
use forebay_core::snapshot::TlsMode;
use forebay_core::{CloseReason, Refusal};
use proving::Proving;
use secrecy::ExposeSecret as _;
use setup::{Limits, SetupRow};
use std::sync::Arc;

/// Longest packet that is read whole during login.
const PACKET_BYTES_MAX: usize = 64 * 1024;

/// Longest text of the database that is kept in a refusal.
const ERROR_TEXT_BYTES_MAX: usize = 512;

/// Longest message that we say we take: the most there is.
const MESSAGE_BYTES_MAX: u32 = 1 << 30;

/// The machine that logs one connection in to a database.
pub struct BackendLogin {
    facts: BackendFacts,
    is_tls: bool,
    /// Bytes still to come of a packet that is not looked at.
    skipped: usize,
    state: State,
    learned: LoggedIn,
}

/// What the database said of itself while we logged in.
#[derive(Debug, Clone, Default)]
pub struct LoggedIn {
    /// What was agreed on.
    pub capabilities: Capabilities,
    /// The number by which the connection is killed.
    pub process: u32,
    /// Who the server is.
    pub server: Option<Server>,
    /// How the session began.
    pub beginning: Beginning,
    /// What is run behind each reset.
    pub init_query: Arc<str>,
    /// The session's status.
    pub status: Status,
}

enum State {
    ExpectGreeting,
    /// The greeting's payload, once TLS was asked for.
    ExpectTls(Vec<u8>),
    ExpectVerdict(Proving),
    /// The key for `parsec` is made; what the answer will be numbered.
    DerivingKey(Proving, u8),
    /// It is told to report changes.
    Tracking,
    ReadingLimits(Reading, SetupRow),
    RunningInitQuery(Reading),
    /// The request to kill is sent.
    Killing,
    Over,
}

/// Why the login failed.
enum Failure {
    /// The database's own error.
    Refused(Refusal),
    /// Its proof or ours is not to be had, for the log.
    Untrusted(&'static str),
    /// Something it should not have done, for the log.
    Broken(&'static str),
}

impl From<wire::DecodeError> for Failure {
    fn from(error: wire::DecodeError) -> Failure {
        Failure::Broken(error.as_str())
    }
}

impl std::fmt::Debug for BackendLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendLogin")
            .field("purpose", &self.facts.purpose)
            .finish_non_exhaustive()
    }
}

impl BackendLogin {
    /// A connection to the database was made.
    pub fn new(facts: BackendFacts) -> BackendLogin {
        let init_query = Arc::clone(&facts.init_query);
        BackendLogin {
            facts,
            is_tls: false,
            skipped: 0,
            state: State::ExpectGreeting,
            learned: LoggedIn {
                init_query,
                ..LoggedIn::default()
            },
        }
    }

    /// The database's bytes. Whether the login is over, and the backend ready.
    pub fn on_bytes(&mut self, input: &[u8], orders: &mut Orders<Work>) -> bool {
        let mut input = input;
        loop {
            if self.skipped > 0 {
                let now = self.skipped.min(input.len());
                orders.swallow(now);
                self.skipped -= now;
                input = &input[now..];
            }
            let waits = matches!(
                self.state,
                State::ExpectTls(_) | State::DerivingKey(..) | State::Over | State::Killing
            );
            if waits && !matches!(self.state, State::Killing) || input.is_empty() {
                return false;
            }
            let Some(header) = wire::header(input) else {
                return false;
            };
            let payload = header.len - HEADER_BYTES;
            let is_row = matches!(self.state, State::RunningInitQuery(..));
            if payload > PACKET_BYTES_MAX && !is_row {
                self.fail(Failure::Broken("a packet too long for a login"), orders);
                return false;
            }
            if input.len() < header.len && !is_row {
                orders.push(Order::Need(header.len));
                return false;
            }
            if input.len() <= HEADER_BYTES && payload > 0 {
                return false;
            }
            let whole = &input[HEADER_BYTES..input.len().min(header.len)];
            let result = self.on_packet(whole, payload, header.sequence, orders);
            match result {
                Ok(Step::Consumed) => {
                    let here = header.len.min(input.len());
                    orders.swallow(here);
                    self.skipped = header.len - here;
                    input = &input[here..];
                    if let State::ExpectTls(_) = self.state {
                        orders.push(Order::StartTls);
                        return false;
                    }
                }
                Ok(Step::NeedsWhole) => {
                    orders.push(Order::Need(header.len));
                    return false;
                }
                Ok(Step::Ready) => {
                    orders.swallow(header.len.min(input.len()));
                    return true;
                }
                Err(failure) => {
                    self.fail(failure, orders);
                    return false;
                }
            }
        }
    }

    /// The TLS handshake is complete.
    pub fn on_tls(&mut self, _: &TlsFacts, orders: &mut Orders<Work>) {
        let State::ExpectTls(greeting) = std::mem::replace(&mut self.state, State::Over) else {
            return orders.push(Order::Bug(
                "TLS completed for a backend that did not begin it",
            ));
        };
        self.is_tls = true;
        // Greeting and SSLRequest were packets 0 and 1.
        match Greeting::read(&greeting) {
            Ok(greeting) => self.respond(&greeting, 2, orders),
            Err(error) => self.fail(error.into(), orders),
        }
    }

    /// The key is derived.
    pub fn on_work(&mut self, done: Done, orders: &mut Orders<Work>) {
        match (std::mem::replace(&mut self.state, State::Over), done) {
            (State::DerivingKey(mut proving, sequence), Done::SigningKey(key)) => {
                let answer = key.and_then(|key| proving.sign(&key, &self.facts.entropy));
                match answer {
                    Ok(answer) => {
                        orders.to_backend(|out| {
                            wire::auth::answer(out, sequence, &answer);
                        });
                        self.state = State::ExpectVerdict(proving);
                    }
                    Err(error) => self.fail(Failure::Untrusted(error.as_str()), orders),
                }
            }
            (State::Over, _) => {}
            _ => orders.push(Order::Bug(
                "a backend login was given work that it did not order",
            )),
        }
    }

    /// What the login found out, once it is over.
    pub fn into_logged_in(self) -> LoggedIn {
        self.learned
    }

    fn on_packet(
        &mut self,
        payload: &[u8],
        len: usize,
        sequence: u8,
        orders: &mut Orders<Work>,
    ) -> Result<Step, Failure> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::ExpectGreeting => self.on_greeting(payload, orders)?,
            State::ExpectVerdict(proving) => {
                return self.on_verdict(proving, payload, sequence.wrapping_add(1), orders);
            }
            State::Tracking => {
                if payload.first() == Some(&reply::ERROR) {
                    return Err(refused(payload));
                }
                self.set_up(orders);
            }
            State::ReadingLimits(reading, row) => {
                return self.on_setup(reading, row, payload, orders);
            }
            State::RunningInitQuery(reading) => {
                return self.on_init_query(reading, (payload, len), orders);
            }
            State::Killing => {
                // Whether there was anything to kill is nobody's business any more.
                orders.push(Order::Close(CloseReason::CancelDone));
            }
            State::ExpectTls(_) | State::DerivingKey(..) | State::Over => {}
        }
        Ok(Step::Consumed)
    }

    fn on_greeting(&mut self, payload: &[u8], orders: &mut Orders<Work>) -> Result<(), Failure> {
        if payload.first() == Some(&reply::ERROR) {
            return Err(refused(payload));
        }
        let greeting = Greeting::read(payload)?;
        self.learned.server = Some(Server::of(&greeting));
        self.learned.process = greeting.connection_id;
        orders.push(Order::Remember(payload.into()));
        if self.facts.purpose == Purpose::Scout {
            return Ok(());
        }
        let can = greeting.capabilities.has(Capabilities::SSL);
        match (self.facts.tls, can) {
            (TlsMode::Disable, _) | (TlsMode::Prefer, false) => {
                self.respond(&greeting, 1, orders);
            }
            (_, true) => {
                let opening = self.opening(&greeting);
                let opening = Opening {
                    capabilities: opening.capabilities | Capabilities::SSL,
                    ..opening
                };
                orders.to_backend(|out| {
                    opening.write(out, 1);
                });
                self.state = State::ExpectTls(payload.to_vec());
            }
            (_, false) => {
                return Err(Failure::Untrusted("the database does not offer TLS"));
            }
        }
        Ok(())
    }

    fn opening(&self, greeting: &Greeting<'_>) -> Opening {
        let (capabilities, collation) =
            handshake::wanted(self.facts.handshake, greeting.capabilities);
        let tls = match self.is_tls {
            true => Capabilities::SSL,
            false => Capabilities::NONE,
        };
        Opening {
            capabilities: capabilities | tls,
            message_bytes_max: MESSAGE_BYTES_MAX,
            collation: handshake::understood(collation, Server::of(greeting), greeting.collation),
        }
    }

    /// Sends the response to the greeting.
    fn respond(&mut self, greeting: &Greeting<'_>, sequence: u8, orders: &mut Orders<Work>) {
        let opening = self.opening(greeting);
        self.learned.capabilities = opening.capabilities;
        let password = self.facts.credential.password.expose_secret();
        let first = Proving::first(greeting, password, self.is_tls);
        let (proving, proof) = match first {
            Ok(first) => first,
            Err(error) => return self.fail(Failure::Untrusted(error.as_str()), orders),
        };
        let mut attributes = Vec::new();
        for (name, value) in [("_client_name", "forebay"), ("program_name", "forebay")] {
            write::counted(&mut attributes, name.as_bytes());
            write::counted(&mut attributes, value.as_bytes());
        }
        let response = Response {
            opening,
            user: self.facts.credential.username.as_bytes(),
            proof: &proof,
            database: None,
            plugin: Some(proving.method_name()),
            attributes: &attributes,
            zstd_level: None,
        };
        let mut fits = true;
        orders.to_backend(|out| fits = response.write(out, sequence).is_some());
        self.state = State::ExpectVerdict(proving);
        if !fits {
            self.fail(
                Failure::Untrusted("the password is too long for the database"),
                orders,
            );
        }
    }

    fn on_verdict(
        &mut self,
        mut proving: Proving,
        payload: &[u8],
        sequence: u8,
        orders: &mut Orders<Work>,
    ) -> Result<Step, Failure> {
        let untrusted = |error: crate::password::ProofError| Failure::Untrusted(error.as_str());
        let password = self.facts.credential.password.expose_secret();
        let answer = match AuthPacket::read(payload)? {
            AuthPacket::Ok => return Ok(self.on_welcome(orders)),
            AuthPacket::Error => return Err(refused(payload)),
            AuthPacket::Switch { plugin, data } => proving
                .switch(plugin, data, password)
                .map_err(Failure::Untrusted)?,
            AuthPacket::More(data) => {
                if let Some(derivation) = proving.derivation(data).map_err(untrusted)? {
                    let credential = Arc::clone(&self.facts.credential);
                    orders.push(Order::Work(Work::SigningKey(credential, derivation)));
                    self.state = State::DerivingKey(proving, sequence);
                    return Ok(Step::Consumed);
                }
                proving.more(data, password).map_err(untrusted)?
            }
            AuthPacket::SwitchToOld => {
                return Err(Failure::Untrusted(
                    "the database asks for a password as before MySQL 4.1",
                ));
            }
            AuthPacket::NextFactor { .. } => {
                return Err(Failure::Untrusted("the database asks for a second factor"));
            }
        };
        if let Some(answer) = answer {
            orders.to_backend(|out| {
                wire::auth::answer(out, sequence, &answer);
            });
        }
        self.state = State::ExpectVerdict(proving);
        Ok(Step::Consumed)
    }

    fn on_welcome(&mut self, orders: &mut Orders<Work>) -> Step {
        match self.facts.purpose {
            Purpose::Cancel { process, .. } => {
                let kill = format!("KILL QUERY {process}");
                orders.to_backend(|out| write::query(out, kill.as_bytes()));
                self.state = State::Killing;
            }
            _ if self.learned.capabilities.has(Capabilities::SESSION_TRACK) => {
                orders.to_backend(|out| write::query(out, setup::TRACKING));
                self.state = State::Tracking;
            }
            _ => self.set_up(orders),
        }
        Step::Consumed
    }

    /// The operator's query, if there is one; then the question what sessions begin with.
    fn set_up(&mut self, orders: &mut Orders<Work>) {
        let query = Arc::clone(&self.facts.init_query);
        if query.is_empty() {
            return self.ask_limits(orders);
        }
        orders.to_backend(|out| write::query(out, query.as_bytes()));
        self.state = State::RunningInitQuery(Reading::new(Shape::Results));
    }

    fn ask_limits(&mut self, orders: &mut Orders<Work>) {
        let query = setup::query(self.learned.server.unwrap_or_default());
        orders.to_backend(|out| write::query(out, query.as_bytes()));
        let reading = Reading::new(Shape::Results);
        self.state = State::ReadingLimits(reading, SetupRow::default());
    }

    fn on_setup(
        &mut self,
        mut reading: Reading,
        mut row: SetupRow,
        payload: &[u8],
        orders: &mut Orders<Work>,
    ) -> Result<Step, Failure> {
        let capabilities = self.learned.capabilities;
        let is_row = reading.is_at_rows();
        match reading.on_packet(payload, payload.len(), capabilities)? {
            Read::Passes => {
                if is_row {
                    row.read(payload)?;
                }
                self.state = State::ReadingLimits(reading, row);
                Ok(Step::Consumed)
            }
            Read::Ends(told) => {
                self.learned.status = told.status;
                let (limits, beginning) = row.finish().map_err(Failure::Broken)?;
                self.learned.beginning = beginning;
                Ok(ready(limits, orders))
            }
            Read::Fails { .. } => Err(refused(payload)),
            _ => Err(Failure::Broken(
                "an unexpected answer to a question about limits",
            )),
        }
    }

    fn on_init_query(
        &mut self,
        mut reading: Reading,
        (payload, len): (&[u8], usize),
        orders: &mut Orders<Work>,
    ) -> Result<Step, Failure> {
        let capabilities = self.learned.capabilities;
        let before = reading;
        let read = reading.on_packet(payload, len.min(PAYLOAD_BYTES_MAX), capabilities)?;
        let step = match read {
            Read::Ends(_) => {
                self.ask_limits(orders);
                return Ok(Step::Consumed);
            }
            Read::Passes | Read::Result(_) => Step::Consumed,
            Read::NeedsWhole => {
                reading = before;
                Step::NeedsWhole
            }
            Read::Fails { .. } if payload.len() < len => {
                reading = before;
                Step::NeedsWhole
            }
            Read::Fails { .. } => return Err(refused(payload)),
            _ => {
                return Err(Failure::Broken(
                    "the initialization query asks for a file of the client's",
                ));
            }
        };
        self.state = State::RunningInitQuery(reading);
        Ok(step)
    }

    fn fail(&mut self, failure: Failure, orders: &mut Orders<Work>) {
        self.state = State::Over;
        let refusal = match failure {
            Failure::Refused(refusal) => refusal,
            Failure::Untrusted(detail) => Refusal::TargetAuthentication {
                detail: detail.into(),
            },
            Failure::Broken(detail) => Refusal::TargetUnreachable {
                detail: detail.into(),
            },
        };
        orders.push(Order::BackendFailed(Box::new(refusal)));
    }
}

/// What a packet led to.
enum Step {
    Consumed,
    NeedsWhole,
    Ready,
}

fn ready(limits: Limits, orders: &mut Orders<Work>) -> Step {
    orders.push(Order::BackendReady {
        connections_usable: limits.connections_usable,
        connections_max: limits.connections_max,
    });
    Step::Ready
}

fn refused(payload: &[u8]) -> Failure {
    match ErrorPacket::read(payload) {
        Ok(error) => {
            let text = &error.message[..error.message.len().min(ERROR_TEXT_BYTES_MAX)];
            let text = String::from_utf8_lossy(text);
            Failure::Refused(target_refused(error.code, text.as_ref().into()))
        }
        Err(error) => error.into(),
    }
}
