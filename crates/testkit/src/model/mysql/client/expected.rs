//! What the client expects: its own picture of its session, and from it the answer to every command.
//!
//! Written apart from the model server, from the documentation and the rules of MySQL's sessions, so that an error in one shows as a
//! disagreement with the other. A command is predicted when its turn to be answered comes, so the picture is always that of all answers
//! before it. What only the server knows (numbers given by AUTO_INCREMENT) is taken from its answer and expected from then on.

mod acts;
mod commands;
mod settings;

use super::answer::End;
use super::script::{Act, Message};
use crate::model::mysql::Flavor;
use forebay_mysql::wire::capability::Capabilities;
use forebay_mysql::wire::status::Status;
use std::collections::BTreeMap;

/// One value of an expected row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Text(String),
    Int(i64),
    Null,
    /// A count that is this or up to so many more.
    AtLeast {
        value: i64,
        more: i64,
    },
    /// What `LAST_INSERT_ID()` is, once the answers before have come.
    LastInsertId,
    /// Whatever it is.
    Any,
}

/// Expected rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rows {
    All(Vec<Vec<Cell>>),
    /// The text and each number of this range.
    Numbers {
        tag: String,
        first: u32,
        last: u32,
    },
}

/// One change that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Variable(&'static str, String),
    Schema(String),
    State,
}

/// How one result of an answer looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    Ok {
        affected: u64,
        /// The server gives a number.
        numbered: bool,
    },
    Rows {
        columns: usize,
        rows: Rows,
    },
    Error(u16),
    /// The statement of this name has a number now.
    Prepared {
        name: &'static str,
        parameters: u16,
        columns: u16,
    },
    /// A text of any kind.
    Text,
}

/// One result of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expect {
    pub(super) shape: Shape,
    pub(super) status: Status,
    /// How many warnings; `None` where that does not matter.
    pub(super) warnings: Option<u16>,
    pub(super) told: Vec<Told>,
    /// What may be told besides.
    pub(super) late: Vec<Told>,
    /// Somebody may end it.
    pub(super) may_end: bool,
    /// Reads what the statement before left behind, for the first time.
    pub(super) may_be_gone: bool,
}

/// The answer to one command.
#[derive(Debug, Clone, Default)]
pub(super) struct Prediction {
    pub(super) results: Vec<Expect>,
    /// The picture ahead of each result, for one that ends early.
    pub(super) before: Vec<Picture>,
    /// Rows that are in the log when it has come.
    pub(super) confirms: Vec<i64>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Transaction {
    read_only: bool,
    rows: Vec<i64>,
    savepoints: Vec<(&'static str, usize)>,
}

/// A prepared statement as the client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Given {
    act: Act,
    /// As it was prepared.
    database: Option<String>,
    collation: String,
    /// Types were said.
    has_types: bool,
    ahead: Option<String>,
    /// Rows that are still to be fetched: of these.
    cursor: Option<Rows>,
}

/// The client's picture of its session.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    flavor: Flavor,
    capabilities: Capabilities,
    settings: BTreeMap<&'static str, String>,
    charsets: settings::Charsets,
    /// Those of the connection's beginning.
    first: settings::Charsets,
    user: BTreeMap<&'static str, String>,
    database: Option<String>,
    transaction: Option<Transaction>,
    next_read_only: Option<bool>,
    temporary: BTreeMap<&'static str, usize>,
    locks: BTreeMap<u32, u32>,
    named: BTreeMap<&'static str, String>,
    prepared: BTreeMap<&'static str, Given>,
    last_insert_id: i64,
    row_count: Option<i64>,
    /// What SHOW WARNINGS says: level, number, text where that is known.
    warnings: Vec<(&'static str, i64, Option<String>)>,
    /// It has read what statements leave behind.
    has_looked_back: bool,
    /// Statements have run.
    has_run: bool,
    /// Rows of this client in the log, and those nobody can be sure of.
    committed: i64,
    doubtful: i64,
    confirms: Vec<i64>,
    told: Vec<Told>,
    /// What changed in a statement that failed: MySQL tells it with the next OK, which may not be the client's.
    late: Vec<Told>,
}

/// How a session begins.
pub(super) struct Beginning {
    pub(super) flavor: Flavor,
    pub(super) capabilities: Capabilities,
    pub(super) collation: u8,
    pub(super) database: Option<&'static str>,
    /// The client's rows in the log from before, and those in doubt.
    pub(super) counts: (i64, i64),
}

impl Picture {
    /// A fresh session.
    pub(super) fn new(beginning: &Beginning) -> Picture {
        let charsets = settings::Charsets::of(beginning.collation);
        Picture {
            flavor: beginning.flavor,
            capabilities: beginning.capabilities,
            settings: BTreeMap::new(),
            first: charsets.clone(),
            charsets,
            user: BTreeMap::new(),
            database: beginning.database.map(str::to_owned),
            transaction: None,
            next_read_only: None,
            temporary: BTreeMap::new(),
            locks: BTreeMap::new(),
            named: BTreeMap::new(),
            prepared: BTreeMap::new(),
            last_insert_id: 0,
            row_count: None,
            warnings: Vec::new(),
            has_looked_back: false,
            has_run: false,
            committed: beginning.counts.0,
            doubtful: beginning.counts.1,
            confirms: Vec::new(),
            told: Vec::new(),
            late: Vec::new(),
        }
    }

