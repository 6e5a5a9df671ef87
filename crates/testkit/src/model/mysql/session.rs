//! One session of the model server: its settings, its character sets, what it holds, what its last statement left behind.

use super::select::{Expr, Value};
use super::server::{Flavor, Shared};
use super::sql::Modes;
use super::transaction::Transaction;
use super::variables::{self, Form, charset_of, default_collation, is_reversed, variable};
use crate::model::ConnectionId;
use forebay_mysql::wire::capability::Capabilities;
use forebay_mysql::wire::status::Status;
use std::collections::{BTreeMap, BTreeSet};

/// An error of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: u16,
    pub(super) state: [u8; 5],
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(code: u16, state: &[u8; 5], message: impl Into<String>) -> Failure {
        Failure {
            code,
            state: *state,
            message: message.into(),
        }
    }

    pub(super) fn unknown_column(name: &str) -> Failure {
        let message = format!("Unknown column '{name}' in 'field list'");
        Failure::new(1054, b"42S22", message)
    }

    pub(super) fn no_database() -> Failure {
        Failure::new(1046, b"3D000", "No database selected")
    }

    pub(super) fn no_table(database: &str, name: &str) -> Failure {
        let message = format!("Table '{database}.{name}' doesn't exist");
        Failure::new(1146, b"42S02", message)
    }

    pub(super) fn no_function(name: &str) -> Failure {
        let message = format!("FUNCTION {name} does not exist");
        Failure::new(1305, b"42000", message)
    }

    pub(super) fn syntax() -> Failure {
        let message = "You have an error in your SQL syntax";
        Failure::new(1064, b"42000", message)
    }

    fn no_variable(name: &str) -> Failure {
        let message = format!("Unknown system variable '{name}'");
        Failure::new(1193, b"HY000", message)
    }

    fn wrong_type(name: &str) -> Failure {
        let message = format!("Incorrect argument type to variable '{name}'");
        Failure::new(1232, b"42000", message)
    }

    fn wrong_value(name: &str, value: &str) -> Failure {
        let message = format!("Variable '{name}' can't be set to the value of '{value}'");
        Failure::new(1231, b"42000", message)
    }
}

/// What the trackers have noticed and not told.
#[derive(Debug, Clone, Default)]
pub(super) struct Noticed {
    pub(super) variables: BTreeSet<&'static str>,
    pub(super) schema: bool,
    pub(super) state: bool,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: ConnectionId,
    pub(super) flavor: Flavor,
    pub(super) capabilities: Capabilities,
    /// Of the handshake.
    collation: &'static str,
    values: BTreeMap<String, String>,
    pub(super) user: BTreeMap<String, Value>,
    pub(super) database: Option<String>,
    pub(super) transaction: Option<Transaction>,
    /// The next transaction only reads, or does not.
    pub(super) next_read_only: Option<bool>,
    pub(super) temporary: BTreeMap<String, Vec<i64>>,
    /// Statements that SQL gave names.
    pub(super) named: BTreeMap<String, String>,
    pub(super) last_insert_id: i64,
    pub(super) row_count: i64,
    pub(super) row_count_before: i64,
    pub(super) found_rows: i64,
    /// Level, number, text.
    pub(super) warnings: Vec<(&'static str, u16, String)>,
    pub(super) noticed: Noticed,
    /// The statement's sleep is over.
    pub(super) has_slept: bool,
    /// Of the server.
    pub(super) max_connections: u32,
}

impl Session {
    pub(super) fn new(
        id: ConnectionId,
        flavor: Flavor,
        capabilities: Capabilities,
        collation: u8,
    ) -> Session {
        let collation = variables::collation(collation).unwrap_or("latin1_swedish_ci");
        let mut session = Session {
            id,
            flavor,
            capabilities,
            collation,
            values: BTreeMap::new(),
            user: BTreeMap::new(),
            database: None,
            transaction: None,
            next_read_only: None,
            temporary: BTreeMap::new(),
            named: BTreeMap::new(),
            last_insert_id: 0,
            row_count: 0,
            row_count_before: 0,
            found_rows: 0,
            warnings: Vec::new(),
            noticed: Noticed::default(),
            has_slept: false,
            max_connections: 0,
        };
        session.set_collation(collation);
        session
    }

    /// `COM_RESET_CONNECTION`: all is as at the beginning but the database; in MySQL character sets are the server's.
    pub(super) fn reset(&mut self, shared: &mut Shared) {
        self.roll_back(shared);
        shared.release_locks(self.id);
        let collation = match self.flavor {
            Flavor::MySql => "utf8mb4_0900_ai_ci",
            Flavor::MariaDb => self.collation,
        };
        let (database, first) = (self.database.take(), self.collation);
        *self = Session {
            database,
            ..Session::new(self.id, self.flavor, self.capabilities, 0)
        };
        self.set_collation(collation);
        self.collation = first;
    }

    fn set_collation(&mut self, collation: &str) {
        let charset = charset_of(collation).unwrap_or("latin1");
        for name in [
            "character_set_client",
            "character_set_connection",
            "character_set_results",
        ] {
            self.values.insert(name.into(), charset.into());
        }
        self.values
            .insert("collation_connection".into(), collation.into());
    }

    // --- What is said in every answer ---

    /// The session's status flags.
    pub(super) fn status(&self) -> Status {
        let mut status = match self.flag("autocommit") {
            true => Status::AUTOCOMMIT,
            false => Status::default(),
        };
        if let Some(transaction) = &self.transaction {
            status = status | Status::IN_TRANS;
            if transaction.read_only {
                status = status | Status::IN_TRANS_READONLY;
            }
        }
        if self.modes().no_backslash_escapes {
            status = status | Status::NO_BACKSLASH_ESCAPES;
        }
        if self.flavor == Flavor::MariaDb && self.modes().ansi_quotes {
            status = status | Status::ANSI_QUOTES;
        }
        status
    }

