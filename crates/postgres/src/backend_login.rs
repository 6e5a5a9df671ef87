//! Who are we, on the database's side: from the connection to a backend that may serve, or the name of what went wrong.
//!
//! ```text
//! ExpectTlsAnswer --'S'--> ExpectTls --on_tls--> ExpectRequest            ('N' and TlsMode::Disable go straight there)
//! ExpectRequest --NegotiateProtocolVersion--> ExpectRequest
//!               --SASL--> ExpectSaslContinue [--> DerivingKeys --on_work-->] ExpectSaslFinal --> ExpectOk
//!               |--MD5, clear text under TLS--> ExpectOk
//!               '--AuthenticationOk--> ExpectReady --> ReadingLimits --> RunningInitQuery --> Ready
//! ```
//! A connection that only cancels sends its request instead of the startup message and then waits for the database to close. The
//! database may be hostile: nothing it says before TLS is shown to a client, AuthenticationOk does not replace its SCRAM signature, and
//! lengths, iterations and parameters are bounded. `BackendReady` and `BackendFailed` end the login; nothing is read after them.
//! Source: PostgreSQL documentation, "Message Flow: Start-up", "SASL Authentication", "Canceling Requests in Progress".

mod authentication;
mod reports;
mod setup;
mod version;

use crate::errors::target_refused;
use crate::listener;
use crate::login_cache::{Done, LoginCache, Work};
use crate::reports::Reports;
use crate::scram::{ClientFirst, ExpectServerFinal, NeedKeys};
use crate::wire::read::ErrorFields;
use crate::wire::{HEADER_BYTES, header, write};
use authentication::prove;
use forebay_core::Refusal;
use forebay_core::engine::{BackendFacts, Purpose, TlsFacts};
use forebay_core::orders::{Order, Orders};
use forebay_core::snapshot::TlsMode;
use reports::Collected;
use setup::Limits;
use version::Version;

/// Longest message that is read whole during login; the only longer ones are results of an initialization query, which are not
/// looked at.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Longest text of the database that is kept in a refusal.
const ERROR_TEXT_BYTES_MAX: usize = 1024;

/// The machine that logs one connection in to a database.
pub struct BackendLogin {
    facts: BackendFacts,
    channel: Channel,
    version: Version,
    reports: Collected,
    /// Bytes still to come of a message that is not looked at.
    skipped: usize,
    state: State,
}

/// What the database said of itself while we logged in.
pub struct LoggedIn {
    /// ParameterStatus: names and last values, in order of first report.
    pub parameters: Reports,
    /// Process number to cancel with; 0 if the database named none.
    pub process: u32,
    /// Secret to cancel with; empty if the database named none.
    pub secret: Box<[u8]>,
}

impl std::fmt::Debug for LoggedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoggedIn")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for BackendLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendLogin")
            .field("purpose", &self.facts.purpose)
            .finish_non_exhaustive()
    }
}

/// What the bytes go through.
enum Channel {
    Clear,
    Tls { server_end_point: Option<Box<[u8]>> },
}

enum State {
    ExpectTlsAnswer,
    ExpectTls,
    ExpectRequest,
    ExpectSaslContinue(ClientFirst),
    DerivingKeys(NeedKeys),
    ExpectSaslFinal(ExpectServerFinal),
    ExpectOk,
    ExpectReady,
    ReadingLimits(Option<Limits>),
    RunningInitQuery(Limits),
    Ready,
    /// The cancel request is sent.
    Cancelling,
    Failed,
    /// The first answer was an error that may be about the protocol version.
    VersionRefused,
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

impl From<&'static str> for Failure {
    fn from(detail: &'static str) -> Failure {
        Failure::Broken(detail)
    }
}

impl Failure {
    /// By its SQLSTATE: feature_not_supported of old servers, protocol_violation of poolers that take the message for no startup
    /// message at all.
    fn may_be_about_version(&self) -> bool {
        match self {
            Failure::Refused(Refusal::TargetRefused { code, .. }) => {
                matches!(&**code, "0A000" | "08P01")
            }
            Failure::Refused(_) | Failure::Untrusted(_) | Failure::Broken(_) => false,
        }
    }
}

impl BackendLogin {
    /// A connection to the database was made.
    pub fn new(facts: BackendFacts, orders: &mut Orders<Work>) -> BackendLogin {
        let mut login = BackendLogin {
            version: Version::to_ask(facts.oldest_version),
            facts,
            channel: Channel::Clear,
            reports: Collected::default(),
            skipped: 0,
            state: State::ExpectTlsAnswer,
        };
        match login.facts.tls {
            TlsMode::Disable => login.state = login.start(orders),
            TlsMode::Prefer | TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => {
                orders.to_backend(|out| out.extend_from_slice(write::SSL_REQUEST));
            }
        }
        login
    }

