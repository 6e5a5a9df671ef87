//! A scripted client of MySQL as a pure machine: it plays a [`Program`] and checks every reply.
//!
//! Facts go in (`on_connected`, `on_bytes`, `on_closed`, `on_thought`), orders come out (`next_order`). Every answer must be the predicted
//! one: right results in the right order, right values, right status flags, right warnings, right reports of changes, packets numbered one
//! after the other. The first difference is a [`Violation`] and ends the client. Faults that a test injects on purpose are named in
//! [`ClientConfig::tolerated`]; after one the client keeps account of what became doubtful.
//!
//! ```text
//! Idle ─Connect▶ Connecting ─▶ Login ─OK▶ Playing ⇄ Thinking ─▶ Idle (next episode) … Done
//!                                          └─COM_CHANGE_USER▶ Changing ─OK▶ Playing      └─ error that ends ─▶ Dying
//! ```

mod answer;
mod check;
mod expected;
mod generate;
mod login;
mod play;
mod script;
mod vocabulary;

pub use generate::program;
pub use login::{Credentials, Login, Step as LoginStep};
pub use script::{Act, Episode, Message, Param, Program, Step};

use super::Flavor;
use crate::model::Ledger;
use crate::model::client::{Order, Violation};
use answer::Answer;
use expected::{Beginning, Picture, Prediction};
use forebay_mysql::wire;
use forebay_mysql::wire::reply::{ErrorPacket, OkPacket};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// Who the client is and what it puts up with.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Its number; rows and tags carry it as in `c7`.
    pub id: u32,
    /// As whom it logs in.
    pub credentials: Credentials,
    /// The server's family.
    pub flavor: Flavor,
    /// Numbers of errors that may come at any time because the test injects such faults.
    pub tolerated: Vec<String>,
    /// Whether the connection may be closed at any time without a word.
    pub tolerates_close: bool,
}

/// Errors behind which the connection ends.
const FATAL: [u16; 1] = [9503];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Connecting,
    Login,
    /// `COM_CHANGE_USER` is under way.
    Changing,
    Playing,
    Thinking,
    /// An error has announced the end of the connection.
    Dying,
    Done,
}

/// A prepared statement as far as commands need it.
#[derive(Debug, Clone, Copy)]
struct Handle {
    parameters: u16,
    /// The type of its parameter, as it was said last.
    kind: Option<u8>,
    /// A parameter was sent ahead.
    ahead: bool,
    /// Its parameter is a row's number, of which no two are equal.
    inserts: bool,
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
    login: Login,
    /// KILLs that have not shown an effect.
    cancels: u32,
    /// The last answer was a tolerated error: the connection may end behind it.
    may_end: bool,
    picture: Picture,
    sent: VecDeque<Message>,
    answering: Option<Message>,
    prediction: Prediction,
    answer: Option<Answer>,
    numbers: BTreeMap<&'static str, u32>,
    handles: BTreeMap<&'static str, Handle>,
    /// Columns of open cursors.
    cursors: BTreeMap<&'static str, Vec<(u8, bool)>>,
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
            .finish_non_exhaustive()
    }
}