    /// What `LAST_INSERT_ID()` is.
    pub(super) fn last_insert_id(&self) -> i64 {
        self.last_insert_id
    }

    /// The server has given this number.
    pub(super) fn learn(&mut self, id: i64) {
        self.last_insert_id = id;
    }

    /// The statement was ended by a KILL.
    pub(super) fn on_ended(&mut self) {
        self.begin_statement(None);
        self.failed(1317);
    }

    /// It has asked for what a statement left behind.
    pub(super) fn look_back(&mut self) {
        self.has_looked_back = true;
    }

    /// What was sent ahead for this statement has come to nothing.
    pub(super) fn forget_ahead(&mut self, name: &'static str) {
        if let Some(given) = self.prepared.get_mut(name) {
            given.ahead = None;
        }
    }

    /// A statement was not prepared.
    pub(super) fn forget(&mut self, name: &'static str) {
        self.prepared.remove(name);
    }

    /// What the last packet of a login says.
    pub(super) fn check_welcome(&self, end: &End) -> Result<(), String> {
        let is_told = self.capabilities.has(Capabilities::SESSION_TRACK);
        let schema = self.database.clone().filter(|_| is_told);
        let told: Vec<_> = schema
            .into_iter()
            .map(|it| (1, it, String::new()))
            .collect();
        let status = end.status.without(Status::SESSION_STATE_CHANGED);
        match end.told == told && status == self.status() {
            true => Ok(()),
            false => Err(format!("a login ended with {end:?}, should tell {told:?}")),
        }
    }

    /// Rows written and not committed.
    fn pending_rows(&self) -> Vec<i64> {
        let open = self.transaction.iter();
        open.flat_map(|it| it.rows.iter().copied()).collect()
    }

    /// What the session's status flags are.
    fn status(&self) -> Status {
        let mut status = Status::default();
        if self.setting("autocommit") == "1" {
            status = status | Status::AUTOCOMMIT;
        }
        if let Some(transaction) = &self.transaction {
            status = status | Status::IN_TRANS;
            if transaction.read_only {
                status = status | Status::IN_TRANS_READONLY;
            }
        }
        let mode = self.setting("sql_mode");
        if mode.contains("NO_BACKSLASH_ESCAPES") {
            status = status | Status::NO_BACKSLASH_ESCAPES;
        }
        if self.flavor == Flavor::MariaDb && mode.contains("ANSI_QUOTES") {
            status = status | Status::ANSI_QUOTES;
        }
        status
    }

