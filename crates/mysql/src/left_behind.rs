//! What a statement leaves for the next one of its session to ask for: `ROW_COUNT()`, `FOUND_ROWS()`, and the warnings and errors that
//! `SHOW WARNINGS` and `GET DIAGNOSTICS` tell of.
//!
//! All of it is on the backend where the statement ran, and is the session's. Counts are taken from the statement's answer; warnings are asked
//! for before the backend serves another. When the session asks for them elsewhere, the server there answers, and what is the session's
//! own stands in the place of its rows; one condition alone can also be raised there again (`SIGNAL`), for whoever asks in another way.
//! (MySQL's documentation, "Information Functions", "SHOW WARNINGS Statement", "The MySQL Diagnostics Area".)

use crate::backend::Mark;
use crate::wire::reply::ErrorPacket;
use crate::wire::row::text_values;
use crate::wire::write;

/// What the session's last statement left.
#[derive(Debug, Default)]
pub struct LeftBehind {
    /// The backend where it ran has it, if this is still the last mark there.
    pub mark: Option<Mark>,
    /// `ROW_COUNT()`.
    pub row_count: i64,
    /// `FOUND_ROWS()`, where an answer tells it.
    pub found_rows: FoundRows,
    /// Warnings, notes and errors.
    pub conditions: Conditions,
    /// The SQLSTATE of the last error.
    pub state: [u8; 5],
    /// A command was answered without a backend since, which changed the counts.
    pub is_newer: bool,
}

/// `FOUND_ROWS()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundRows {
    /// So many.
    Known(u64),
    /// Only the server knows.
    Unknown,
}

impl Default for FoundRows {
    fn default() -> FoundRows {
        FoundRows::Known(0)
    }
}

/// Where the conditions are that the last statement raised.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum Conditions {
    /// It raised none.
    #[default]
    None,
    /// On the backend where it ran.
    There,
    /// Here, each as `SHOW WARNINGS` tells it: a text row of level, number and message.
    Known(Box<[Box<[u8]>]>),
    /// Nowhere any more.
    Lost,
}

/// Most bytes of conditions that are kept for one session; a server keeps 64 or 1,024 conditions.
const CONDITIONS_BYTES_MAX: usize = 64 * 1024;

/// What asks a backend for them. It leaves them there, and changes the counts.
pub const SHOW: &[u8] = b"SHOW WARNINGS";

/// What clears them on every server: a statement with a table.
pub const CLEAR: &[u8] = b"SELECT 1 FROM (SELECT 1) AS t LIMIT 0";

impl LeftBehind {
    /// The statement's answer told this: rows of a result, or an OK packet.
    pub fn on_told(&mut self, told: Counts, kind: Kind) {
        self.is_newer = false;
        self.row_count = match told.rows {
            Some(_) => -1,
            None => i64::try_from(told.affected_rows).unwrap_or(i64::MAX),
        };
        match (told.rows, kind.leaves_found_rows) {
            (_, true) => {}
            (Some(rows), false) if kind.is_plain_query => {
                self.found_rows = FoundRows::Known(rows);
            }
            _ => self.found_rows = FoundRows::Unknown,
        }
        if told.warnings > 0 {
            self.conditions = Conditions::There;
        } else if !kind.leaves_conditions {
            self.conditions = Conditions::None;
        }
    }

    /// A command that does nothing was answered without a backend.
    pub fn on_nothing(&mut self) {
        self.is_newer = true;
        self.row_count = 0;
    }

    /// Whether there are any conditions left is not known.
    pub fn lose(&mut self) {
        self.conditions = Conditions::Lost;
    }

    /// The statement failed with this error packet.
    pub fn on_failed(&mut self, payload: &[u8]) {
        self.is_newer = false;
        self.row_count = -1;
        self.conditions = Conditions::There;
        self.state = state_of(payload);
    }

    /// The statement was answered with this error packet, of which no server's diagnostics tell.
    pub fn on_answered(&mut self, payload: &[u8]) {
        self.on_failed(payload);
        let Ok(error) = ErrorPacket::read(payload) else {
            return self.conditions = Conditions::Lost;
        };
        let mut row = Vec::new();
        for value in [
            "Error".as_bytes(),
            error.code.to_string().as_bytes(),
            error.message,
        ] {
            write::counted(&mut row, value);
        }
        self.conditions = Conditions::Known([row.into()].into());
    }

    /// These rows were told.
    pub fn on_conditions(&mut self, rows: Captured) {
        if self.conditions != Conditions::There {
            return;
        }
        self.conditions = match rows {
            Captured { is_cut: true, .. } => Conditions::Lost,
            Captured { rows, .. } if rows.is_empty() => Conditions::None,
            Captured { rows, .. } => Conditions::Known(rows.into()),
        };
    }