    /// The database's bytes.
    pub fn on_bytes(&mut self, cache: &mut LoginCache, input: &[u8], orders: &mut Orders<Work>) {
        let mut input = input;
        while !input.is_empty() {
            let used = match self.state {
                State::ExpectTlsAnswer => self.on_tls_answer(input, orders).map(Some),
                State::Cancelling => return orders.swallow(input.len()),
                State::ExpectTls | State::Ready | State::Failed | State::VersionRefused => return,
                _ => self.read_message(cache, input, orders),
            };
            match used {
                Ok(Some(len)) => input = &input[len..],
                Ok(None) => return,
                Err(failure) => return self.fail(failure, orders),
            }
        }
    }

    /// The TLS handshake is complete.
    pub fn on_tls(&mut self, facts: &TlsFacts, orders: &mut Orders<Work>) {
        if !matches!(self.state, State::ExpectTls) {
            return orders.push(Order::Bug(
                "TLS completed for a backend that did not begin it",
            ));
        }
        self.channel = Channel::Tls {
            server_end_point: facts.server_end_point.as_deref().map(Box::from),
        };
        self.state = self.start(orders);
    }

    /// The keys are derived.
    pub fn on_work(&mut self, _cache: &mut LoginCache, done: Done, orders: &mut Orders<Work>) {
        match (std::mem::replace(&mut self.state, State::Failed), done) {
            (State::DerivingKeys(need), Done::Keys(keys)) => {
                self.state = prove(need, &keys, orders)
            }
            (state @ (State::Failed | State::VersionRefused), _) => self.state = state,
            _ => orders.push(Order::Bug(
                "a backend login was given work that it did not order",
            )),
        }
    }

    /// Whether the connection is for one session from start to end.
    pub fn is_dedicated(&self) -> bool {
        matches!(self.facts.purpose, Purpose::Dedicated(_))
    }

    /// What the database said of itself; `None` unless the login ordered [`Order::BackendReady`].
    pub fn into_logged_in(self) -> Option<LoggedIn> {
        matches!(self.state, State::Ready).then(|| self.reports.into_logged_in())
    }

    /// Whether a database that does not know the version asked for would have ended the login here: with an error in answer to the
    /// startup message (so did PostgreSQL before 9.3.21, so do some poolers), or without a word (so do others).
    pub fn is_version_in_doubt(&self) -> bool {
        match self.state {
            State::VersionRefused => true,
            State::ExpectRequest => self.version.is_refusable(),
            _ => false,
        }
    }

    fn fail(&mut self, failure: Failure, orders: &mut Orders<Work>) {
        let doubted = self.is_version_in_doubt() && failure.may_be_about_version();
        self.state = if doubted {
            State::VersionRefused
        } else {
            State::Failed
        };
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

    fn is_tls(&self) -> bool {
        matches!(self.channel, Channel::Tls { .. })
    }

    fn on_tls_answer(&mut self, input: &[u8], orders: &mut Orders<Work>) -> Result<usize, Failure> {
        if input.len() > 1 && matches!(input[0], b'S' | b'N') {
            // It came in clear, so anybody could have put it there (CVE-2021-23222).
            return Err("received unencrypted data after the answer to the SSL request".into());
        }
        match (input[0], self.facts.tls) {
            (b'S', _) => {
                orders.swallow(1);
                orders.push(Order::StartTls);
                self.state = State::ExpectTls;
            }
            (b'N', TlsMode::Prefer) => {
                orders.swallow(1);
                self.state = self.start(orders);
            }
            (b'N', _) => return Err(Failure::Untrusted("the database does not offer TLS")),
            // Its text is not shown: without TLS anybody could have written it (CVE-2024-10977).
            (b'E', _) => return Err("the database answered the SSL request with an error".into()),
            _ => return Err("the database does not speak the PostgreSQL protocol".into()),
        }
        Ok(1)
    }

    /// The channel is as it shall be.
    fn start(&self, orders: &mut Orders<Work>) -> State {
        let given: &[(Vec<u8>, Vec<u8>)] = match &self.facts.purpose {
            Purpose::Cancel { process, secret } => {
                orders.to_backend(|out| write::cancel_request(out, *process, secret));
                return State::Cancelling;
            }
            Purpose::Dedicated(parameters) => parameters,
            Purpose::Pooled | Purpose::Scout | Purpose::Listener => &[],
        };
        let own = [
            (&b"user"[..], self.facts.credential.username.as_bytes()),
            (b"database", self.facts.database.as_bytes()),
        ];
        let given = given
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()));
        let listener = matches!(self.facts.purpose, Purpose::Listener);
        let given = given.chain(listener::PARAMETERS.into_iter().filter(|_| listener));
        orders.to_backend(|out| {
            write::startup(out, self.version.asked(), own.into_iter().chain(given))
        });
        State::ExpectRequest
    }
}

/// Typed messages. Readers answer how much they consumed, or `None` when nothing more is to be read now.
impl BackendLogin {
    fn read_message(
        &mut self,
        cache: &mut LoginCache,
        input: &[u8],
        orders: &mut Orders<Work>,
    ) -> Result<Option<usize>, Failure> {
        if self.skipped > 0 {
            return Ok(Some(self.skip(input, orders)));
        }
        let Some(header) = header(input).map_err(|error| error.as_str())? else {
            orders.push(Order::Need(HEADER_BYTES));
            return Ok(None);
        };
        if self.is_skipped(header.kind) {
            self.skipped = header.len;
            return Ok(Some(self.skip(input, orders)));
        }
        if header.len > MESSAGE_BYTES_MAX {
            return Err("the database sent a login message that is too long".into());
        }
        if input.len() < header.len {
            orders.push(Order::Need(header.len));
            return Ok(None);
        }
        orders.swallow(header.len);
        self.on_message(header.kind, &input[HEADER_BYTES..header.len], cache, orders)?;
        Ok(Some(header.len))
    }

