//! What the client expects: its own picture of its session, and from it the answer to every message.
//!
//! Deliberately written apart from the model server, from the protocol documentation and the rules of PostgreSQL's
//! transactions, so that an error in one shows as a disagreement with the other. A message is predicted when its
//! turn to be answered comes, so the picture is always that of all answers before it. Where the answer depends on
//! others (is the sleep canceled?), the prediction pauses and goes on with what happened.

mod acts;
mod extended;
mod query;
mod transactions;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::frontend::Named;
use super::script::{Act, Message};

/// One cell of an expected row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Text(String),
    /// A number that the server sends in so many bytes when asked for binary.
    Int {
        value: i64,
        bytes: usize,
        binary: bool,
    },
    /// A count that is this or up to so many more.
    AtLeast {
        value: i64,
        more: i64,
        binary: bool,
    },
    /// NULL, as a custom setting that this client has never set: whoever used the connection before must not show.
    Null,
    /// A custom setting that has no value any more: empty, or NULL if setting it came to nothing.
    Unset,
}

/// The next thing the server should send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expect {
    Description(usize),
    NoData,
    Parameters(usize),
    Row(Vec<Cell>),
    /// Rows `next..=last` of `generate`, of which each is one message.
    Generated {
        tag: String,
        size: u32,
        next: u32,
        last: u32,
    },
    Tag(String),
    Empty,
    ParseComplete,
    BindComplete,
    CloseComplete,
    Suspended,
    Error(&'static str),
    Notice(&'static str),
    /// The status byte; `None` after an error from outside, when the server's word decides.
    Ready(Option<u8>),
    CopyIn,
    CopyOut,
    /// Lines `next..=last` of a COPY of `generate`.
    Lines {
        tag: String,
        next: u32,
        last: u32,
    },
    CopyDone,
    Function(String),
    /// The sleep ends, or is canceled; what follows is known then.
    Sleep,
    /// Not a message: everything before this point has been confirmed, so these rows are in the log.
    Confirm(Vec<i64>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Block {
    None,
    Single,
    Implicit,
    Open,
    Failed,
}

/// What a rollback takes back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Revertible {
    settings: BTreeMap<String, String>,
    locals: BTreeMap<String, String>,
    temp: BTreeSet<&'static str>,
    rows: Vec<i64>,
    read_only: bool,
}

#[derive(Debug, Clone)]
struct Portal {
    act: Option<Act>,
    params: Vec<String>,
    binary: bool,
    depth: usize,
    progress: Progress,
    /// An error has made it worthless even as the end of a transaction.
    spoiled: bool,
}

impl Portal {
    /// One that has run to its end.
    fn done(act: Act, depth: usize) -> Self {
        Self {
            act: Some(act),
            params: Vec::new(),
            binary: false,
            depth,
            progress: Progress::Done,
            spoiled: false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    New,
    /// Rows still to come.
    Rows(Rows),
    Done,
}

/// Rows of one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rows {
    One(Option<Vec<Cell>>),
    Generated {
        tag: String,
        size: u32,
        next: u32,
        last: u32,
    },
}

/// What an act gives when it succeeds.
enum Answer {
    Tag(&'static str),
    Rows(Rows),
    Lines { tag: String, rows: u32 },
    CopyIn,
    Sleep,
}

/// What stopped in the middle of a message.
#[derive(Debug, Clone)]
enum Paused {
    Simple { rest: VecDeque<Act>, several: bool },
    Execute { portal: &'static str },
}

/// The client's picture of its session.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    user: String,
    /// Names of settings a program uses, lower case, with their values on a fresh session.
    baseline: BTreeMap<String, String>,
    defaults: BTreeMap<String, String>,
    now: Revertible,
    start: Revertible,
    savepoints: Vec<(&'static str, Revertible)>,
    block: Block,
    pipelined: bool,
    statements: BTreeMap<&'static str, Option<Act>>,
    portals: BTreeMap<&'static str, Portal>,
    locks: BTreeMap<i64, u32>,
    /// Custom settings that it has set, if only for a transaction that was rolled back.
    customs: BTreeSet<String>,
    skipping: bool,
    /// The last request was a Query or a FunctionCall: an error needs no Sync.
    simple: bool,
    /// A commit predicted for the last message changed what a session keeps.
    committed_change: bool,
    /// An error from outside is being skipped over: what the transaction has become, only the server knows.
    faulted: bool,
    paused: Option<Paused>,
    copying: Option<Vec<i64>>,
    /// Rows of this client in the log, all sessions together, and those nobody can be sure of.
    committed: i64,
    doubtful: i64,
    confirm: Vec<i64>,
    out: Vec<Expect>,
}

type Outcome<T> = Result<T, &'static str>;

impl Expected {
    /// A fresh session of `user`; both maps have lower-case keys. `committed` and `doubtful` count the client's
    /// rows from earlier sessions.
    pub(super) fn new(
        user: &str,
        defaults: BTreeMap<String, String>,
        startup: &[(String, String)],
        (committed, doubtful): (i64, i64),
    ) -> Self {
        let mut baseline = defaults.clone();
        baseline.extend(startup.iter().cloned());
        Self {
            user: user.to_owned(),
            baseline,
            defaults,
            now: Revertible::default(),
            start: Revertible::default(),
            savepoints: Vec::new(),
            block: Block::None,
            pipelined: false,
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            locks: BTreeMap::new(),
            customs: BTreeSet::new(),
            skipping: false,
            simple: false,
            committed_change: false,
            faulted: false,
            paused: None,
            copying: None,
            committed,
            doubtful,
            confirm: Vec::new(),
            out: Vec::new(),
        }
    }

    /// The value in force; `None` for a custom setting without one.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        let key = name.to_ascii_lowercase();
        let layers = [&self.now.locals, &self.now.settings, &self.baseline];
        layers
            .iter()
            .find_map(|layer| layer.get(&key))
            .map(String::as_str)
    }

    /// Settings whose announced value must be right at every ReadyForQuery.
    pub(super) fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.baseline
            .keys()
            .filter_map(|key| Some((key.as_str(), self.setting(key)?)))
    }

    /// Predicts the answer to `message`; empty when it gets none.
    pub(super) fn on_message(&mut self, message: &Message) -> Vec<Expect> {
        if self.copying.is_some() {
            self.during_copy(message);
        } else if !self.skipping || *message == Message::Sync {
            self.dispatch(message);
        }
        std::mem::take(&mut self.out)
    }

    /// The sleep has ended by itself or by a cancel; the rest of its message.
    pub(super) fn on_slept(&mut self, canceled: bool) -> Vec<Expect> {
        match (self.paused.take(), canceled) {
            (Some(Paused::Simple { .. }), true) => self.fail_query("57014"),
            (Some(Paused::Simple { rest, several }), false) => {
                self.complete(&Act::Sleep, &rest, several, "SELECT 1".into());
                self.run(rest, several);
            }
            (Some(Paused::Execute { .. }), true) => self.fail_segment("57014"),
            (Some(Paused::Execute { portal }), false) => {
                if let Some(portal) = self.portals.get_mut(portal) {
                    portal.progress = Progress::Rows(Rows::One(None));
                }
                self.pipelined = true;
                self.out.push(Expect::Tag("SELECT 1".into()));
            }
            (None, _) => {}
        }
        // The error itself has been seen.
        let mut out = std::mem::take(&mut self.out);
        if canceled && !out.is_empty() {
            out.remove(0);
        }
        out
    }

    /// An error from outside (backend lost, proxy refused) has replaced the answer to `message`. Gives what is
    /// expected now, or `None` when the session's state cannot be known any more.
    pub(super) fn on_fault(
        &mut self,
        message: &Message,
        unconfirmed: usize,
    ) -> Option<Vec<Expect>> {
        self.committed -= unconfirmed as i64;
        self.doubtful += unconfirmed as i64;
        self.paused = None;
        self.copying = None;
        if !self.survives_fault(message) {
            return None;
        }
        if let Message::Bind { portal, .. } = message {
            self.portals.remove(portal);
        }
        let simple = self.simple || *message == Message::Sync;
        self.skipping = !simple;
        self.faulted = !simple;
        Some(if simple {
            vec![Expect::Ready(None)]
        } else {
            Vec::new()
        })
    }

    /// Whether the session's state is known although `message` may or may not have had its effect.
    fn survives_fault(&self, message: &Message) -> bool {
        let undone = self.block != Block::None;
        match message {
            Message::Query(acts) => match acts.as_slice() {
                [Act::Commit { .. }] => !self.changed(),
                [Act::Begin { .. } | Act::Rollback { .. }] => true,
                acts => !acts.iter().any(Act::is_lasting) && (undone || !self.changed()),
            },
            Message::Execute { portal, .. } => match self.portals.get(portal).map(|p| &p.act) {
                Some(Some(act)) if act.is_lasting() => false,
                Some(_) => undone || !self.changed(),
                None => !self.changed(),
            },
            Message::Parse { .. } | Message::Close { .. } => false,
            _ => undone || !self.changed(),
        }
    }

    /// ReadyForQuery after such an error: the server's word on the transaction. False when it cannot be true.
    pub(super) fn on_status(&mut self, status: u8) -> bool {
        match status {
            b'I' => self.roll_back(),
            b'E' if self.block == Block::Failed => {}
            b'E' if self.block == Block::Open => self.fail_block(),
            // A COMMIT that would listen where nobody can: its transaction stays, and has failed.
            b'E' if self.block == Block::None => self.fail_block(),
            _ => return false,
        }
        true
    }

    /// Rows written and not yet committed.
    pub(super) fn pending_rows(&self) -> Vec<i64> {
        self.now.rows.clone()
    }

    fn is_open(&self) -> bool {
        matches!(self.block, Block::Open | Block::Failed)
    }

    /// Whether the transaction that is open, or was the last one, changed what a session keeps.
    fn changed(&self) -> bool {
        let rows = |r: &Revertible| Revertible {
            rows: Vec::new(),
            read_only: false,
            ..r.clone()
        };
        self.committed_change || rows(&self.now) != rows(&self.start)
    }

    fn dispatch(&mut self, message: &Message) {
        self.committed_change = false;
        self.simple = matches!(message, Message::Query(_) | Message::FunctionCall { .. });
        match message {
            Message::Query(acts) => self.query(acts),
            Message::Sync => {
                self.skipping = false;
                if std::mem::take(&mut self.faulted) {
                    return self.out.push(Expect::Ready(None));
                }
                self.end_segment();
                self.ready();
            }
            Message::Flush | Message::CopyData(_) | Message::CopyDone | Message::CopyFail => {}
            Message::FunctionCall { left, right } => self.function_call(left, right),
            Message::Parse { name, act } => {
                let result = self.parse(name, act.as_ref());
                self.answer_segment(result, Expect::ParseComplete);
            }
            Message::Bind {
                portal,
                statement,
                params,
                binary,
            } => {
                let result = self.bind(portal, statement, params, *binary);
                self.answer_segment(result, Expect::BindComplete);
            }
            Message::Describe { what, name } => {
                if let Err(code) = self.describe(*what, name) {
                    self.fail_segment(code);
                }
            }
            Message::Execute { portal, rows } => {
                if let Err(code) = self.execute(portal, *rows) {
                    self.fail_segment(code);
                }
            }
            Message::Close { what, name } => {
                match what {
                    Named::Statement => drop(self.statements.remove(name)),
                    Named::Portal => drop(self.portals.remove(name)),
                }
                self.out.push(Expect::CloseComplete);
            }
        }
    }

    fn answer_segment(&mut self, result: Outcome<()>, good: Expect) {
        match result {
            Ok(()) => self.out.push(good),
            Err(code) => self.fail_segment(code),
        }
    }

    fn fail_segment(&mut self, code: &'static str) {
        self.error(code);
        self.skipping = true;
    }

    fn fail_query(&mut self, code: &'static str) {
        self.error(code);
        self.ready();
    }

    fn error(&mut self, code: &'static str) {
        self.out.push(Expect::Error(code));
        match self.block {
            Block::Failed => {}
            Block::Open => self.fail_block(),
            Block::None | Block::Single | Block::Implicit => self.roll_back(),
        }
    }

    fn ready(&mut self) {
        let confirmed = std::mem::take(&mut self.confirm);
        let status = match self.block {
            Block::None | Block::Single => b'I',
            Block::Implicit | Block::Open => b'T',
            Block::Failed => b'E',
        };
        self.out.push(Expect::Ready(Some(status)));
        if !confirmed.is_empty() {
            self.out.push(Expect::Confirm(confirmed));
        }
    }
}