    /// The statement that raises the only condition there is, where one does.
    pub fn signal(&self) -> Option<Signal> {
        let Conditions::Known(rows) = &self.conditions else {
            return None;
        };
        let [row] = &**rows else {
            return None;
        };
        let (level, code, message) = condition(row)?;
        let (state, row_count) = match level {
            b"Error" => (std::str::from_utf8(&self.state).ok()?, -1),
            b"Warning" => ("01000", 0),
            _ => return None,
        };
        let text = std::str::from_utf8(message).ok()?;
        let is_plain = state.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if text.chars().count() > MESSAGE_CHARS_MAX || !is_plain {
            return None;
        }
        let code: u16 = std::str::from_utf8(code).ok()?.parse().ok()?;
        let hex: String = message.iter().map(|byte| format!("{byte:02X}")).collect();
        let text = format!(
            "SIGNAL SQLSTATE '{state}' SET MYSQL_ERRNO={code}, MESSAGE_TEXT=_utf8mb4 X'{hex}'"
        );
        Some(Signal { text, row_count })
    }

    /// The rows that answer this; none where that is not known here.
    pub fn rows(&self, asked: &Asked) -> Option<Vec<Box<[u8]>>> {
        match asked {
            Asked::Conditions {
                errors_only,
                offset,
                limit,
            } => {
                let rows = self.conditions()?.iter();
                let rows = rows.filter(|row| !errors_only || is_error(row));
                Some(rows.skip(*offset).take(*limit).cloned().collect())
            }
            Asked::Values(values) => {
                let mut row = Vec::new();
                for value in values {
                    write::counted(&mut row, self.value(*value)?.to_string().as_bytes());
                }
                Some(vec![row.into()])
            }
        }
    }

    fn value(&self, value: AskedValue) -> Option<i64> {
        let count = |count: usize| i64::try_from(count).ok();
        match value {
            AskedValue::RowCount => Some(self.row_count),
            AskedValue::FoundRows => match self.found_rows {
                FoundRows::Known(rows) => i64::try_from(rows).ok(),
                FoundRows::Unknown => None,
            },
            AskedValue::Warnings => count(self.conditions()?.len()),
            AskedValue::Errors => count(
                self.conditions()?
                    .iter()
                    .filter(|row| is_error(row))
                    .count(),
            ),
        }
    }

    fn conditions(&self) -> Option<&[Box<[u8]>]> {
        match &self.conditions {
            Conditions::None => Some(&[]),
            Conditions::Known(rows) => Some(rows),
            Conditions::There | Conditions::Lost => None,
        }
    }
}

/// A statement that raises a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// It.
    pub text: String,
    /// What `ROW_COUNT()` is behind it.
    pub row_count: i64,
}

/// What an answer tells of a statement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of its result, if it has one.
    pub rows: Option<u64>,
    /// Rows that it changed.
    pub affected_rows: u64,
    /// Warnings that it left.
    pub warnings: u16,
}

/// What kind of a statement it is, as far as it matters here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kind {
    /// Its rows are those that it found.
    pub is_plain_query: bool,
    /// `FOUND_ROWS()` is what it was before.
    pub leaves_found_rows: bool,
    /// So are the conditions.
    pub leaves_conditions: bool,
    /// They are gone for certain, if it raises none: whoever else had any there.
    pub clears_conditions: bool,
}

/// Longest MESSAGE_TEXT of every server.
const MESSAGE_CHARS_MAX: usize = 128;

fn condition(row: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut values = text_values(row);
    let mut next = || values.next()?.ok()?;
    Some((next()?, next()?, next()?))
}

fn is_error(row: &[u8]) -> bool {
    condition(row).is_some_and(|(level, ..)| level == b"Error")
}

fn state_of(payload: &[u8]) -> [u8; 5] {
    let read = ErrorPacket::read(payload).ok();
    read.and_then(|error| error.state).unwrap_or(*b"HY000")
}

/// Rows of [`SHOW`] as they come.
#[derive(Debug, Default)]
pub struct Captured {
    rows: Vec<Box<[u8]>>,
    bytes: usize,
    is_cut: bool,
}

impl Captured {
    /// Another.
    pub fn add(&mut self, row: &[u8]) {
        self.bytes += row.len();
        self.is_cut |= self.bytes > CONDITIONS_BYTES_MAX;
        match self.is_cut {
            true => self.rows.clear(),
            false => self.rows.push(row.into()),
        }
    }

    /// The question failed.
    pub fn fail(&mut self) {
        self.is_cut = true;
    }
}