    /// How it reads texts.
    pub(super) fn modes(&self) -> Modes {
        let mode = self.shown("sql_mode");
        Modes {
            ansi_quotes: mode.contains("ANSI_QUOTES"),
            no_backslash_escapes: mode.contains("NO_BACKSLASH_ESCAPES"),
        }
    }

    /// A note for SHOW WARNINGS.
    pub(super) fn warn(&mut self, code: u16, text: String) {
        self.warnings.push(("Warning", code, text));
    }

    // --- Variables ---

    /// The value as it shows.
    pub(super) fn shown(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(value) => value,
            None => variable(name, self.flavor).map_or("", |(_, first)| first),
        }
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.shown(name) == "1"
    }

    /// `@@name`.
    pub(super) fn variable(&self, name: &str, global: bool) -> Result<Value, Failure> {
        let (form, first) =
            variable(name, self.flavor).ok_or_else(|| Failure::no_variable(name))?;
        if name == "max_connections" {
            return Ok(Value::Int(self.max_connections.into()));
        }
        let own = self.default_of(name, form, first);
        let shown = match global {
            // Their DEFAULT is another than their global value.
            true if is_reversed(name) => first,
            true => &own,
            false => self.shown(name),
        };
        Ok(match form {
            Form::Flag => Value::Int(i64::from(shown == "1")),
            Form::Number => shown
                .parse()
                .map_or_else(|_| Value::Text(shown.into()), Value::Int),
            Form::Charset if shown.is_empty() => Value::Null,
            _ => Value::Text(shown.into()),
        })
    }

    /// What `written` means to this variable.
    pub(super) fn meant(&self, name: &str, written: &Expr) -> Result<String, Failure> {
        let (form, first) =
            variable(name, self.flavor).ok_or_else(|| Failure::no_variable(name))?;
        let text = match written {
            Expr::Word(word) if word == "default" => {
                return Ok(self.default_of(name, form, first));
            }
            Expr::Word(word) | Expr::Text(word) => word.clone(),
            Expr::Number(number) => number.to_string(),
            Expr::Null => String::new(),
            Expr::Variable { name, global } => {
                let value = self.variable(name, *global)?;
                value.shown().unwrap_or_default()
            }
            _ => return Err(Failure::wrong_type(name)),
        };
        let is_number = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        match form {
            Form::Flag => match text.to_ascii_lowercase().as_str() {
                "1" | "on" => Ok("1".into()),
                "0" | "off" => Ok("0".into()),
                _ => Err(Failure::wrong_value(name, &text)),
            },
            Form::Number if !is_number => Err(Failure::wrong_type(name)),
            Form::Charset if text.is_empty() && name == "character_set_results" => Ok(text),
            Form::Charset if default_collation(&text, self.flavor).is_none() => {
                let message = format!("Unknown character set: '{text}'");
                Err(Failure::new(1115, b"42000", message))
            }
            Form::Collation if charset_of(&text).is_none() => {
                let message = format!("Unknown collation: '{text}'");
                Err(Failure::new(1273, b"HY000", message))
            }
            _ => Ok(text),
        }
    }

    fn default_of(&self, name: &str, form: Form, first: &str) -> String {
        let charset = match self.flavor {
            Flavor::MySql => "utf8mb4",
            Flavor::MariaDb => "latin1",
        };
        match form {
            Form::Charset => charset.into(),
            Form::Collation => default_collation(charset, self.flavor)
                .unwrap_or_default()
                .into(),
            Form::Flag if is_reversed(name) && self.flavor == Flavor::MySql => "0".into(),
            _ => first.into(),
        }
    }

    /// Gives a variable a value that it may have.
    pub(super) fn set(&mut self, name: &str, value: String) {
        match name {
            "character_set_connection" => {
                let collation = default_collation(&value, self.flavor).unwrap_or_default();
                self.values
                    .insert("collation_connection".into(), collation.into());
            }
            "collation_connection" => {
                let charset = charset_of(&value).unwrap_or_default();
                self.values
                    .insert("character_set_connection".into(), charset.into());
            }
            _ => {}
        }
        self.values.insert(name.into(), value);
        if let Some(tracked) = variables::TRACKED.into_iter().find(|it| *it == name) {
            self.noticed.variables.insert(tracked);
        }
        self.noticed.state = true;
    }

    /// `SET NAMES`.
    pub(super) fn set_names(
        &mut self,
        charset: &str,
        collation: Option<&str>,
    ) -> Result<(), Failure> {
        let written = Expr::Text(charset.into());
        let charset = self.meant("character_set_client", &written)?;
        if let Some(collation) = collation {
            let written = Expr::Text(collation.into());
            self.meant("collation_connection", &written)?;
            if charset_of(collation) != Some(&charset) {
                let message =
                    format!("COLLATION '{collation}' is not valid for CHARACTER SET '{charset}'");
                return Err(Failure::new(1253, b"42000", message));
            }
        }
        for name in [
            "character_set_client",
            "character_set_results",
            "character_set_connection",
        ] {
            self.set(name, charset.clone());
        }
        if let Some(collation) = collation {
            self.values
                .insert("collation_connection".into(), collation.into());
        }
        Ok(())
    }

    /// Another database.
    pub(super) fn choose(&mut self, database: &str) {
        self.database = Some(database.into());
        self.noticed.schema = true;
        self.noticed.state = true;
    }
}
