//! Puts the packets of an answer together, whatever they say: what was expected is compared when all of it is here.

use forebay_mysql::wire::capability::Capabilities;
use forebay_mysql::wire::column::ColumnDefinition;
use forebay_mysql::wire::reply::{EofPacket, ErrorPacket, OkPacket, PrepareOk, is_end_of_rows};
use forebay_mysql::wire::row::{self, text_values};
use forebay_mysql::wire::status::Status;
use forebay_mysql::wire::tracker::Change;

/// What the answer to a command looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One result or several, in text.
    Text,
    /// The same in binary.
    Binary,
    /// Rows of a cursor.
    Fetch,
    /// A statement's number.
    Prepare,
    /// A bare text.
    Bare,
}

/// One value, as text; NULL is none.
pub(super) type Shown = Option<String>;

/// One result as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Ok {
        affected: u64,
        insert_id: u64,
        end: End,
    },
    Rows {
        columns: usize,
        rows: Vec<Vec<Shown>>,
        end: End,
    },
    Error {
        code: u16,
        message: String,
        /// Its number is the next one.
        in_order: bool,
    },
    Prepared {
        id: u32,
        parameters: u16,
        columns: u16,
    },
    Bare,
}

/// What an OK or EOF packet says besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) status: Status,
    pub(super) warnings: u16,
    /// Kind, name, value of each change.
    pub(super) told: Vec<(u8, String, String)>,
}

#[derive(Debug)]
enum At {
    First,
    Columns(u64),
    Rows,
    /// Definitions of a prepared statement: parameters, then columns.
    Definitions(Vec<u16>),
    Done,
}

/// An answer that comes.
#[derive(Debug)]
pub(super) struct Answer {
    kind: Kind,
    capabilities: Capabilities,
    at: At,
    columns: Vec<(u8, bool)>,
    rows: Vec<Vec<Shown>>,
    next: u8,
    /// Results so far.
    pub(super) found: Vec<Found>,
}

impl Answer {
    pub(super) fn new(kind: Kind, capabilities: Capabilities, columns: Vec<(u8, bool)>) -> Answer {
        Answer {
            kind,
            capabilities,
            at: match kind {
                Kind::Fetch => At::Rows,
                _ => At::First,
            },
            columns,
            rows: Vec::new(),
            next: 1,
            found: Vec::new(),
        }
    }

    /// Columns of the result that came last.
    pub(super) fn columns(&self) -> &[(u8, bool)] {
        &self.columns
    }