/// A statement that asks for nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// `SHOW WARNINGS`, `SHOW ERRORS`.
    Conditions {
        /// Errors alone.
        errors_only: bool,
        /// How many are left out first.
        offset: usize,
        /// How many are wanted at most.
        limit: usize,
    },
    /// `SELECT` of such values, `SHOW COUNT(*) WARNINGS`.
    Values(Vec<AskedValue>),
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedValue {
    /// `ROW_COUNT()`.
    RowCount,
    /// `FOUND_ROWS()`.
    FoundRows,
    /// `@@warning_count`.
    Warnings,
    /// `@@error_count`.
    Errors,
}

/// Longest text that is looked at: those meant are short.
const ASKED_BYTES_MAX: usize = 256;

/// What a text asks for, where it asks for nothing else. Names that are given to columns are the server's to show.
pub fn asked(text: &[u8]) -> Option<Asked> {
    if text.len() > ASKED_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?.to_ascii_lowercase();
    let text = text.trim().trim_end_matches(';').trim_end();
    let (first, rest) = text.split_once(|at: char| at.is_ascii_whitespace())?;
    let rest = rest.trim_start();
    match first {
        "select" => {
            let values: Option<Vec<_>> = rest.split(',').map(value_of).collect();
            values.map(Asked::Values)
        }
        "show" => shown(rest),
        _ => None,
    }
}

fn shown(rest: &str) -> Option<Asked> {
    let words: Vec<&str> = rest
        .split(|at: char| at.is_ascii_whitespace() || at == ',')
        .filter(|word| !word.is_empty())
        .collect();
    let errors_only = |word: &str| match word {
        "warnings" => Some(false),
        "errors" => Some(true),
        _ => None,
    };
    let conditions = |kind: &str, offset: &str, limit: &str| {
        Some(Asked::Conditions {
            errors_only: errors_only(kind)?,
            offset: offset.parse().ok()?,
            limit: limit.parse().ok()?,
        })
    };
    match &words[..] {
        ["count(*)", kind] => Some(Asked::Values(vec![match errors_only(kind)? {
            false => AskedValue::Warnings,
            true => AskedValue::Errors,
        }])),
        [kind] => conditions(kind, "0", "1000000"),
        [kind, "limit", limit] => conditions(kind, "0", limit),
        [kind, "limit", offset, limit] if rest.contains(',') => conditions(kind, offset, limit),
        [kind, "limit", limit, "offset", offset] => conditions(kind, offset, limit),
        _ => None,
    }
}

/// One of the list of a SELECT, with a name for its column or without.
fn value_of(item: &str) -> Option<AskedValue> {
    let item = item.trim();
    let (expression, name) = match item.split_once(|at: char| at.is_ascii_whitespace()) {
        Some((expression, name)) => (expression, name.trim_start()),
        None => (item, ""),
    };
    let name = name.strip_prefix("as ").unwrap_or(name).trim();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_`".contains(&byte);
    if !name.bytes().all(is_name) {
        return None;
    }
    match expression {
        "row_count()" => Some(AskedValue::RowCount),
        "found_rows()" => Some(AskedValue::FoundRows),
        "@@warning_count" | "@@session.warning_count" => Some(AskedValue::Warnings),
        "@@error_count" | "@@session.error_count" => Some(AskedValue::Errors),
        _ => None,
    }
}

/// Rows that stand in the place of a server's own.
#[derive(Debug)]
pub struct Standing {
    /// They.
    pub rows: Vec<Box<[u8]>>,
    /// How many of the server's were left out.
    pub left_out: u8,
}

/// Whether a text is sure to use a table.
pub fn is_with_tables(text: &[u8]) -> bool {
    let mut words = words(text);
    let first = words.next().unwrap_or_default();
    let is = |word: &[u8], other: &str| word.eq_ignore_ascii_case(other.as_bytes());
    let changes = ["insert", "update", "delete", "replace"];
    changes.iter().any(|other| is(first, other))
        || is(first, "select") && words.any(|word| is(word, "from"))
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
        .filter(|word| !word.is_empty())
}

/// Whether a text uses no table, by its words: MariaDB leaves conditions as they are then (sql/sql_class.cc, `reset_for_next_command`). Only asked
/// where there are any.
pub fn is_without_tables(text: &[u8]) -> bool {
    let mut words = words(text);
    let Some(first) = words.next() else {
        return true;
    };
    const FIRST: [&str; 13] = [
        "prepare",
        "deallocate",
        "select",
        "set",
        "do",
        "use",
        "begin",
        "start",
        "commit",
        "rollback",
        "savepoint",
        "release",
        "values",
    ];
    let is = |word: &[u8], other: &str| word.eq_ignore_ascii_case(other.as_bytes());
    FIRST.iter().any(|other| is(first, other))
        && (is(first, "prepare") || !words.any(|word| is(word, "from")))
}

/// Whether a text has the word ROW_COUNT.
pub fn names_row_count(text: &[u8]) -> bool {
    words(text).any(|word| word.eq_ignore_ascii_case(b"row_count"))
}

#[cfg(test)]
mod tests;
