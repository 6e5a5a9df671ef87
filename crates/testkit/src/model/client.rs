//! A scripted client as a pure machine: it plays a [`Program`] and checks every reply.
//!
//! Facts go in (`on_connected`, `on_bytes`, `on_closed`, `on_thought`), orders come out (`next_order`). Every reply
//! must be the predicted one: right kind, right tag, right order, right count, right transaction status, and at each
//! ReadyForQuery the announced settings must be the session's. The first difference is a [`Violation`] and ends the
//! client. Faults that a test injects on purpose are named in [`ClientConfig::tolerated`]; after one the client keeps
//! account of what became doubtful.
//!
//! ```text
//! Idle ─Connect▶ Connecting ─▶ [Encryption] ─▶ Login ─Z▶ Playing ⇄ Thinking ─▶ Idle (next episode) … Done
//!                                                └──── error tolerated ──▶ Dying ──closed──▲
//! ```

mod check;
mod expected;
mod generate;
mod ledger;
mod login;
mod script;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::backend::Backend;
use super::error::{PgError, Severity};
use super::frontend::Frontend;
use super::wire::split_frame;
use check::{Match, check, shown};
use expected::{Expect, Expected};
pub use generate::{Style, default_settings, program};
pub use ledger::Ledger;
pub use login::{Authenticator, ClearText};
pub use script::{Act, Episode, Message, Program, Step};

/// Largest reply the client takes, in bytes.
const REPLY_BYTES_MAX: usize = 64 << 20;

/// Who the client is and what it puts up with.
pub struct ClientConfig {
    /// Its number; rows and tags carry it as in `c7`.
    pub id: u32,
    /// The role it logs in as.
    pub user: String,
    /// The database it asks for.
    pub database: String,
    /// Answers authentication requests.
    pub authenticator: Box<dyn Authenticator>,
    /// SQLSTATEs that may come at any time because the test injects such faults.
    pub tolerated: Vec<String>,
    /// Whether the connection may be closed at any time without a word.
    pub tolerates_close: bool,
    /// Values of settings on a fresh session, lower-case names; see [`default_settings`].
    pub defaults: BTreeMap<String, String>,
}

/// What the client wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Make a connection, then say `on_connected`.
    Connect,
    /// Send these bytes, cut as you like.
    Send(Vec<u8>),
    /// Make another connection, send these bytes over it and wait for its end; nothing comes back.
    Cancel(Vec<u8>),
    /// Say `on_thought` after so many milliseconds.
    Think(u32),
    /// Close the connection after what was sent; it says nothing more about it.
    Close,
}

/// A reply that broke the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The client, as in `c7`.
    pub client: String,
    /// Which of its connections, from 0.
    pub episode: usize,
    /// The program's step it stood at, from 0.
    pub step: usize,
    /// What was being answered.
    pub answering: String,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            client,
            episode,
            step,
            answering,
            problem,
        } = self;
        write!(
            f,
            "{client} (episode {episode}, step {step}) after {answering}: {problem}"
        )
    }
}

impl std::error::Error for Violation {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Connecting,
    Encryption,
    Login,
    Playing,
    Thinking,
    /// An error has announced the end of the connection.
    Dying,
    Done,
}

/// The client.
pub struct ScriptedClient {
    config: ClientConfig,
    me: String,
    program: Program,
    episode: usize,
    step: usize,
    phase: Phase,
    orders: VecDeque<Order>,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    minor: u16,
    key: Option<(u32, Vec<u8>)>,
    /// CancelRequests that have not shown an effect.
    cancels: u32,
    reported: BTreeMap<String, String>,
    expected: Expected,
    sent: VecDeque<Message>,
    answering: Option<Message>,
    current: VecDeque<Expect>,
    ledger: Ledger,
    replies: u64,
    refusals: u64,
    losses: u64,
}

