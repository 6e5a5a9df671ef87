//! How the model server answers: OK, error, results in text and in binary, in the form that was agreed on.

use super::select::Value;
use super::server::Flavor;
use super::session::{Failure, Session};
use crate::model::Wait;
use forebay_mysql::wire::capability::Capabilities;
use forebay_mysql::wire::column::{ColumnDefinition, field_type};
use forebay_mysql::wire::reply::{EofPacket, ErrorPacket, OkPacket, PrepareOk};
use forebay_mysql::wire::row::write_text_row;
use forebay_mysql::wire::status::Status;
use forebay_mysql::wire::tracker::Change;
use forebay_mysql::wire::write;

/// What a statement came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok {
        affected: u64,
        insert_id: u64,
    },
    Rows(Vec<Vec<Value>>),
    /// Rows of a procedure's, and its OK.
    RowsAndOk(Vec<Vec<Value>>),
    /// It goes on when that is over.
    Wait(Wait),
}

impl Outcome {
    pub(super) fn ok(affected: u64) -> Outcome {
        let insert_id = 0;
        Outcome::Ok {
            affected,
            insert_id,
        }
    }
}

/// One answer under construction.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) sequence: u8,
    /// Rows are binary.
    pub(super) binary: bool,
}

impl Reply<'_> {
    /// What the trackers have noticed, as a block; nothing where this end is not told.
    fn block(&self, session: &mut Session) -> Vec<u8> {
        let mut block = Vec::new();
        if !session.capabilities.has(Capabilities::SESSION_TRACK) {
            return block;
        }
        let noticed = std::mem::take(&mut session.noticed);
        for name in noticed.variables {
            let value = match name {
                "autocommit" if session.flag(name) => "ON",
                "autocommit" => "OFF",
                name => session.shown(name),
            };
            let (name, value) = (name.as_bytes(), value.as_bytes());
            Change::SystemVariable { name, value }.write(&mut block);
        }
        if noticed.schema {
            let database = session.database.as_deref().unwrap_or_default();
            Change::Schema(database.as_bytes()).write(&mut block);
        }
        if noticed.state && session.flag("session_track_state_change") {
            Change::StateChange(b"1").write(&mut block);
        }
        block
    }

    pub(super) fn ok(
        &mut self,
        session: &mut Session,
        (affected, insert_id): (u64, u64),
        more: bool,
    ) {
        let block = self.block(session);
        let ok = OkPacket {
            affected_rows: affected,
            last_insert_id: insert_id,
            status: status(session, more),
            warnings: session.warnings.len() as u16,
            ..OkPacket::default()
        };
        let ok = ok.with_changes(&block);
        self.sequence = ok.write(self.out, self.sequence, session.capabilities);
    }

    pub(super) fn error(&mut self, session: &mut Session, failure: &Failure) {
        if session.flavor == Flavor::MariaDb {
            // What was noticed until then is never told.
            session.noticed = Default::default();
        }
        let packet = ErrorPacket {
            code: failure.code,
            state: Some(failure.state),
            message: failure.message.as_bytes(),
        };
        self.sequence = packet.write(self.out, self.sequence);
    }

    /// A result with the columns' definitions; `extra` are status flags of its own.
    pub(super) fn rows(&mut self, session: &mut Session, rows: &[Vec<Value>], more: bool) {
        let columns = self.columns(session, rows);
        for row in rows {
            self.row(row, &columns);
        }
        self.end_of_rows(session, status(session, more));
    }

    /// The columns of a result whose rows are to be fetched.
    pub(super) fn columns_of_cursor(&mut self, session: &mut Session, rows: &[Vec<Value>]) {
        self.begin(session, rows);
        let status = session.status() | Status::CURSOR_EXISTS;
        self.end_of_rows(session, status);
    }

    /// How many columns there are, and what they are; the types of the first row's values are those of all.
    fn columns(&mut self, session: &Session, rows: &[Vec<Value>]) -> Vec<u8> {
        let kinds = self.begin(session, rows);
        if !session.capabilities.has(Capabilities::DEPRECATE_EOF) {
            self.eof(session, status(session, false));
        }
        kinds
    }

    fn begin(&mut self, session: &Session, rows: &[Vec<Value>]) -> Vec<u8> {
        // Only SHOW WARNINGS may have no rows.
        let kinds: Vec<u8> = match rows.first() {
            Some(row) => row.iter().map(kind_of).collect(),
            None => vec![field_type::VAR_STRING; 3],
        };
        self.sequence = write::packet(self.out, self.sequence, |out| {
            write::number(out, kinds.len() as u64);
        });
        self.definitions(session, &kinds);
        kinds
    }

    fn definitions(&mut self, session: &Session, kinds: &[u8]) {
        for kind in kinds {
            let column = ColumnDefinition {
                name: b"it",
                collation: 45,
                length: 1024,
                kind: *kind,
                ..ColumnDefinition::default()
            };
            self.sequence = column.write(self.out, self.sequence, session.capabilities);
        }
    }

    pub(super) fn row(&mut self, row: &[Value], kinds: &[u8]) {
        if self.binary {
            return self.binary_row(row, kinds);
        }
        let shown: Vec<Option<String>> = row.iter().map(Value::shown).collect();
        let shown: Vec<Option<&[u8]>> = shown
            .iter()
            .map(|it| it.as_deref().map(str::as_bytes))
            .collect();
        self.sequence = write_text_row(self.out, self.sequence, &shown);
    }

    fn binary_row(&mut self, row: &[Value], kinds: &[u8]) {
        self.sequence = write::packet(self.out, self.sequence, |out| {
            out.push(0);
            let mut nulls = vec![0u8; (row.len() + 2).div_ceil(8)];
            for (at, value) in row.iter().enumerate() {
                if *value == Value::Null {
                    nulls[(at + 2) / 8] |= 1 << ((at + 2) % 8);
                }
            }
            out.extend_from_slice(&nulls);
            for (value, kind) in row.iter().zip(kinds) {
                match (value, *kind) {
                    (Value::Int(number), field_type::LONGLONG) => {
                        out.extend_from_slice(&number.to_le_bytes());
                    }
                    (Value::Null, _) => {}
                    (value, _) => {
                        write::counted(out, value.shown().unwrap_or_default().as_bytes());
                    }
                }
            }
        });
    }

    /// The end of rows, with these status flags.
    pub(super) fn end_of_rows(&mut self, session: &mut Session, status: Status) {
        let warnings = session.warnings.len() as u16;
        if !session.capabilities.has(Capabilities::DEPRECATE_EOF) {
            if session.flavor == Flavor::MariaDb {
                session.noticed = Default::default();
            }
            return self.eof(session, status);
        }
        let block = self.block(session);
        let ok = OkPacket {
            status,
            warnings,
            ..OkPacket::default()
        };
        let ok = ok.with_changes(&block);
        self.sequence = ok.write_end_of_rows(self.out, self.sequence, session.capabilities);
    }

    pub(super) fn eof(&mut self, session: &Session, status: Status) {
        let warnings = session.warnings.len() as u16;
        let eof = EofPacket { warnings, status };
        self.sequence = eof.write(self.out, self.sequence);
    }

    /// A statement was prepared.
    pub(super) fn prepared(
        &mut self,
        session: &Session,
        statement: u32,
        (parameters, columns): (u16, u16),
    ) {
        let ok = PrepareOk {
            statement,
            columns,
            parameters,
            warnings: 0,
            are_described: true,
        };
        self.sequence = ok.write(self.out, self.sequence, session.capabilities);
        for count in [parameters, columns] {
            if count > 0 {
                self.definitions(session, &vec![field_type::VAR_STRING; count.into()]);
                if !session.capabilities.has(Capabilities::DEPRECATE_EOF) {
                    self.eof(session, status(session, false));
                }
            }
        }
    }

    /// The whole of an outcome that is no wait.
    pub(super) fn outcome(&mut self, session: &mut Session, outcome: &Outcome, more: bool) {
        match outcome {
            Outcome::Ok {
                affected,
                insert_id,
            } => self.ok(session, (*affected, *insert_id), more),
            Outcome::Rows(rows) => self.rows(session, rows, more),
            Outcome::RowsAndOk(rows) => {
                self.rows(session, rows, true);
                self.ok(session, (0, 0), more);
            }
            Outcome::Wait(_) => {}
        }
    }
}

fn status(session: &Session, more: bool) -> Status {
    match more {
        true => session.status() | Status::MORE_RESULTS_EXISTS,
        false => session.status(),
    }
}

pub(super) fn kind_of(value: &Value) -> u8 {
    match value {
        Value::Int(_) => field_type::LONGLONG,
        Value::Null | Value::Text(_) => field_type::VAR_STRING,
    }
}
