//! The vocabulary of programs: statements, messages, steps, and how each is written down as bytes.
//!
//! A statement here carries what the client needs to predict its answer, such as the canonical form in which the
//! server will show a setting. What the answer is, `expected.rs` knows; which statements come, `generate.rs`.

use super::super::frontend::{Frontend, Named};

/// One SQL statement of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants' lines name their fields")]
pub enum Act {
    /// `SELECT 'tag'`: the answer shows whose question it was.
    Tag(String),
    /// `SELECT $1`.
    TagParam,
    /// `SELECT number`.
    Number(i32),
    /// `SELECT $1, number`.
    TagParamNumber(i32),
    /// SET in one of its forms; `written` is SQL, `shown` what SHOW will say.
    Set {
        local: bool,
        name: &'static str,
        written: &'static str,
        shown: &'static str,
    },
    /// `SELECT set_config(name, shown, local)`.
    SetConfig {
        local: bool,
        name: &'static str,
        shown: &'static str,
    },
    /// A SET that fails with 22023.
    SetInvalid {
        name: &'static str,
        written: &'static str,
    },
    /// `RESET name`.
    Reset(&'static str),
    /// `RESET ALL`.
    ResetAll,
    /// `SET [LOCAL] ROLE`; `None` for none.
    SetRole { local: bool, role: Option<String> },
    /// `DISCARD` with this word.
    Discard(&'static str),
    /// `SHOW name`.
    Show(&'static str),
    /// `SELECT current_setting(name, true)`.
    CurrentSetting(&'static str),
    /// `BEGIN`, with an access mode if given.
    Begin { read_only: Option<bool> },
    /// `COMMIT [AND CHAIN]`.
    Commit { chain: bool },
    /// `ROLLBACK [AND CHAIN]`.
    Rollback { chain: bool },
    /// `SAVEPOINT`.
    Savepoint(&'static str),
    /// `ROLLBACK TO`.
    RollbackTo(&'static str),
    /// `RELEASE`.
    Release(&'static str),
    /// A row of this client in the log.
    Insert(i64),
    /// `INSERT INTO log VALUES ($1, $2)`.
    InsertParam,
    /// How many rows this client has in the log.
    Count,
    /// Many rows.
    Generate { rows: u32, size: u32, tag: String },
    /// An error with this SQLSTATE.
    Fail(&'static str),
    /// `CREATE TEMP TABLE`.
    CreateTemp(&'static str),
    /// `DROP TABLE`.
    DropTemp(&'static str),
    /// `SELECT pg_advisory_lock(key)`.
    Lock(i64),
    /// `SELECT pg_advisory_unlock(key)`.
    Unlock(i64),
    /// `SELECT pg_advisory_unlock_all()`.
    UnlockAll,
    /// `LISTEN`.
    Listen(&'static str),
    /// `UNLISTEN`, or `UNLISTEN *`.
    Unlisten(Option<&'static str>),
    /// SQL's `PREPARE name AS SELECT 'tag'`.
    Prepare { name: &'static str, tag: String },
    /// SQL's `EXECUTE`.
    Execute(&'static str),
    /// `DEALLOCATE name`, or `ALL`.
    Deallocate(Option<&'static str>),
    /// `CLOSE ALL`.
    CloseAll,
    /// `VACUUM log`: never inside a transaction.
    Vacuum,
    /// `SELECT whoami()`: all session state at once.
    WhoAmI,
    /// Not SQL.
    Nonsense,
    /// `SELECT pg_sleep(10)`: runs until somebody ends it.
    Sleep,
    /// `COPY log FROM STDIN`.
    CopyIn,
    /// `COPY (SELECT generate(…)) TO STDOUT`.
    CopyOut { rows: u32, tag: String },
}

impl Act {
    /// The statement as SQL, for the client `me` (as in `c7`).
    pub fn sql(&self, me: &str) -> String {
        let local = |local: bool| if local { "LOCAL " } else { "" };
        let chain = |chain: bool| if chain { " AND CHAIN" } else { "" };
        match self {
            Self::Tag(tag) => format!("SELECT '{tag}'"),
            Self::TagParam => "SELECT $1".into(),
            Self::Number(number) => format!("SELECT {number}"),
            Self::TagParamNumber(number) => format!("SELECT $1, {number}"),
            Self::Set {
                local: l,
                name,
                written,
                ..
            } => format!("SET {}{name} = {written}", local(*l)),
            Self::SetConfig { local, name, shown } => {
                format!("SELECT set_config('{name}', '{shown}', {local})")
            }
            Self::SetInvalid { name, written } => format!("SET {name} = {written}"),
            Self::Reset(name) => format!("RESET {name}"),
            Self::ResetAll => "RESET ALL".into(),
            Self::SetRole { local: l, role } => {
                format!(
                    "SET {}ROLE {}",
                    local(*l),
                    role.as_deref().unwrap_or("NONE")
                )
            }
            Self::Discard(what) => format!("DISCARD {what}"),
            Self::Show(name) => format!("SHOW {name}"),
            Self::CurrentSetting(name) => format!("SELECT current_setting('{name}', true)"),
            Self::Begin { read_only: None } => "BEGIN".into(),
            Self::Begin {
                read_only: Some(true),
            } => "BEGIN READ ONLY".into(),
            Self::Begin {
                read_only: Some(false),
            } => "START TRANSACTION READ WRITE".into(),
            Self::Commit { chain: c } => format!("COMMIT{}", chain(*c)),
            Self::Rollback { chain: c } => format!("ROLLBACK{}", chain(*c)),
            Self::Savepoint(name) => format!("SAVEPOINT {name}"),
            Self::RollbackTo(name) => format!("ROLLBACK TO SAVEPOINT {name}"),
            Self::Release(name) => format!("RELEASE {name}"),
            Self::Insert(number) => format!("INSERT INTO log VALUES ('{me}', {number})"),
            Self::InsertParam => "INSERT INTO log VALUES ($1, $2)".into(),
            Self::Count => format!("SELECT count(*) FROM log WHERE client = '{me}'"),
            Self::Generate { rows, size, tag } => {
                format!("SELECT generate({rows}, {size}, '{tag}')")
            }
            Self::Fail(code) => format!("SELECT fail('{code}')"),
            Self::CreateTemp(name) => format!("CREATE TEMP TABLE {name} (n int)"),
            Self::DropTemp(name) => format!("DROP TABLE {name}"),
            Self::Lock(key) => format!("SELECT pg_advisory_lock({key})"),
            Self::Unlock(key) => format!("SELECT pg_advisory_unlock({key})"),
            Self::UnlockAll => "SELECT pg_advisory_unlock_all()".into(),
            Self::Listen(channel) => format!("LISTEN {channel}"),
            Self::Unlisten(channel) => format!("UNLISTEN {}", channel.unwrap_or("*")),
            Self::Prepare { name, tag } => format!("PREPARE {name} AS SELECT '{tag}'"),
            Self::Execute(name) => format!("EXECUTE {name}"),
            Self::Deallocate(name) => format!("DEALLOCATE {}", name.unwrap_or("ALL")),
            Self::CloseAll => "CLOSE ALL".into(),
            Self::Vacuum => "VACUUM log".into(),
            Self::WhoAmI => "SELECT whoami()".into(),
            Self::Nonsense => "FROBNICATE 1".into(),
            Self::Sleep => "SELECT pg_sleep(10)".into(),
            Self::CopyIn => "COPY log FROM STDIN".into(),
            Self::CopyOut { rows, tag } => {
                format!("COPY (SELECT generate({rows}, 20, '{tag}')) TO STDOUT")
            }
        }
    }

    /// Parameters the statement takes.
    pub fn parameters(&self) -> usize {
        match self {
            Self::TagParam | Self::TagParamNumber(_) => 1,
            Self::InsertParam => 2,
            _ => 0,
        }
    }

    /// Columns of its rows; `None` when it returns none. EXECUTE has those of what it runs.
    pub fn columns(&self) -> Option<usize> {
        match self {
            Self::TagParamNumber(_) => Some(2),
            Self::Tag(_)
            | Self::TagParam
            | Self::Number(_)
            | Self::SetConfig { .. }
            | Self::Show(_)
            | Self::CurrentSetting(_)
            | Self::Count
            | Self::Generate { .. }
            | Self::Fail(_)
            | Self::Lock(_)
            | Self::Unlock(_)
            | Self::UnlockAll
            | Self::Execute(_)
            | Self::WhoAmI
            | Self::Sleep => Some(1),
            _ => None,
        }
    }

    /// Transaction control in PostgreSQL's sense: ends its own command even in a pipeline.
    pub(super) fn is_transaction_control(&self) -> bool {
        matches!(
            self,
            Self::Begin { .. }
                | Self::Commit { .. }
                | Self::Rollback { .. }
                | Self::Savepoint(_)
                | Self::RollbackTo(_)
                | Self::Release(_)
        )
    }

    /// What a failed transaction still takes.
    pub(super) fn ends_failure(&self) -> bool {
        matches!(
            self,
            Self::Commit { .. } | Self::Rollback { .. } | Self::RollbackTo(_)
        )
    }

    /// Changes something that no rollback undoes, or the transaction itself: after an error that is not its own,
    /// nobody knows whether it did.
    pub(super) fn is_lasting(&self) -> bool {
        self.is_transaction_control()
            || matches!(
                self,
                Self::Lock(_)
                    | Self::Unlock(_)
                    | Self::UnlockAll
                    | Self::Prepare { .. }
                    | Self::Deallocate(_)
                    | Self::Discard(_)
            )
    }
}

/// One message of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "fields carry the names of the protocol documentation"
)]
pub enum Message {
    /// Any number of statements, perhaps none.
    Query(Vec<Act>),
    /// `None` prepares the empty statement.
    Parse {
        name: &'static str,
        act: Option<Act>,
    },
    /// Parameters in text form; `binary` asks for binary results.
    Bind {
        portal: &'static str,
        statement: &'static str,
        params: Vec<String>,
        binary: bool,
    },
    Describe {
        what: Named,
        name: &'static str,
    },
    Execute {
        portal: &'static str,
        rows: i32,
    },
    Close {
        what: Named,
        name: &'static str,
    },
    Flush,
    Sync,
    /// `textcat(left, right)`.
    FunctionCall {
        left: String,
        right: String,
    },
    /// Rows of this client for the log.
    CopyData(Vec<i64>),
    CopyDone,
    CopyFail,
}

impl Message {
    /// Appends the message as the client `me` sends it.
    pub fn encode(&self, me: &str, out: &mut Vec<u8>) {
        self.to_frontend(me).encode(out);
    }

    /// Numbers of the log's rows that the client `me` writes with it, if it is executed.
    pub(super) fn rows(&self, me: &str) -> Vec<i64> {
        match self {
            Self::Query(acts) => acts
                .iter()
                .filter_map(|act| match act {
                    Act::Insert(number) => Some(*number),
                    _ => None,
                })
                .collect(),
            Self::Parse {
                act: Some(Act::Insert(number)),
                ..
            } => vec![*number],
            Self::Bind { params, .. } => match params.as_slice() {
                [client, number] if client == me => number.parse().into_iter().collect(),
                _ => Vec::new(),
            },
            Self::CopyData(numbers) => numbers.clone(),
            _ => Vec::new(),
        }
    }

    fn to_frontend(&self, me: &str) -> Frontend {
        match self.clone() {
            Self::Query(acts) => {
                let texts: Vec<String> = acts.iter().map(|act| act.sql(me)).collect();
                Frontend::Query(texts.join("; "))
            }
            Self::Parse { name, act } => Frontend::Parse {
                name: name.into(),
                text: act.map(|act| act.sql(me)).unwrap_or_default(),
                types: Vec::new(),
            },
            Self::Bind {
                portal,
                statement,
                params,
                binary,
            } => Frontend::Bind {
                portal: portal.into(),
                statement: statement.into(),
                formats: Vec::new(),
                params: params
                    .into_iter()
                    .map(|param| Some(param.into_bytes()))
                    .collect(),
                results: if binary { vec![1] } else { Vec::new() },
            },
            Self::Describe { what, name } => Frontend::Describe {
                what,
                name: name.into(),
            },
            Self::Execute { portal, rows } => Frontend::Execute {
                portal: portal.into(),
                rows,
            },
            Self::Close { what, name } => Frontend::Close {
                what,
                name: name.into(),
            },
            Self::Flush => Frontend::Flush,
            Self::Sync => Frontend::Sync,
            Self::FunctionCall { left, right } => Frontend::FunctionCall {
                oid: 1258,
                formats: Vec::new(),
                args: vec![Some(left.into_bytes()), Some(right.into_bytes())],
                result: 0,
            },
            Self::CopyData(numbers) => {
                let lines: String = numbers
                    .iter()
                    .map(|number| format!("{me}\t{number}\n"))
                    .collect();
                Frontend::CopyData(lines.into_bytes())
            }
            Self::CopyDone => Frontend::CopyDone,
            Self::CopyFail => Frontend::CopyFail("the program says so".into()),
        }
    }
}

/// One step of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send, and do not wait.
    Send(Message),
    /// Wait until everything sent so far is answered.
    Await,
    /// Do nothing for so many milliseconds.
    Think(u32),
    /// Send a CancelRequest over another connection.
    Cancel,
    /// Say goodbye and close.
    Terminate,
    /// Close without a word after so many thousandths (below 1000) of one more message's bytes.
    Vanish {
        /// The message that will not be whole.
        message: Message,
        /// How much of it is sent.
        permille: u32,
    },
}

/// From one connect to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episode {
    /// Minor version of protocol 3 to ask for.
    pub minor: u16,
    /// Ask for encryption first and go on in clear.
    pub asks_encryption: bool,
    /// Settings in the startup packet: name, value as sent, value as shown.
    pub settings: Vec<(&'static str, &'static str, &'static str)>,
    /// The same inside the packet's `options`.
    pub options: Vec<(&'static str, &'static str, &'static str)>,
    /// What happens after login; ends with `Terminate` or `Vanish`.
    pub steps: Vec<Step>,
}

/// Everything one client does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Program {
    /// One connection after the other.
    pub episodes: Vec<Episode>,
}