impl fmt::Debug for ScriptedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedClient")
            .field("me", &self.me)
            .field("episode", &self.episode)
            .field("step", &self.step)
            .field("phase", &self.phase)
            .field("answering", &self.answering)
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

impl ScriptedClient {
    /// A client at the start of its program.
    pub fn new(config: ClientConfig, program: Program) -> Self {
        let expected = Expected::new(&config.user, config.defaults.clone(), &[], (0, 0));
        let mut client = Self {
            me: format!("c{}", config.id),
            config,
            program,
            episode: 0,
            step: 0,
            phase: Phase::Idle,
            orders: VecDeque::new(),
            inbox: Vec::new(),
            outbox: Vec::new(),
            minor: 0,
            key: None,
            cancels: 0,
            reported: BTreeMap::new(),
            expected,
            sent: VecDeque::new(),
            answering: None,
            current: VecDeque::new(),
            ledger: Ledger::default(),
            replies: 0,
            refusals: 0,
            losses: 0,
        };
        client.start_episode();
        client
    }

    /// The client's tag, as in `c7`.
    pub fn tag(&self) -> &str {
        &self.me
    }

    /// The program has been played to its end, or a violation has stopped it.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// The client's account of its writes.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Replies that were compared and right.
    pub fn replies(&self) -> u64 {
        self.replies
    }

    /// Connections refused with a tolerated error at login, and connections lost later.
    pub fn mishaps(&self) -> (u64, u64) {
        (self.refusals, self.losses)
    }

    /// The next thing to do; `None` while the client waits for a fact.
    pub fn next_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// The connection stands.
    pub fn on_connected(&mut self) {
        if self.phase != Phase::Connecting {
            return;
        }
        if self.program.episodes[self.episode].asks_encryption {
            self.phase = Phase::Encryption;
            self.orders.push_back(Order::Send(login::ssl_request()));
        } else {
            self.send_startup();
        }
    }

    /// The think time is over.
    ///
    /// # Errors
    /// A [`Violation`] when playing on shows one.
    pub fn on_thought(&mut self) -> Result<(), Violation> {
        if self.phase == Phase::Thinking {
            self.phase = Phase::Playing;
            self.advance();
        }
        Ok(())
    }

    /// Bytes have come, cut anywhere.
    ///
    /// # Errors
    /// The first [`Violation`]; the client is done then.
    pub fn on_bytes(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let deaf = matches!(self.phase, Phase::Idle | Phase::Connecting | Phase::Done);
        if deaf || self.is_stale() {
            return Ok(());
        }
        self.inbox.extend_from_slice(bytes);
        let result = self.read();
        self.finish(result)
    }

    /// The server has closed the connection.
    ///
    /// # Errors
    /// A [`Violation`] when nothing announced it and the test injects no such faults.
    pub fn on_closed(&mut self) -> Result<(), Violation> {
        match self.phase {
            _ if self.is_stale() => Ok(()),
            Phase::Idle | Phase::Done => Ok(()),
            Phase::Dying => {
                self.lose();
                Ok(())
            }
            _ if self.config.tolerates_close => {
                self.lose();
                Ok(())
            }
            _ => self.finish(Err("the connection was closed".into())),
        }
    }

    /// Facts are about a connection that is to be closed as soon as the orders are obeyed.
    fn is_stale(&self) -> bool {
        self.orders.contains(&Order::Close)
    }

    fn finish(&mut self, result: Result<(), String>) -> Result<(), Violation> {
        result.map_err(|problem| {
            self.phase = Phase::Done;
            Violation {
                client: self.me.clone(),
                episode: self.episode,
                step: self.step,
                answering: format!("{:?}", self.answering),
                problem,
            }
        })
    }

    // Connections.

    fn start_episode(&mut self) {
        if self.episode >= self.program.episodes.len() {
            self.phase = Phase::Done;
            return;
        }
        self.phase = Phase::Connecting;
        self.step = 0;
        self.orders.push_back(Order::Connect);
    }

