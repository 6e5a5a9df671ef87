//! The extended query protocol: Parse, Bind, Describe, Execute, Close, Sync, and the function call beside it.
//!
//! An error skips everything up to Sync. The transaction of a segment starts with its first message and ends at
//! Sync unless a BEGIN came in between (PostgreSQL 18, `postgres.c`, `exec_*_message`).

use super::backend::{Backend, Column};
use super::error::PgError;
use super::evaluate::{Halt, Rows, Value, decode};
use super::execute::{Outcome, commits_at_once};
use super::frontend::Named;
use super::server::Shared;
use super::session::{Portal, Prepared, Progress, Session, Stop, Work};
use super::simple::row_tag;
use super::sql::{Statement, Type, parse};

/// The fields of a Bind message.
pub(crate) struct Bind {
    pub(crate) portal: String,
    pub(crate) statement: String,
    pub(crate) formats: Vec<i16>,
    pub(crate) params: Vec<Option<Vec<u8>>>,
    pub(crate) results: Vec<i16>,
}

impl Session {
    pub(crate) fn fail_extended(&mut self, shared: &mut Shared, error: PgError) {
        self.abort(shared);
        self.send(&Backend::ErrorResponse(error));
        self.flush();
        self.skip_to_sync = true;
    }

    /// Answers one message of the protocol: a failure skips to Sync.
    pub(crate) fn extended(
        &mut self,
        shared: &mut Shared,
        step: impl FnOnce(&mut Self, &mut Shared) -> Result<(), PgError>,
    ) {
        if let Err(error) = step(self, shared) {
            self.fail_extended(shared, error);
        }
    }

    pub(crate) fn on_sync(&mut self, shared: &mut Shared) {
        self.skip_to_sync = false;
        self.end_implicit();
        self.finish_command(shared);
        self.ready(shared);
    }

