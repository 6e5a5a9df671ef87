//! The simple query protocol: one Query message, any number of statements, one ReadyForQuery.
//!
//! A Query may stop in the middle, at COPY FROM STDIN or at a statement that waits; what is left then lies in
//! `Work::Simple` and goes on from `resume_simple` or from the end of the COPY.

use super::backend::Backend;
use super::error::PgError;
use super::evaluate::{Halt, Rows, encode};
use super::execute::Outcome;
use super::server::Shared;
use super::session::{Portal, Session, SimpleWork, Stop, Work};
use super::sql::{Statement, parse};

impl Session {
    pub(crate) fn on_query(&mut self, shared: &mut Shared, text: &str) {
        self.start_command(shared);
        self.statements.remove("");
        match parse(text) {
            Err(error) => self.fail_simple(shared, error),
            Ok(statements) if statements.is_empty() => {
                self.finish_command(shared);
                self.send(&Backend::EmptyQueryResponse);
                self.ready(shared);
            }
            Ok(statements) => {
                let several = statements.len() > 1;
                self.run_simple(
                    shared,
                    SimpleWork {
                        rest: statements.into(),
                        several,
                    },
                );
            }
        }
    }

    /// Runs until the message is answered or a statement stops it.
    pub(crate) fn run_simple(&mut self, shared: &mut Shared, mut work: SimpleWork) {
        while let Some(statement) = work.rest.front().cloned() {
            let result = self.simple_statement(shared, &statement, work.several);
            self.waited = false;
            match result {
                Ok(Some(tag)) => {
                    work.rest.pop_front();
                    self.complete_simple(shared, &statement, &work, tag);
                }
                Ok(None) => {
                    self.work = Work::Simple(work);
                    return;
                }
                Err(error) => return self.fail_simple(shared, error),
            }
        }
        self.ready(shared);
    }

    /// COPY FROM STDIN has ended well: its statement is complete and the rest follows.
    pub(crate) fn after_copy_simple(
        &mut self,
        shared: &mut Shared,
        mut work: SimpleWork,
        tag: String,
    ) {
        if let Some(statement) = work.rest.pop_front() {
            self.complete_simple(shared, &statement, &work, tag);
        }
        self.run_simple(shared, work);
    }

    /// One statement; `None` when it stopped without being complete.
    fn simple_statement(
        &mut self,
        shared: &mut Shared,
        statement: &Statement,
        several: bool,
    ) -> Result<Option<String>, PgError> {
        if !self.waited {
            self.open_simple(shared, statement, several)?;
        }
        let columns = self
            .portals
            .get("")
            .and_then(|portal| portal.columns.clone());
        match self.execute(shared, statement, &[]) {
            Ok(Outcome::Rows { rows, verb }) => {
                let count = self.send_rows(rows, &columns.unwrap_or_default());
                Ok(Some(row_tag(verb, count)))
            }
            Ok(Outcome::Done(tag)) => Ok(Some(tag)),
            Ok(Outcome::CopyIn) => {
                self.start_copy_in();
                Ok(None)
            }
            Ok(Outcome::CopyOut(lines)) => Ok(Some(self.send_copy(&lines))),
            Err(Halt::Wait(wait)) => {
                self.stop = Stop::Waiting(wait);
                Ok(None)
            }
            Err(Halt::Error(error)) => Err(error),
        }
    }

    /// Every statement runs in an unnamed portal of its own. One that fails inside a transaction block leaves it
    /// behind, so it is put there before the statement runs.
    fn open_simple(
        &mut self,
        shared: &Shared,
        statement: &Statement,
        several: bool,
    ) -> Result<(), PgError> {
        if self.xact.is_failed() && !statement.is_transaction_exit() {
            return Err(PgError::failed_transaction());
        }
        self.start_command(shared);
        if several {
            self.begin_implicit();
        }
        let columns = self.describe(shared, statement, &[])?;
        if let Some(columns) = &columns {
            self.send(&Backend::RowDescription(columns.clone()));
        }
        let portal = Portal::spent(statement.clone(), columns, self.xact.depth());
        self.portals.insert(String::new(), portal);
        Ok(())
    }

    fn complete_simple(
        &mut self,
        shared: &mut Shared,
        statement: &Statement,
        work: &SimpleWork,
        tag: String,
    ) {
        self.portals.remove("");
        if work.rest.is_empty() {
            // A single statement leaves the implicit transaction of an unfinished pipeline open.
            if work.several {
                self.end_implicit();
            }
            self.finish_command(shared);
        } else if statement.is_transaction_control() {
            self.finish_command(shared);
        }
        self.send(&Backend::CommandComplete(tag));
    }

    pub(crate) fn fail_simple(&mut self, shared: &mut Shared, error: PgError) {
        self.abort(shared);
        self.send(&Backend::ErrorResponse(error));
        self.ready(shared);
    }

    /// Sends rows to the last one and counts them.
    pub(crate) fn send_rows(&mut self, rows: Rows, columns: &[super::backend::Column]) -> usize {
        let mut count = 0;
        for row in rows {
            self.send_row(&row, columns);
            count += 1;
        }
        count
    }

    pub(crate) fn send_row(
        &mut self,
        row: &[super::evaluate::Value],
        columns: &[super::backend::Column],
    ) {
        let values = row
            .iter()
            .zip(columns)
            .map(|(value, column)| encode(value, column))
            .collect();
        self.send(&Backend::DataRow(values));
    }
}

/// `SELECT` counts its rows in the tag, SHOW does not.
pub(crate) fn row_tag(verb: &str, count: usize) -> String {
    match verb {
        "SELECT" => format!("SELECT {count}"),
        verb => verb.to_owned(),
    }
}