    /// Results of an initialization query may be of any size; nobody reads them.
    fn is_skipped(&self, kind: u8) -> bool {
        let is_result = matches!(kind, b'T' | b'D' | b'C' | b'I' | b'H' | b'd' | b'c');
        matches!(self.state, State::RunningInitQuery(_)) && is_result
    }

    fn skip(&mut self, input: &[u8], orders: &mut Orders<Work>) -> usize {
        let len = self.skipped.min(input.len());
        orders.swallow(len);
        self.skipped -= len;
        len
    }

    fn on_message(
        &mut self,
        kind: u8,
        body: &[u8],
        cache: &mut LoginCache,
        orders: &mut Orders<Work>,
    ) -> Result<(), Failure> {
        match kind {
            b'E' => return Err(refused(body)),
            // Notices and notifications may come at any time.
            b'N' | b'A' => return Ok(()),
            _ => {}
        }
        self.state = match std::mem::replace(&mut self.state, State::Failed) {
            state @ State::ExpectRequest if kind == b'v' => {
                self.version = self.version.on_negotiation(body)?;
                state
            }
            state @ (State::ExpectRequest
            | State::ExpectSaslContinue(_)
            | State::ExpectSaslFinal(_)
            | State::ExpectOk)
                if kind == b'R' =>
            {
                self.on_authentication(state, body, cache, orders)?
            }
            state @ (State::ExpectReady | State::ReadingLimits(_) | State::RunningInitQuery(_))
                if kind == b'S' =>
            {
                self.reports.on_parameter_status(body)?;
                state
            }
            state @ State::ExpectReady if kind == b'K' => {
                self.reports.on_key_data(self.version.spoken(), body)?;
                state
            }
            State::ExpectReady if kind == b'Z' => self.after_login(orders),
            State::ReadingLimits(limits) => self.on_limits(limits, kind, body, orders)?,
            State::RunningInitQuery(limits) => on_init_query(limits, kind, body, orders)?,
            _ => return Err("the database sent an unexpected message during login".into()),
        };
        Ok(())
    }

    /// Such a connection may not understand SQL.
    fn is_for_replication(&self) -> bool {
        match &self.facts.purpose {
            Purpose::Dedicated(parameters) => {
                parameters.iter().any(|(name, _)| name == b"replication")
            }
            Purpose::Pooled | Purpose::Scout | Purpose::Listener | Purpose::Cancel { .. } => false,
        }
    }

    fn after_login(&self, orders: &mut Orders<Work>) -> State {
        if self.is_for_replication() {
            return ready(Limits::UNKNOWN, orders);
        }
        orders.to_backend(|out| write::query(out, setup::LIMITS_QUERY));
        State::ReadingLimits(None)
    }

    fn on_limits(
        &self,
        limits: Option<Limits>,
        kind: u8,
        body: &[u8],
        orders: &mut Orders<Work>,
    ) -> Result<State, Failure> {
        match (kind, limits) {
            (b'T' | b'C', limits) => Ok(State::ReadingLimits(limits)),
            (b'D', None) => Ok(State::ReadingLimits(Some(Limits::read(body)?))),
            (b'Z', Some(limits)) if self.facts.init_query.is_empty() => Ok(ready(limits, orders)),
            (b'Z', Some(limits)) => {
                orders.to_backend(|out| write::query(out, self.facts.init_query.as_bytes()));
                Ok(State::RunningInitQuery(limits))
            }
            _ => {
                Err("the database answered the question for its limits with something else".into())
            }
        }
    }
}

/// What is left of the answer to an initialization query when its results are skipped.
fn on_init_query(
    limits: Limits,
    kind: u8,
    body: &[u8],
    orders: &mut Orders<Work>,
) -> Result<State, Failure> {
    match (kind, body) {
        (b'Z', b"I") => Ok(ready(limits, orders)),
        (b'Z', _) => Err("the initialization query leaves a transaction open".into()),
        (b'G' | b'W', _) => Err("the initialization query asks for COPY data".into()),
        _ => Err("the database sent an unexpected message during the initialization query".into()),
    }
}

fn ready(limits: Limits, orders: &mut Orders<Work>) -> State {
    orders.push(Order::BackendReady {
        connections_usable: limits.connections_usable,
        connections_max: limits.connections_max,
    });
    State::Ready
}

/// The database's ErrorResponse as a refusal, its text bounded.
fn refused(body: &[u8]) -> Failure {
    let error = ErrorFields::read(body);
    let text = |bytes: &[u8]| {
        String::from_utf8_lossy(&bytes[..bytes.len().min(ERROR_TEXT_BYTES_MAX)]).into()
    };
    Failure::Refused(target_refused(text(error.code), text(error.message)))
}