    pub(crate) fn on_parse(
        &mut self,
        shared: &mut Shared,
        name: &str,
        text: &str,
        types: &[u32],
    ) -> Result<(), PgError> {
        self.start_command(shared);
        if name.is_empty() {
            self.statements.remove("");
        }
        let mut statements = parse(text)?;
        if statements.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(PgError::error("42601", message));
        }
        let statement = statements.pop();
        if statement
            .as_ref()
            .is_some_and(|s| self.xact.is_failed() && !s.is_transaction_exit())
        {
            return Err(PgError::failed_transaction());
        }
        let declared: Vec<Option<Type>> = types.iter().copied().map(Type::declared).collect();
        let types = match &statement {
            Some(statement) => {
                let types = statement.parameter_types(&declared);
                self.describe(shared, statement, &types)?;
                types
            }
            None => declared
                .into_iter()
                .map(|t| t.unwrap_or(Type::Text))
                .collect(),
        };
        self.store_statement(
            name,
            Prepared {
                statement,
                types,
                from_sql: false,
            },
        )?;
        self.send(&Backend::ParseComplete);
        Ok(())
    }

    pub(crate) fn on_bind(&mut self, shared: &mut Shared, bind: Bind) -> Result<(), PgError> {
        self.start_command(shared);
        let prepared = self.prepared(&bind.statement)?.clone();
        check_counts(&bind, prepared.types.len())?;
        let exit = prepared
            .statement
            .as_ref()
            .is_some_and(Statement::is_transaction_exit);
        if self.xact.is_failed() && (!exit || !bind.params.is_empty()) {
            return Err(PgError::failed_transaction());
        }
        if !bind.portal.is_empty() && self.portals.contains_key(&bind.portal) {
            let message = format!("portal \"{}\" already exists", bind.portal);
            return Err(PgError::error("42P03", message));
        }
        let params = decode_params(&bind, &prepared.types)?;
        let columns = match &prepared.statement {
            Some(statement) => self.describe(shared, statement, &prepared.types)?,
            None => None,
        };
        let columns = columns
            .map(|columns| with_formats(columns, &bind.results))
            .transpose()?;
        let portal = Portal {
            statement: prepared.statement,
            params,
            columns,
            progress: Progress::Ready,
            depth: self.xact.depth(),
            stripped: false,
        };
        self.portals.insert(bind.portal, portal);
        self.send(&Backend::BindComplete);
        Ok(())
    }

    pub(crate) fn on_describe(
        &mut self,
        shared: &mut Shared,
        what: Named,
        name: &str,
    ) -> Result<(), PgError> {
        self.start_command(shared);
        let columns = match what {
            Named::Statement => {
                let prepared = self.prepared(name)?.clone();
                let columns = match &prepared.statement {
                    Some(statement) => self.describe(shared, statement, &prepared.types)?,
                    None => None,
                };
                if columns.is_some() && self.xact.is_failed() {
                    return Err(PgError::failed_transaction());
                }
                let oids = prepared.types.iter().map(|kind| kind.oid()).collect();
                self.send(&Backend::ParameterDescription(oids));
                columns
            }
            Named::Portal => {
                let columns = self
                    .portals
                    .get(name)
                    .ok_or_else(|| missing_portal(name))?
                    .columns
                    .clone();
                if columns.is_some() && self.xact.is_failed() {
                    return Err(PgError::failed_transaction());
                }
                columns
            }
        };
        self.send(&columns.map_or(Backend::NoData, Backend::RowDescription));
        Ok(())
    }

    pub(crate) fn on_close(&mut self, what: Named, name: &str) {
        match what {
            Named::Statement => drop(self.statements.remove(name)),
            Named::Portal => drop(self.portals.remove(name)),
        }
        self.send(&Backend::CloseComplete);
    }

    pub(crate) fn on_execute(
        &mut self,
        shared: &mut Shared,
        name: &str,
        max: i32,
    ) -> Result<(), PgError> {
        let portal = self.portals.get(name).ok_or_else(|| missing_portal(name))?;
        let Some(statement) = portal.statement.clone() else {
            self.send(&Backend::EmptyQueryResponse);
            return Ok(());
        };
        let exit = statement.is_transaction_exit() && !portal.stripped;
        if !self.waited {
            self.start_command(shared);
            if self.xact.is_failed() && !exit {
                return Err(PgError::failed_transaction());
            }
        }
        self.executing = Some(name.to_owned());
        let result = self.run_portal(shared, name, &statement, max);
        self.executing = None;
        self.waited = false;
        match result? {
            Ran::Complete(tag) => {
                if statement.is_transaction_control() || commits_at_once(&statement) {
                    self.finish_command(shared);
                } else {
                    self.xact.note_pipelined();
                }
                self.send(&Backend::CommandComplete(tag));
            }
            Ran::Suspended => {
                self.xact.note_pipelined();
                self.send(&Backend::PortalSuspended);
            }
            Ran::Stopped(stop) => {
                let portal = name.to_owned();
                self.work = Work::Execute { portal, rows: max };
                match stop {
                    Some(stop) => self.stop = stop,
                    None => self.start_copy_in(),
                }
            }
        }
        Ok(())
    }

    /// COPY FROM STDIN of an Execute has ended well.
    pub(crate) fn after_copy_extended(&mut self, tag: String) {
        self.xact.note_pipelined();
        self.send(&Backend::CommandComplete(tag));
    }

    /// Runs the portal. It counts as done meanwhile, and stays so when it fails: a failed portal cannot run again.
    fn run_portal(
        &mut self,
        shared: &mut Shared,
        name: &str,
        statement: &Statement,
        max: i32,
    ) -> Result<Ran, PgError> {
        let Some(portal) = self.portals.get_mut(name) else {
            return Err(missing_portal(name));
        };
        let columns = portal.columns.clone().unwrap_or_default();
        let mut rows = match std::mem::replace(&mut portal.progress, Progress::Done) {
            Progress::Rows(rows) => rows,
            Progress::Done => {
                let message = format!("portal \"{name}\" cannot be run");
                return Err(PgError::error("55000", message));
            }
            Progress::Ready => {
                let params = portal.params.clone();
                match self.execute(shared, statement, &params) {
                    Ok(Outcome::Rows { rows, .. }) => rows,
                    Ok(Outcome::Done(tag)) => return Ok(Ran::Complete(tag)),
                    Ok(Outcome::CopyOut(lines)) => {
                        return Ok(Ran::Complete(self.send_copy(&lines)));
                    }
                    Ok(Outcome::CopyIn) => return Ok(Ran::Stopped(None)),
                    Err(Halt::Wait(wait)) => {
                        self.set_progress(name, Progress::Ready);
                        return Ok(Ran::Stopped(Some(Stop::Waiting(wait))));
                    }
                    Err(Halt::Error(error)) => return Err(error),
                }
            }
        };
        let (count, more) = self.send_some(&mut rows, &columns, max);
        self.set_progress(name, Progress::Rows(rows));
        let verb = if matches!(statement, Statement::Show(_)) {
            "SHOW"
        } else {
            "SELECT"
        };
        Ok(if more {
            Ran::Suspended
        } else {
            Ran::Complete(row_tag(verb, count))
        })
    }

    /// The portal may be gone by now: ending a transaction ends its portals.
    pub(crate) fn set_progress(&mut self, name: &str, progress: Progress) {
        if let Some(portal) = self.portals.get_mut(name) {
            portal.progress = progress;
        }
    }

    /// Sends at most `max` rows (0 or less: all). A full measure counts as "perhaps more", as in PostgreSQL.
    fn send_some(&mut self, rows: &mut Rows, columns: &[Column], max: i32) -> (usize, bool) {
        let limit = usize::try_from(max)
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(usize::MAX);
        let mut count = 0;
        while count < limit {
            let Some(row) = rows.next() else {
                return (count, false);
            };
            self.send_row(&row, columns);
            count += 1;
        }
        (count, true)
    }

    /// The function call of the protocol: the model knows `textcat` (OID 1258), which joins its arguments.
    pub(crate) fn on_function_call(
        &mut self,
        shared: &mut Shared,
        oid: u32,
        args: &[Option<Vec<u8>>],
    ) {
        self.start_command(shared);
        let result = match oid {
            _ if self.xact.is_failed() => Err(PgError::failed_transaction()),
            1258 => Ok(args
                .iter()
                .cloned()
                .collect::<Option<Vec<_>>>()
                .map(|parts| parts.concat())),
            oid => Err(PgError::error(
                "42883",
                format!("function with OID {oid} does not exist"),
            )),
        };
        match result {
            Err(error) => self.fail_simple(shared, error),
            Ok(value) => {
                self.send(&Backend::FunctionCallResponse(value));
                self.finish_command(shared);
                self.ready(shared);
            }
        }
    }
}

