//! Where an answer ends, and its packets as lines, with what must differ masked.
//!
//! Written for the oracle alone: the engine's own reader of answers is what it tests. (MySQL's documentation, "Command Phase".)

use std::fmt::Write;

use forebay_mysql::wire::capability::Capabilities;
use forebay_mysql::wire::column::{ColumnDefinition, UNSIGNED};
use forebay_mysql::wire::reply::{
    Beginning, EOF, EofPacket, ErrorPacket, OkPacket, PrepareOk, is_end_of_rows,
};
use forebay_mysql::wire::row::{Value, binary_row, text_values};
use forebay_mysql::wire::status::Status;
use forebay_mysql::wire::tracker::Change;
use forebay_mysql::wire::write;

use super::connection::{Connection, Packet};
use crate::oracle::connection::Silence;

/// What a client answers to a request for a file.
const FILE: &[u8] = b"101\tfrom a file\n102\tanother line\n";

/// What a command is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// OK, EOF or an error.
    Simple,
    /// Results in text.
    Text,
    /// Results in binary.
    Binary,
    /// A prepared statement.
    Prepare,
    /// Column definitions.
    Columns,
}

/// Types of a result's columns, and whether they are unsigned.
pub type Types = Vec<(u8, bool)>;

/// What is kept of an answer.
#[derive(Debug, Default)]
pub struct Kept {
    /// The statement that was prepared, and how many parameters it has.
    pub prepared: Option<(u32, u16)>,
    /// The columns of the last result that has any.
    pub types: Types,
}

/// Reads an answer to its end, a line for each packet.
///
/// # Errors
/// Why there is no end.
pub fn read(
    connection: &mut Connection,
    shape: Shape,
    lines: &mut Vec<String>,
) -> Result<Kept, Silence> {
    let capabilities = connection.capabilities;
    let mut reader = Reader {
        connection,
        capabilities,
        lines,
    };
    match shape {
        Shape::Simple => reader.simple().map(|()| Kept::default()),
        Shape::Prepare => reader.prepared(),
        Shape::Columns => reader.columns_to_end(),
        Shape::Text | Shape::Binary => reader.results(shape == Shape::Binary),
    }
}

/// Reads rows that a cursor gives.
///
/// # Errors
/// Why there is no end.
pub fn read_rows(
    connection: &mut Connection,
    types: &Types,
    lines: &mut Vec<String>,
) -> Result<(), Silence> {
    let capabilities = connection.capabilities;
    let mut reader = Reader {
        connection,
        capabilities,
        lines,
    };
    reader.rows(Some(types)).map(drop)
}

