//! Prepared statements of the protocol: what a statement keeps from its preparation, its parameters, long data and cursor.

use super::connection::Connection;
use super::reply::Outcome;
use super::select::{Context, Value};
use super::server::{Flavor, Shared};
use super::session::{Failure, Session};
use super::statements::{Statement, statement};
use forebay_mysql::wire::command;
use forebay_mysql::wire::read::Fields;
use forebay_mysql::wire::row;
use forebay_mysql::wire::statement::{Execute, LAST_PREPARED, LongData, rows_wanted, statement_of};
use forebay_mysql::wire::status::Status;
use std::collections::{BTreeMap, VecDeque};

/// A statement.
#[derive(Debug)]
pub(super) struct Prepared {
    statement: Statement,
    parameters: u16,
    /// As they were when it was prepared.
    database: Option<String>,
    collation: String,
    types: Option<Vec<u8>>,
    long: BTreeMap<u16, Vec<u8>>,
    cursor: Option<VecDeque<Vec<Value>>>,
}

impl Connection {
    /// A command about a prepared statement.
    pub(super) fn on_statement_command(
        &mut self,
        shared: &mut Shared,
        session: &mut Session,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) {
        if payload[0] == command::STMT_PREPARE {
            return self.prepare(session, &payload[1..], out);
        }
        let Ok(mut id) = statement_of(payload) else {
            return;
        };
        if id == LAST_PREPARED && session.flavor == Flavor::MariaDb {
            id = self.last_prepared;
        }
        if payload[0] == command::STMT_CLOSE {
            self.prepared.remove(&id);
            return;
        }
        let mut reply = self.reply(out);
        let Some(prepared) = self.prepared.get_mut(&id) else {
            if payload[0] != command::STMT_SEND_LONG_DATA {
                let message = format!("Unknown prepared statement handler ({id})");
                let failure = Failure::new(1243, b"HY000", message);
                session.refuse(&failure);
                reply.error(session, &failure);
            }
            return;
        };
        match payload[0] {
            command::STMT_SEND_LONG_DATA => {
                if let Ok(piece) = LongData::read(payload) {
                    let data = prepared.long.entry(piece.parameter).or_default();
                    data.extend_from_slice(piece.data);
                }
            }
            command::STMT_RESET => {
                prepared.long.clear();
                prepared.cursor = None;
                reply.ok(session, (0, 0), false);
            }
            command::STMT_FETCH => {
                let wanted = rows_wanted(payload).unwrap_or(0) as usize;
                let Some(cursor) = &mut prepared.cursor else {
                    let message = format!("The statement ({id}) has no open cursor.");
                    let failure = Failure::new(1421, b"HY000", message);
                    session.refuse(&failure);
                    return reply.error(session, &failure);
                };
                reply.binary = true;
                let kinds = kinds_of(cursor);
                let is_last = cursor.len() < wanted;
                for row in cursor.drain(..wanted.min(cursor.len())) {
                    reply.row(&row, &kinds);
                }
                let told = match is_last {
                    true => Status::LAST_ROW_SENT,
                    false => Status::CURSOR_EXISTS,
                };
                if is_last {
                    prepared.cursor = None;
                }
                let status = session.status() | told;
                reply.end_of_rows(session, status);
            }
            _ => {
                reply.binary = true;
                let result = prepared.execute(shared, session, payload);
                match result {
                    Ok((Outcome::Rows(rows), true)) => {
                        reply.columns_of_cursor(session, &rows);
                        prepared.cursor = Some(rows.into());
                    }
                    Ok((Outcome::Wait(_), _)) => {
                        let message = "This statement waits, which the model does only for texts";
                        reply.error(session, &Failure::new(1295, b"HY000", message));
                    }
                    Ok((outcome, _)) => reply.outcome(session, &outcome, false),
                    Err(failure) => reply.error(session, &failure),
                }
            }
        }
    }

    fn prepare(&mut self, session: &mut Session, text: &[u8], out: &mut Vec<u8>) {
        let mut reply = self.reply(out);
        session.warnings.clear();
        let text = String::from_utf8_lossy(text);
        let read = statement(&text, session.modes());
        let (statement, parameters) = match read {
            Ok((statement, None, parameters)) => (statement, parameters),
            _ => return reply.error(session, &Failure::syntax()),
        };
        let mut columns = 0;
        if matches!(statement, Statement::Insert { .. }) && session.database.is_none() {
            return reply.error(session, &Failure::no_database());
        }
        if let Statement::Select(select) = &statement {
            columns = select.columns();
            let failure = select.unknown_column();
            let lacks = select.needs_database() && session.database.is_none();
            if let Some(failure) = failure.or_else(|| lacks.then(Failure::no_database)) {
                return reply.error(session, &failure);
            }
        }
        self.last_prepared += 1;
        let prepared = Prepared {
            statement,
            parameters,
            database: session.database.clone(),
            collation: session.shown("collation_connection").to_owned(),
            types: None,
            long: BTreeMap::new(),
            cursor: None,
        };
        self.prepared.insert(self.last_prepared, prepared);
        reply.prepared(session, self.last_prepared, (parameters, columns));
    }
}

impl Prepared {
    /// Runs it; whether a cursor was asked for.
    fn execute(
        &mut self,
        shared: &mut Shared,
        session: &mut Session,
        payload: &[u8],
    ) -> Result<(Outcome, bool), Failure> {
        self.cursor = None;
        let long = std::mem::take(&mut self.long);
        let malformed =
            || Failure::new(1210, b"HY000", "Incorrect arguments to mysqld_stmt_execute");
        let execute = Execute::read(payload, self.parameters).map_err(|_| malformed())?;
        if let Some(types) = execute.types {
            self.types = Some(types.to_vec());
        }
        let types = match &self.types {
            Some(types) => types.clone(),
            None if self.parameters == 0 => Vec::new(),
            None => return Err(malformed()),
        };
        let mut values = Fields(execute.values);
        let mut params = Vec::new();
        for at in 0..self.parameters {
            let kind = &types[usize::from(at) * 2..][..2];
            params.push(if let Some(data) = long.get(&at) {
                Value::Text(String::from_utf8_lossy(data).into_owned())
            } else if execute.is_null(at) {
                Value::Null
            } else {
                let value = row::value(&mut values, kind[0], kind[1] != 0);
                match value.map_err(|_| malformed())? {
                    row::Value::Signed(number) => Value::Int(number),
                    row::Value::Unsigned(number) => Value::Int(number as i64),
                    row::Value::Bytes(bytes) => {
                        Value::Text(String::from_utf8_lossy(bytes).into_owned())
                    }
                    _ => return Err(malformed()),
                }
            });
        }
        let context = Context {
            params: &params,
            database: self.database.clone(),
            collation: self.collation.clone(),
        };
        let outcome = session.run(shared, &self.statement, &context)?;
        Ok((outcome, execute.flags & command::CURSOR_READ_ONLY != 0))
    }
}

fn kinds_of(rows: &VecDeque<Vec<Value>>) -> Vec<u8> {
    let first = rows.front();
    first.map_or(Vec::new(), |row| {
        row.iter().map(super::reply::kind_of).collect()
    })
}