    fn send_startup(&mut self) {
        let episode = &self.program.episodes[self.episode];
        self.phase = Phase::Login;
        self.minor = episode.minor;
        let startup = login::startup_settings(episode);
        let packet = login::startup_packet(episode, &self.config.user, &self.config.database);
        let defaults = self.config.defaults.clone();
        self.expected = Expected::new(&self.config.user, defaults, &startup, self.ledger.counts());
        self.orders.push_back(Order::Send(packet));
    }

    /// The connection is gone in the middle of things.
    fn lose(&mut self) {
        self.losses += 1;
        // What was still to be sent belongs to the connection that is gone.
        self.orders.retain(|order| *order == Order::Close);
        self.account();
        self.end_episode();
    }

    /// Rows that the server would commit if it got everything that was sent are doubtful now.
    fn account(&mut self) {
        let mut fate = self.expected.clone();
        let mut rows = Vec::new();
        let mut look = |fate: &mut Expected, expects: Vec<Expect>| {
            let mut todo = VecDeque::from(expects);
            while let Some(expect) = todo.pop_front() {
                match expect {
                    Expect::Confirm(confirmed) => rows.extend(confirmed),
                    Expect::Sleep => todo.extend(fate.on_slept(false)),
                    _ => {}
                }
            }
        };
        look(&mut fate, self.current.drain(..).collect());
        for message in self.sent.drain(..) {
            let expects = fate.on_message(&message);
            look(&mut fate, expects);
        }
        self.ledger.doubt(rows);
    }

    fn end_episode(&mut self) {
        self.inbox.clear();
        self.outbox.clear();
        self.sent.clear();
        self.current.clear();
        self.answering = None;
        self.key = None;
        self.cancels = 0;
        self.reported.clear();
        self.episode += 1;
        self.start_episode();
    }

    // Playing.

    /// Goes through the program until it has to wait.
    fn advance(&mut self) {
        while self.phase == Phase::Playing {
            let steps = &self.program.episodes[self.episode].steps;
            let Some(step) = steps.get(self.step).cloned() else {
                return self.say_goodbye();
            };
            match step {
                Step::Send(message) => {
                    message.encode(&self.me, &mut self.outbox);
                    self.sent.push_back(message);
                }
                Step::Await => {
                    self.flush();
                    self.settle();
                    if !self.current.is_empty() {
                        return;
                    }
                }
                Step::Think(milliseconds) => {
                    self.flush();
                    self.phase = Phase::Thinking;
                    self.orders.push_back(Order::Think(milliseconds));
                }
                Step::Cancel => self.cancel(),
                Step::Terminate => return self.say_goodbye(),
                Step::Vanish { message, permille } => return self.vanish(&message, permille),
            }
            self.step += 1;
        }
    }

    fn flush(&mut self) {
        if !self.outbox.is_empty() {
            self.orders
                .push_back(Order::Send(std::mem::take(&mut self.outbox)));
        }
    }

    fn cancel(&mut self) {
        self.flush();
        if let Some((pid, key)) = &self.key {
            self.orders
                .push_back(Order::Cancel(login::cancel_request(*pid, key)));
            self.cancels += 1;
        }
    }

    fn say_goodbye(&mut self) {
        Frontend::Terminate.encode(&mut self.outbox);
        self.flush();
        self.orders.push_back(Order::Close);
        self.account();
        self.end_episode();
    }

    fn vanish(&mut self, message: &Message, permille: u32) {
        let mut bytes = Vec::new();
        message.encode(&self.me, &mut bytes);
        let kept = bytes.len() * permille.min(999) as usize / 1000;
        self.outbox.extend_from_slice(&bytes[..kept]);
        self.flush();
        self.orders.push_back(Order::Close);
        self.account();
        self.end_episode();
    }