struct Reader<'a> {
    connection: &'a mut Connection,
    capabilities: Capabilities,
    lines: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn deprecates_eof(&self) -> bool {
        self.capabilities.has(Capabilities::DEPRECATE_EOF)
    }

    fn next(&mut self) -> Result<Packet, Silence> {
        self.connection.packet()
    }

    fn say(&mut self, packet: &Packet, text: &str) {
        self.lines.push(format!("{} {text}", packet.sequence));
    }

    /// An OK, EOF or error packet; what it says of the session's status.
    fn end(&mut self, packet: &Packet) -> Option<Status> {
        let (text, status) = ending(&packet.payload, self.capabilities);
        self.say(packet, &text);
        status
    }

    fn simple(&mut self) -> Result<(), Silence> {
        let packet = self.next()?;
        self.end(&packet);
        Ok(())
    }

    fn results(&mut self, is_binary: bool) -> Result<Kept, Silence> {
        let mut kept = Kept::default();
        loop {
            let packet = self.next()?;
            let status = match Beginning::read(&packet.payload, self.capabilities) {
                Ok(Beginning::Ok | Beginning::Error) => self.end(&packet),
                Ok(Beginning::LocalInfile(name)) => {
                    let text = format!("LocalInfile {}", text(name));
                    self.say(&packet, &text);
                    self.give_file(packet.sequence.wrapping_add(1));
                    continue;
                }
                Ok(Beginning::Columns { count, .. }) => {
                    self.say(&packet, &format!("Columns {count}"));
                    kept.types = self.columns(count)?;
                    self.after_columns(is_binary.then_some(&kept.types))?
                }
                Ok(Beginning::Progress) => continue,
                Err(_) => return Err(Silence::Garbage),
            };
            if !status.is_some_and(|status| status.has(Status::MORE_RESULTS_EXISTS)) {
                return Ok(kept);
            }
        }
    }

    fn give_file(&mut self, sequence: u8) {
        let mut out = Vec::new();
        let next = write::packet(&mut out, sequence, |out| out.extend_from_slice(FILE));
        write::packet(&mut out, next, |_| {});
        self.connection.send(&out);
    }

    /// The EOF packet of old, then rows unless they are a cursor's.
    fn after_columns(&mut self, types: Option<&Types>) -> Result<Option<Status>, Silence> {
        if !self.deprecates_eof() {
            let packet = self.next()?;
            let status = self.end(&packet);
            if status.is_none_or(|status| status.has(Status::CURSOR_EXISTS)) {
                return Ok(status);
            }
        }
        self.rows(types)
    }

    fn columns(&mut self, count: u64) -> Result<Types, Silence> {
        let mut types = Types::new();
        for _ in 0..count {
            let packet = self.next()?;
            let column = ColumnDefinition::read(&packet.payload, self.capabilities);
            let column = column.map_err(|_| Silence::Garbage)?;
            types.push((column.kind, column.flags & UNSIGNED != 0));
            self.say(&packet, &column_line(&column));
        }
        Ok(types)
    }

    /// Rows and what ends them. Values are binary where there are types.
    fn rows(&mut self, types: Option<&Types>) -> Result<Option<Status>, Silence> {
        loop {
            let packet = self.next()?;
            let first = *packet.payload.first().ok_or(Silence::Garbage)?;
            if first == 0xff || is_end_of_rows(first, packet.payload.len(), self.capabilities) {
                return Ok(self.end(&packet));
            }
            let line = match types {
                Some(types) => binary_line(&packet.payload, types),
                None => text_line(&packet.payload),
            };
            self.say(&packet, &line);
        }
    }

    fn columns_to_end(&mut self) -> Result<Kept, Silence> {
        loop {
            let packet = self.next()?;
            let first = *packet.payload.first().ok_or(Silence::Garbage)?;
            if first == EOF || first == 0xff {
                self.end(&packet);
                return Ok(Kept::default());
            }
            // The default that comes behind the rest is not looked at.
            let line = match ColumnDefinition::read(&packet.payload, self.capabilities) {
                Ok(column) => column_line(&column),
                Err(_) => return Err(Silence::Garbage),
            };
            self.say(&packet, &line);
        }
    }

    fn prepared(&mut self) -> Result<Kept, Silence> {
        let packet = self.next()?;
        let Ok(prepared) = PrepareOk::read(&packet.payload, self.capabilities) else {
            self.end(&packet);
            return Ok(Kept::default());
        };
        let PrepareOk {
            columns,
            parameters,
            warnings,
            ..
        } = prepared;
        self.say(
            &packet,
            &format!("Prepared columns={columns} parameters={parameters} warnings={warnings}"),
        );
        for count in [parameters, columns] {
            self.columns(u64::from(count))?;
            if count > 0 && !self.deprecates_eof() {
                self.simple()?;
            }
        }
        Ok(Kept {
            prepared: Some((prepared.statement, parameters)),
            types: Types::new(),
        })
    }
}

/// What ends an answer, as a line, and the status that it tells.
pub fn ending(payload: &[u8], capabilities: Capabilities) -> (String, Option<Status>) {
    if let Ok(error) = ErrorPacket::read(payload) {
        let state = error.state.unwrap_or_default();
        let message = text(error.message);
        let line = format!(
            "Error {} {} {}",
            error.code,
            text(&state),
            unnumbered(&message)
        );
        return (line, None);
    }
    if let Ok(eof) = EofPacket::read(payload)
        && payload.len() == 5
    {
        // It carries no report: the flag alone says that a server has one for later, of whatever is tracked.
        let told = eof.status.without(Status::SESSION_STATE_CHANGED);
        let line = format!("EOF {} warnings={}", status(told), eof.warnings);
        return (line, Some(eof.status));
    }
    match OkPacket::read(payload, capabilities) {
        Ok(ok) => (ok_line(payload[0], &ok), Some(ok.status)),
        Err(_) => (format!("(no ending: {})", text(payload)), None),
    }
}

fn ok_line(first: u8, ok: &OkPacket<'_>) -> String {
    let name = if first == EOF { "End" } else { "OK" };
    let mut line = format!(
        "{name} {} affected={} id={} warnings={}",
        status(ok.status),
        ok.affected_rows,
        ok.last_insert_id,
        ok.warnings
    );
    if !ok.info.is_empty() {
        let _ = write!(line, " info={}", text(ok.info));
    }
    // MySQL keeps them in no order.
    let mut changes: Vec<String> = ok.changes().map(|change| change_text(&change)).collect();
    changes.sort();
    for change in changes {
        let _ = write!(line, " {change}");
    }
    line
}

