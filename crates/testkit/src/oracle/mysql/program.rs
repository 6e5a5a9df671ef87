//! What the oracle plays on MySQL and MariaDB: a program is a list of steps, each of one session, sent when the step before is answered.

use std::fmt;

use forebay_mysql::wire::capability::Capabilities;
use forebay_mysql::wire::column::field_type;
use forebay_mysql::wire::write;

pub use crate::oracle::program::Who;

/// How a session begins.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct Opening {
    /// The database that the response names.
    pub database: Option<String>,
    /// The collation that it names.
    pub collation: u8,
    /// Results end with OK packets.
    pub deprecate_eof: bool,
    /// Changes of the session are told.
    pub session_track: bool,
    /// UPDATE counts rows that it found.
    pub found_rows: bool,
    /// Several statements in one message.
    pub multi_statements: bool,
    /// Spaces may stand between a function's name and its parenthesis.
    pub ignore_space: bool,
}

impl Default for Opening {
    fn default() -> Opening {
        Opening {
            database: Some("db_0a".into()),
            collation: 45,
            deprecate_eof: true,
            session_track: true,
            found_rows: false,
            multi_statements: true,
            ignore_space: false,
        }
    }
}

impl Opening {
    /// What the client says that it can.
    pub fn capabilities(&self) -> Capabilities {
        let always = Capabilities::LONG_PASSWORD
            | Capabilities::LONG_FLAG
            | Capabilities::LOCAL_FILES
            | Capabilities::PROTOCOL_41
            | Capabilities::TRANSACTIONS
            | Capabilities::SECURE_CONNECTION
            | Capabilities::MULTI_RESULTS
            | Capabilities::PS_MULTI_RESULTS
            | Capabilities::PLUGIN_AUTH;
        [
            (self.database.is_some(), Capabilities::CONNECT_WITH_DB),
            (self.deprecate_eof, Capabilities::DEPRECATE_EOF),
            (self.session_track, Capabilities::SESSION_TRACK),
            (self.found_rows, Capabilities::FOUND_ROWS),
            (self.multi_statements, Capabilities::MULTI_STATEMENTS),
            (self.ignore_space, Capabilities::IGNORE_SPACE),
        ]
        .into_iter()
        .filter(|(is_on, _)| *is_on)
        .fold(always, |all, (_, flag)| all | flag)
    }
}

/// A value for a parameter of a prepared statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// NULL.
    Null,
    /// BIGINT.
    Number(i64),
    /// A string.
    Text(String),
    /// DOUBLE, by its bits.
    Double(u64),
}

impl Value {
    /// Its type on the wire.
    pub fn kind(&self) -> u8 {
        match self {
            Value::Null => field_type::NULL,
            Value::Number(_) => field_type::LONGLONG,
            Value::Text(_) => field_type::VAR_STRING,
            Value::Double(_) => field_type::DOUBLE,
        }
    }

    /// Appends it as the binary protocol has it.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => {}
            Value::Number(number) => out.extend_from_slice(&number.to_le_bytes()),
            Value::Text(text) => write::counted(out, text.as_bytes()),
            Value::Double(bits) => out.extend_from_slice(&bits.to_le_bytes()),
        }
    }
}

/// What a session does in one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Connects.
    Open(Opening),
    /// Ends its connection.
    Close,
    /// `COM_QUERY`.
    Query(String),
    /// `COM_INIT_DB`.
    InitDb(String),
    /// `COM_PING`.
    Ping,
    /// `COM_RESET_CONNECTION`.
    Reset,
    /// `COM_SET_OPTION`: several statements in one message, or not.
    SetOption(bool),
    /// `COM_FIELD_LIST` of a table.
    FieldList(String),
    /// `COM_STMT_PREPARE` of a text, under a number of the program's.
    Prepare(u8, String),
    /// `COM_STMT_EXECUTE`.
    Execute {
        /// Of this statement.
        statement: u8,
        /// Its parameters; more or fewer than there are count as NULL or not at all.
        values: Vec<Value>,
        /// Whether types are sent along.
        types: bool,
        /// Whether a cursor is wanted.
        cursor: bool,
    },
    /// `COM_STMT_SEND_LONG_DATA` for a parameter; has no answer.
    LongData(u8, u16, String),
    /// `COM_STMT_RESET`.
    StatementReset(u8),
    /// `COM_STMT_CLOSE`; has no answer.
    StatementClose(u8),
    /// `COM_STMT_FETCH` of so many rows.
    Fetch(u8, u32),
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Whose.
    pub who: Who,
    /// What it does.
    pub act: Act,
}