impl ScriptedClient {
    /// A client at the start of its program.
    pub fn new(config: ClientConfig, program: Program) -> ScriptedClient {
        let picture = Picture::new(&Beginning {
            flavor: config.flavor,
            capabilities: wire::capability::Capabilities::NONE,
            collation: 45,
            database: None,
            counts: (0, 0),
        });
        let credentials = config.credentials.clone();
        let mut client = ScriptedClient {
            me: format!("c{}", config.id),
            login: Login::new(credentials, wire::capability::Capabilities::NONE, 45),
            config,
            program,
            episode: 0,
            step: 0,
            phase: Phase::Idle,
            orders: VecDeque::new(),
            inbox: Vec::new(),
            outbox: Vec::new(),
            cancels: 0,
            may_end: false,
            picture,
            sent: VecDeque::new(),
            answering: None,
            prediction: Prediction::default(),
            answer: None,
            numbers: BTreeMap::new(),
            handles: BTreeMap::new(),
            cursors: BTreeMap::new(),
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

    /// Answers that were compared and right.
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

    /// The connection stands: the server speaks first.
    pub fn on_connected(&mut self) {
        if self.phase != Phase::Connecting {
            return;
        }
        let episode = &self.program.episodes[self.episode];
        let credentials = self.config.credentials.clone();
        let mut login = Login::new(credentials, episode.capabilities, episode.collation);
        login.database = episode.database.map(str::to_owned);
        login.switches = episode.switches;
        self.login = login;
        self.phase = Phase::Login;
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
        let deaf = matches!(self.phase, Phase::Idle | Phase::Done);
        if deaf || self.is_stale() {
            return Ok(());
        }
        // Where something comes from, there is a connection.
        self.on_connected();
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
            _ if self.config.tolerates_close || self.may_end => {
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

    // --- Connections ---

    fn start_episode(&mut self) {
        if self.episode >= self.program.episodes.len() {
            self.phase = Phase::Done;
            return;
        }
        self.phase = Phase::Connecting;
        self.step = 0;
        self.orders.push_back(Order::Connect);
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
        let mut fate = self.picture.clone();
        let mut rows = std::mem::take(&mut self.prediction.confirms);
        for message in self.sent.drain(..) {
            rows.extend(fate.on_message(&message).confirms);
        }
        self.ledger.doubt(rows);
    }

    fn end_episode(&mut self) {
        self.inbox.clear();
        self.outbox.clear();
        self.sent.clear();
        self.prediction = Prediction::default();
        self.answer = None;
        self.answering = None;
        self.forget_statements();
        self.cursors.clear();
        self.cancels = 0;
        self.may_end = false;
        self.episode += 1;
        self.start_episode();
    }

    fn forget_statements(&mut self) {
        self.numbers.clear();
        self.handles.clear();
    }

    // --- Packets ---

    fn read(&mut self) -> Result<(), String> {
        loop {
            let reads = matches!(
                self.phase,
                Phase::Login | Phase::Changing | Phase::Playing | Phase::Thinking
            );
            if !reads {
                // What follows the end of the connection is nobody's.
                self.inbox.clear();
                break;
            }
            let Some(header) = wire::header(&self.inbox) else {
                break;
            };
            if self.inbox.len() < header.len {
                break;
            }
            let packet: Vec<u8> = self.inbox.drain(..header.len).collect();
            let payload = &packet[wire::HEADER_BYTES..];
            match self.phase {
                Phase::Login | Phase::Changing => self.on_login(payload, header.sequence)?,
                _ => self.on_packet(payload, header.sequence)?,
            }
        }
        self.advance();
        Ok(())
    }

    fn on_login(&mut self, payload: &[u8], sequence: u8) -> Result<(), String> {
        let mut out = Vec::new();
        let step = self.login.on_packet(payload, sequence, &mut out)?;
        if !out.is_empty() {
            self.orders.push_back(Order::Send(out));
        }
        match step {
            LoginStep::More => Ok(()),
            LoginStep::Refused => {
                let error = ErrorPacket::read(payload).map_err(|it| format!("{it:?}"))?;
                if !self.tolerates(error.code) {
                    let message = String::from_utf8_lossy(error.message).into_owned();
                    return Err(format!("login was refused: {} {message}", error.code));
                }
                self.refusals += 1;
                self.phase = Phase::Dying;
                Ok(())
            }
            LoginStep::In => self.on_welcome(payload),
        }
    }

    fn on_welcome(&mut self, payload: &[u8]) -> Result<(), String> {
        let capabilities = self.login.capabilities;
        let ok = OkPacket::read(payload, capabilities).map_err(|it| format!("{it:?}"))?;
        let end = answer::end_of(&ok)?;
        let episode = &self.program.episodes[self.episode];
        let database = match self.phase {
            Phase::Changing => match &self.answering {
                Some(Message::ChangeUser { database }) => *database,
                _ => None,
            },
            _ => episode.database,
        };
        self.picture = Picture::new(&Beginning {
            flavor: self.config.flavor,
            capabilities,
            collation: episode.collation,
            database,
            counts: self.ledger.counts(),
        });
        self.phase = Phase::Playing;
        self.answering = None;
        self.picture.check_welcome(&end)
    }

    fn tolerates(&self, code: u16) -> bool {
        let code = code.to_string();
        self.config.tolerated.contains(&code)
    }
}