    /// A packet. True when the answer has ended.
    pub(super) fn on_packet(&mut self, payload: &[u8], sequence: u8) -> Result<bool, String> {
        let unreadable = |problem| format!("unreadable packet: {problem:?}");
        let first = *payload.first().ok_or("an empty packet")?;
        if first == 0xff {
            let error = ErrorPacket::read(payload).map_err(unreadable)?;
            self.found.push(Found::Error {
                code: error.code,
                message: String::from_utf8_lossy(error.message).into_owned(),
                in_order: sequence == self.next,
            });
            self.at = At::Done;
            return Ok(true);
        }
        if sequence != self.next {
            return Err(format!("packet {sequence} where {} is due", self.next));
        }
        self.next = self.next.wrapping_add(1);
        let eofs = !self.capabilities.has(Capabilities::DEPRECATE_EOF);
        match &mut self.at {
            At::First if self.kind == Kind::Bare => {
                self.found.push(Found::Bare);
                self.at = At::Done;
            }
            At::First if self.kind == Kind::Prepare => {
                let ok = PrepareOk::read(payload, self.capabilities).map_err(unreadable)?;
                self.found.push(Found::Prepared {
                    id: ok.statement,
                    parameters: ok.parameters,
                    columns: ok.columns,
                });
                let counts = [ok.parameters, ok.columns].into_iter();
                let due = counts
                    .filter(|count| *count > 0)
                    .map(|count| count + u16::from(eofs));
                self.at = At::Definitions(due.collect());
                self.definitions_done();
            }
            At::First if first == 0 || first == 0xfe => {
                let ok = OkPacket::read(payload, self.capabilities).map_err(unreadable)?;
                let end = end_of(&ok)?;
                self.found.push(Found::Ok {
                    affected: ok.affected_rows,
                    insert_id: ok.last_insert_id,
                    end,
                });
                self.ended(ok.status);
            }
            At::First => {
                self.columns.clear();
                self.at = At::Columns(u64::from(first) + u64::from(eofs));
            }
            At::Columns(left) => {
                *left -= 1;
                let is_last = *left == 0;
                if is_last && eofs {
                    let eof = EofPacket::read(payload).map_err(unreadable)?;
                    self.at = At::Rows;
                    if eof.status.has(Status::CURSOR_EXISTS) {
                        self.end_rows(eof_end(&eof));
                    }
                } else {
                    let column = ColumnDefinition::read(payload, self.capabilities);
                    let column = column.map_err(unreadable)?;
                    self.columns.push((column.kind, column.flags & 32 != 0));
                    if is_last {
                        self.at = At::Rows;
                    }
                }
            }
            At::Rows if is_end_of_rows(first, payload.len(), self.capabilities) => {
                let end = match eofs {
                    true => eof_end(&EofPacket::read(payload).map_err(unreadable)?),
                    false => {
                        let ok = OkPacket::read(payload, self.capabilities).map_err(unreadable)?;
                        end_of(&ok)?
                    }
                };
                self.end_rows(end);
            }
            At::Rows => {
                let row = self.row(payload)?;
                self.rows.push(row);
            }
            At::Definitions(due) => {
                due[0] -= 1;
                if due[0] == 0 {
                    due.remove(0);
                }
                self.definitions_done();
            }
            At::Done => return Err("a packet behind the end of an answer".into()),
        }
        Ok(matches!(self.at, At::Done))
    }

    fn definitions_done(&mut self) {
        if matches!(&self.at, At::Definitions(due) if due.is_empty()) {
            self.at = At::Done;
        }
    }

    fn end_rows(&mut self, end: End) {
        let status = end.status;
        self.found.push(Found::Rows {
            columns: self.columns.len(),
            rows: std::mem::take(&mut self.rows),
            end,
        });
        self.ended(status);
    }

    fn ended(&mut self, status: Status) {
        self.at = match status.has(Status::MORE_RESULTS_EXISTS) {
            true => At::First,
            false => At::Done,
        };
    }

    fn row(&self, payload: &[u8]) -> Result<Vec<Shown>, String> {
        let unreadable = |problem| format!("unreadable row: {problem:?}");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if self.kind == Kind::Text {
            let values = text_values(payload).map(|value| Ok(value.map_err(unreadable)?.map(text)));
            return values.collect();
        }
        let values = row::binary_row(payload, &self.columns).map_err(unreadable)?;
        let shown = values.into_iter().map(|value| match value {
            row::Value::Null => None,
            row::Value::Signed(number) => Some(number.to_string()),
            row::Value::Unsigned(number) => Some(number.to_string()),
            row::Value::Bytes(bytes) => Some(text(bytes)),
            other => Some(format!("{other:?}")),
        });
        Ok(shown.collect())
    }
}

fn eof_end(eof: &EofPacket) -> End {
    End {
        status: eof.status,
        warnings: eof.warnings,
        told: Vec::new(),
    }
}

/// What an OK packet says besides.
pub(super) fn end_of(ok: &OkPacket<'_>) -> Result<End, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut told = Vec::new();
    for change in ok.changes() {
        told.push(match change.map_err(|it| format!("{it:?}"))? {
            Change::SystemVariable { name, value } => (0, text(name), text(value)),
            Change::Schema(name) => (1, text(name), String::new()),
            Change::StateChange(_) => (2, String::new(), String::new()),
            other => (9, format!("{other:?}"), String::new()),
        });
    }
    Ok(End {
        status: ok.status,
        warnings: ok.warnings,
        told,
    })
}