    /// Takes the next message whose answer is due, until something is expected or nothing is left.
    fn settle(&mut self) {
        loop {
            match self.current.front() {
                Some(Expect::Confirm(_)) => {
                    if let Some(Expect::Confirm(rows)) = self.current.pop_front() {
                        self.ledger.acknowledge(rows);
                    }
                }
                Some(_) => return,
                None => match self.sent.pop_front() {
                    Some(message) => {
                        self.current = self.expected.on_message(&message).into();
                        self.answering = Some(message);
                    }
                    None => return,
                },
            }
        }
    }

    // Replies.

    fn read(&mut self) -> Result<(), String> {
        if self.phase == Phase::Encryption {
            match self.inbox.first() {
                None => return Ok(()),
                Some(b'N') => {
                    self.inbox.remove(0);
                    self.send_startup();
                }
                // A server may answer with an error that ends the connection.
                Some(b'E') => self.phase = Phase::Login,
                Some(byte) => return Err(format!("SSLRequest was answered with {byte}")),
            }
        }
        let inbox = std::mem::take(&mut self.inbox);
        let used = self.read_messages(&inbox)?;
        self.inbox.extend_from_slice(&inbox[used..]);
        self.advance();
        Ok(())
    }

    /// Takes whole messages off `bytes` and says how many bytes they were.
    fn read_messages(&mut self, bytes: &[u8]) -> Result<usize, String> {
        let mut used = 0;
        while matches!(self.phase, Phase::Login | Phase::Playing | Phase::Thinking) {
            let frame = split_frame(&bytes[used..], REPLY_BYTES_MAX)
                .map_err(|problem| format!("unreadable reply: {problem:?}"))?;
            let Some(frame) = frame else {
                return Ok(used);
            };
            let message = Backend::decode(frame.kind, frame.body).map_err(|problem| {
                format!("unreadable reply of type {}: {problem:?}", frame.kind)
            })?;
            used += frame.size;
            if self.phase == Phase::Login {
                self.on_greeting(message)?;
            } else {
                self.on_reply(message)?;
            }
        }
        // What follows the end of the connection is nobody's.
        Ok(bytes.len())
    }

    fn on_greeting(&mut self, message: Backend) -> Result<(), String> {
        match message {
            Backend::Authentication { code: 0, .. } => {}
            Backend::Authentication { code, data } => {
                match self.config.authenticator.answer(code, &data) {
                    Some(answer) => {
                        let mut bytes = Vec::new();
                        Frontend::Password(answer).encode(&mut bytes);
                        self.orders.push_back(Order::Send(bytes));
                    }
                    // The last SASL message only proves the server.
                    None if code == 12 => {}
                    None => {
                        return Err(format!("authentication request {code} cannot be answered"));
                    }
                }
            }
            Backend::NegotiateProtocolVersion { minor, .. } => {
                if minor > u32::from(self.minor) {
                    return Err(format!("negotiated up to 3.{minor}"));
                }
                self.minor = minor as u16;
            }
            Backend::ParameterStatus { name, value } => self.on_parameter(&name, value),
            Backend::BackendKeyData { pid, key } => self.on_key(pid, key)?,
            Backend::NoticeResponse(_) => {}
            Backend::ReadyForQuery(b'I') => {
                self.check_settings()?;
                self.phase = Phase::Playing;
            }
            Backend::ErrorResponse(error) if self.tolerates(&error) => {
                self.refusals += 1;
                self.phase = Phase::Dying;
            }
            other => return Err(format!("at login came {}", shown(&other))),
        }
        Ok(())
    }

    fn on_key(&mut self, pid: u32, key: Vec<u8>) -> Result<(), String> {
        let fits = if self.minor >= 2 {
            (4..=256).contains(&key.len())
        } else {
            key.len() == 4
        };
        if !fits {
            return Err(format!(
                "a cancel key of {} bytes in 3.{}",
                key.len(),
                self.minor
            ));
        }
        self.key = Some((pid, key));
        Ok(())
    }