/// How an Execute came out. `Stopped(None)` starts COPY FROM STDIN.
enum Ran {
    Complete(String),
    Suspended,
    Stopped(Option<Stop>),
}

fn missing_portal(name: &str) -> PgError {
    PgError::error("34000", format!("portal \"{name}\" does not exist"))
}

fn check_counts(bind: &Bind, wanted: usize) -> Result<(), PgError> {
    let (formats, params) = (bind.formats.len(), bind.params.len());
    if formats > 1 && formats != params {
        let message =
            format!("bind message has {formats} parameter formats but {params} parameters");
        return Err(PgError::error("08P01", message));
    }
    if params != wanted {
        let name = &bind.statement;
        let message = format!(
            "bind message supplies {params} parameters, but prepared statement \"{name}\" requires {wanted}"
        );
        return Err(PgError::error("08P01", message));
    }
    Ok(())
}

fn decode_params(bind: &Bind, types: &[Type]) -> Result<Vec<Value>, PgError> {
    let format = |at: usize| match bind.formats.as_slice() {
        [] => 0,
        [one] => *one,
        several => several[at],
    };
    bind.params
        .iter()
        .zip(types)
        .enumerate()
        .map(|(at, (bytes, kind))| match bytes {
            None => Ok(Value::Null),
            Some(bytes) => decode(bytes, *kind, format(at), at + 1),
        })
        .collect()
}

fn with_formats(mut columns: Vec<Column>, formats: &[i16]) -> Result<Vec<Column>, PgError> {
    if formats.len() > 1 && formats.len() != columns.len() {
        let message = format!(
            "bind message has {} result formats but query has {} columns",
            formats.len(),
            columns.len()
        );
        return Err(PgError::error("08P01", message));
    }
    for (at, column) in columns.iter_mut().enumerate() {
        column.format = match formats {
            [] => 0,
            [one] => *one,
            several => several[at],
        };
    }
    Ok(columns)
}