    /// Predicts the answer to a command.
    pub(super) fn on_message(&mut self, message: &Message) -> Prediction {
        let mut prediction = Prediction::default();
        match message {
            Message::Query(acts) => self.query(acts, &mut prediction),
            message => {
                prediction.before.push(self.clone());
                let (shape, extra) = self.command(message);
                if let Some(shape) = shape {
                    let mut expect = self.expect(shape, extra);
                    if !matches!(message, Message::Execute { .. }) {
                        // Of which statement, servers do not agree.
                        expect.warnings = None;
                    }
                    prediction.results.push(expect);
                }
            }
        }
        prediction.confirms = std::mem::take(&mut self.confirms);
        prediction
    }

    /// A result of this shape, with status flags of its own.
    fn expect(&mut self, shape: Shape, extra: Status) -> Expect {
        let told = self.takes_told(&shape);
        let warnings = match shape {
            Shape::Ok { .. } | Shape::Rows { .. } => Some(self.warnings.len() as u16),
            _ => None,
        };
        Expect {
            shape,
            status: self.status() | extra,
            warnings,
            told,
            late: self.late.clone(),
            may_end: false,
            may_be_gone: false,
        }
    }

    /// What is told with a result of this shape; what cannot be told then is told later, or never.
    fn takes_told(&mut self, shape: &Shape) -> Vec<Told> {
        if !self.capabilities.has(Capabilities::SESSION_TRACK) {
            self.told.clear();
            return Vec::new();
        }
        let is_eof = matches!(shape, Shape::Rows { .. })
            && !self.capabilities.has(Capabilities::DEPRECATE_EOF);
        match shape {
            Shape::Ok { .. } | Shape::Rows { .. } if !is_eof => std::mem::take(&mut self.told),
            Shape::Error(_) if self.flavor == Flavor::MySql => {
                self.late = std::mem::take(&mut self.told);
                Vec::new()
            }
            Shape::Error(_) | Shape::Rows { .. } => {
                self.told.clear();
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn query(&mut self, acts: &[Act], prediction: &mut Prediction) {
        let several = self.capabilities.has(Capabilities::MULTI_STATEMENTS);
        if acts.len() > 1 && !several {
            prediction.before.push(self.clone());
            self.begin_statement(None);
            let shape = self.failed(1064);
            let expect = self.expect(shape, Status::default());
            prediction.results.push(expect);
            return;
        }
        for (at, act) in acts.iter().enumerate() {
            prediction.before.push(self.clone());
            let may_be_gone = act.looks_back() && !self.has_looked_back;
            self.has_looked_back |= act.looks_back();
            let shapes = self.statement(act);
            let is_last = at + 1 == acts.len();
            let count = shapes.len();
            for (number, shape) in shapes.into_iter().enumerate() {
                let fails = matches!(shape, Shape::Error(_));
                let more = number + 1 < count || !is_last && !fails;
                let extra = match more {
                    true => Status::MORE_RESULTS_EXISTS,
                    false => Status::default(),
                };
                if number > 0 {
                    prediction.before.push(self.clone());
                }
                let expect = self.expect(shape, extra);
                prediction.results.push(Expect {
                    may_end: act.may_end(),
                    may_be_gone,
                    // It tells of the statement before, and has none of its own.
                    warnings: expect.warnings.filter(|_| *act != Act::ShowWarnings),
                    ..expect
                });
                if fails {
                    return;
                }
            }
        }
    }

    /// A statement of its own begins: what the one before left behind is gone.
    fn begin_statement(&mut self, act: Option<&Act>) {
        self.has_run = true;
        if act != Some(&Act::ShowWarnings) {
            self.warnings.clear();
        }
    }

    /// A command about a statement was refused, like a statement that fails.
    fn refused(&mut self, code: u16) -> Shape {
        self.begin_statement(None);
        self.failed(code)
    }

    /// It failed: that is among the diagnostics.
    fn failed(&mut self, code: u16) -> Shape {
        self.warnings.push(("Error", code.into(), None));
        self.row_count = Some(-1);
        Shape::Error(code)
    }
}

impl Act {
    /// Whether it asks for what the statement before left behind.
    pub(super) fn looks_back(&self) -> bool {
        matches!(self, Act::ShowWarnings | Act::RowCount)
    }

    /// Whether somebody may end it while it runs.
    fn may_end(&self) -> bool {
        matches!(self, Act::Sleep(_) | Act::GetLock(_))
    }
}