/// A program.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Program {
    /// In the order they are played.
    pub steps: Vec<Step>,
}

impl Act {
    /// `COM_QUERY`.
    pub fn query(sql: impl Into<String>) -> Act {
        Act::Query(sql.into())
    }

    /// The act without one of its parts, while it has more than one: statements, then what is between commas.
    pub fn without(&self, part: usize) -> Option<Act> {
        let Act::Query(sql) = self else {
            return None;
        };
        if is_everything(sql) {
            return None;
        }
        let statements = match sql.split("; ").count() {
            1 => 0,
            more => more,
        };
        let fewer = match part.checked_sub(statements) {
            None => without(sql, "; ", part),
            Some(part) => without(sql, ", ", part),
        };
        fewer.map(Act::Query)
    }
}

/// Whether this is the question for all settings, which is long and of one piece.
fn is_everything(sql: &str) -> bool {
    sql.starts_with("SHOW SESSION VARIABLES WHERE")
}

fn without(sql: &str, between: &str, part: usize) -> Option<String> {
    let mut parts: Vec<&str> = sql.split(between).collect();
    (parts.len() > 1 && part < parts.len()).then(|| {
        parts.remove(part);
        parts.join(between)
    })
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Double(bits) => write!(f, "{:?}", f64::from_bits(*bits)),
        }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = self.database.as_deref().unwrap_or("no database");
        write!(f, "open {database}, collation {}", self.collation)?;
        let flags = [
            (self.deprecate_eof, "deprecate_eof"),
            (self.session_track, "session_track"),
            (self.found_rows, "found_rows"),
            (self.multi_statements, "multi_statements"),
            (self.ignore_space, "ignore_space"),
        ];
        flags
            .iter()
            .filter(|(is_on, _)| *is_on)
            .try_for_each(|(_, name)| write!(f, ", {name}"))
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Act::Open(opening) => write!(f, "{opening}"),
            Act::Close => f.write_str("close"),
            Act::Query(sql) if is_everything(sql) => {
                f.write_str("Query SHOW SESSION VARIABLES, those of the grammar")
            }
            Act::Query(sql) => write!(f, "Query {sql:?}"),
            Act::InitDb(name) => write!(f, "InitDb {name}"),
            Act::Ping => f.write_str("Ping"),
            Act::Reset => f.write_str("ResetConnection"),
            Act::SetOption(is_on) => write!(f, "SetOption multi_statements={is_on}"),
            Act::FieldList(table) => write!(f, "FieldList {table}"),
            Act::Prepare(number, sql) => write!(f, "Prepare {number} {sql:?}"),
            Act::Execute {
                statement,
                values,
                types,
                cursor,
            } => {
                write!(f, "Execute {statement} (")?;
                for (at, value) in values.iter().enumerate() {
                    let before = if at > 0 { ", " } else { "" };
                    write!(f, "{before}{value}")?;
                }
                let types = if *types { "" } else { " without types" };
                let cursor = if *cursor { " with a cursor" } else { "" };
                write!(f, "){types}{cursor}")
            }
            Act::LongData(number, parameter, data) => {
                write!(f, "LongData {number} parameter {parameter} {data:?}")
            }
            Act::StatementReset(number) => write!(f, "StmtReset {number}"),
            Act::StatementClose(number) => write!(f, "StmtClose {number}"),
            Act::Fetch(number, rows) => write!(f, "Fetch {number} {rows} rows"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.who, self.act)
    }
}