    fn on_reply(&mut self, message: Backend) -> Result<(), String> {
        self.settle();
        match &message {
            Backend::ParameterStatus { name, value } => {
                self.on_parameter(name, value.clone());
                return Ok(());
            }
            Backend::NoticeResponse(notice) if !self.awaits_notice(notice) => {
                return match &*notice.code {
                    "00000" | "01000" => Ok(()),
                    _ => Err(format!("unexpected {}", shown(&message))),
                };
            }
            Backend::ErrorResponse(error) if !self.awaits_error(error) => {
                let error = error.clone();
                return self.on_fault(&error);
            }
            _ => {}
        }
        let Some(expect) = self.current.pop_front() else {
            return Err(format!("nothing was expected, got {}", shown(&message)));
        };
        if let Match::More(rest) = check(&expect, &message)? {
            self.current.push_front(rest);
        }
        self.replies += 1;
        match (expect, message) {
            (Expect::Sleep, _) => self.current.extend(self.expected.on_slept(false)),
            (Expect::Ready(status), Backend::ReadyForQuery(found)) => {
                if status.is_none() && !self.expected.on_status(found) {
                    return Err(format!(
                        "after an error the status is {:?}",
                        char::from(found)
                    ));
                }
                self.check_settings()?;
            }
            _ => {}
        }
        self.settle();
        Ok(())
    }

    fn awaits_notice(&self, notice: &PgError) -> bool {
        matches!(self.current.front(), Some(Expect::Notice(code)) if notice.code == *code)
    }

    fn awaits_error(&self, error: &PgError) -> bool {
        error.severity != Severity::Fatal
            && matches!(self.current.front(), Some(Expect::Error(code)) if error.code == *code)
    }

    fn tolerates(&self, error: &PgError) -> bool {
        self.config.tolerated.iter().any(|code| error.code == *code)
    }

    /// An error that the program itself did not cause: a cancel, or a fault the test injects.
    fn on_fault(&mut self, error: &PgError) -> Result<(), String> {
        let canceled = error.code == "57014" && self.cancels > 0;
        if canceled {
            self.cancels -= 1;
            if self.current.front() == Some(&Expect::Sleep) {
                self.current = self.expected.on_slept(true).into();
                self.replies += 1;
                return Ok(());
            }
        }
        if !canceled && !self.tolerates(error) {
            let expect = self.current.front();
            return Err(format!(
                "expected {expect:?}, got {} {}: {}",
                error.severity.word(),
                error.code,
                error.message
            ));
        }
        if error.severity == Severity::Fatal {
            self.phase = Phase::Dying;
            return Ok(());
        }
        self.on_lost_answer();
        Ok(())
    }

    /// The answer to the current message has been replaced by an error.
    fn on_lost_answer(&mut self) {
        let mut unconfirmed = Vec::new();
        for expect in self.current.drain(..) {
            if let Expect::Confirm(rows) = expect {
                unconfirmed.extend(rows);
            }
        }
        let count = unconfirmed.len();
        self.ledger.doubt(unconfirmed);
        let message = self.answering.clone().unwrap_or(Message::Sync);
        match self.expected.on_fault(&message, count) {
            Some(expects) => self.current = expects.into(),
            None => {
                // From here on the session may have gone another way than predicted: any row may be in the log.
                let rows: Vec<i64> = self.sent.iter().flat_map(|m| m.rows(&self.me)).collect();
                self.ledger
                    .doubt(rows.into_iter().chain(self.expected.pending_rows()));
                self.orders.push_back(Order::Close);
                self.lose();
            }
        }
    }

    fn on_parameter(&mut self, name: &str, value: String) {
        self.reported.insert(name.to_ascii_lowercase(), value);
    }

    /// What the server has announced must be what the session has.
    fn check_settings(&self) -> Result<(), String> {
        let own = [("session_authorization", self.config.user.as_str())];
        for (name, value) in self.expected.settings().chain(own) {
            match self.reported.get(name) {
                Some(reported) if reported != value => {
                    return Err(format!(
                        "{name} is announced as '{reported}', should be '{value}'"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