fn change_text<E>(change: &Result<Change<'_>, E>) -> String {
    match change {
        Ok(Change::SystemVariable { name, value }) => format!("{}={}", text(name), text(value)),
        Ok(Change::Schema(name)) => format!("schema={}", text(name)),
        Ok(Change::StateChange(flag)) => format!("state_change={}", text(flag)),
        Ok(Change::TransactionCharacteristics(sql)) => format!("characteristics={}", text(sql)),
        Ok(Change::TransactionState(state)) => format!("transaction={}", text(state)),
        Ok(other) => format!("{other:?}"),
        Err(_) => "(malformed)".into(),
    }
}

fn status(status: Status) -> String {
    const NAMES: [(u16, &str); 15] = [
        (0, "in_trans"),
        (1, "autocommit"),
        (3, "more_results"),
        (4, "no_good_index"),
        (5, "no_index"),
        (6, "cursor"),
        (7, "last_row"),
        (8, "db_dropped"),
        (9, "no_backslash"),
        (10, "metadata_changed"),
        (12, "out_params"),
        (13, "in_trans_readonly"),
        (14, "state_changed"),
        (15, "ansi_quotes"),
        (2, "bit2"),
    ];
    let set = NAMES.iter().filter(|(bit, _)| status.0 >> bit & 1 == 1);
    let names: Vec<&str> = set.map(|(_, name)| *name).collect();
    format!("[{}]", names.join(","))
}

fn column_line(column: &ColumnDefinition<'_>) -> String {
    format!(
        "Column {}.{}({}) {}({}) collation={} length={} type={} flags={:#x} decimals={}",
        text(column.schema),
        text(column.table),
        text(column.org_table),
        text(column.name),
        text(column.org_name),
        column.collation,
        column.length,
        column.kind,
        column.flags,
        column.decimals
    )
}

fn text_line(payload: &[u8]) -> String {
    let mut line = String::from("Row");
    for value in text_values(payload) {
        match value {
            Ok(Some(value)) => {
                let _ = write!(line, " \"{}\"", text(value));
            }
            Ok(None) => line.push_str(" NULL"),
            Err(_) => line.push_str(" (malformed)"),
        }
    }
    line
}

fn binary_line(payload: &[u8], types: &Types) -> String {
    let Ok(values) = binary_row(payload, types) else {
        return format!("Row (malformed) {}", text(payload));
    };
    let mut line = String::from("Row");
    for value in values {
        match value {
            Value::Bytes(bytes) => {
                let _ = write!(line, " \"{}\"", text(bytes));
            }
            other => {
                let _ = write!(line, " {other:?}");
            }
        }
    }
    line
}

/// Bytes as people read them.
pub fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.escape_debug().to_string(),
        Err(_) => bytes.escape_ascii().to_string(),
    }
}

/// A message without the number of a statement: each side has its own.
fn unnumbered(message: &str) -> String {
    const BEFORE: [&str; 2] = ["prepared statement handler (", "The statement ("];
    let after = |before: &&str| message.find(before).map(|at| at + before.len());
    let Some(at) = BEFORE.iter().find_map(after) else {
        return message.into();
    };
    let (before, rest) = message.split_at(at);
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{before}N{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_an_answer_is_a_line() {
        let line = |payload: &[u8], capabilities| ending(payload, capabilities).0;
        let modern = Capabilities::DEPRECATE_EOF | Capabilities::SESSION_TRACK;
        let ok = line(b"\0\x01\x05\x02\x40\0\0\0\x04\x01\x02\x01d", modern);
        assert_eq!(
            ok,
            "OK [autocommit,state_changed] affected=1 id=5 warnings=0 schema=d"
        );
        let eof = line(b"\xfe\x01\0\x03\0", Capabilities::NONE);
        assert_eq!(eof, "EOF [in_trans,autocommit] warnings=1");
        let error = b"\xff\xdb\x04#HY000Unknown prepared statement handler (17) given to EXECUTE";
        assert_eq!(
            line(error, modern),
            "Error 1243 HY000 Unknown prepared statement handler (N) given to EXECUTE"
        );
    }

    #[test]
    fn rows_are_lines() {
        assert_eq!(text_line(b"\x01a\xfb\0"), "Row \"a\" NULL \"\"");
        let types = vec![(8, false), (253, false)];
        let row = b"\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x01b";
        assert_eq!(binary_line(row, &types), "Row Signed(-1) \"b\"");
    }
}
