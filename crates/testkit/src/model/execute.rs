//! What each statement does to the session, whichever protocol carried it.
//!
//! The callers (`simple.rs`, `extended.rs`) decide about transactions around it and about the messages of the
//! reply; here a statement becomes rows, a tag, a COPY, a wait, or an error.

use super::backend::Column;
use super::error::PgError;
use super::evaluate::{Evaluation, Halt, Rows, Value, columns};
use super::gucs;
use super::server::Shared;
use super::session::{Listen, Prepared, Session};
use super::settings::{joined, target};
use super::sql::{CopySource, Discard, Expr, Modes, Scope, SetValue, Statement, Type};

/// How a statement came out.
pub(crate) enum Outcome {
    /// Rows to send, and the verb of the tag that follows.
    Rows { rows: Rows, verb: &'static str },
    /// Nothing but a tag.
    Done(String),
    /// The client is to send data.
    CopyIn,
    /// Lines to send as COPY data.
    CopyOut(Vec<String>),
}

impl Session {
    /// The columns of what `statement` will return. Fails where PostgreSQL fails before it runs anything.
    pub(crate) fn describe(
        &self,
        shared: &Shared,
        statement: &Statement,
        types: &[Type],
    ) -> Result<Option<Vec<Column>>, PgError> {
        match statement {
            Statement::Show(name) if self.setting(shared, name).is_none() => {
                Err(gucs::unknown(name))
            }
            Statement::Execute { name, .. } => {
                // A missing name fails only when it is run.
                let body = self.statements.get(name);
                Ok(body.and_then(|p| columns(p.statement.as_ref()?, &p.types)))
            }
            other => Ok(columns(other, types)),
        }
    }

    pub(crate) fn prepared(&self, name: &str) -> Result<&Prepared, PgError> {
        self.statements
            .get(name)
            .ok_or_else(|| missing_statement(name))
    }

    /// Runs `statement`; the transaction around it is the caller's.
    pub(crate) fn execute(
        &mut self,
        shared: &mut Shared,
        statement: &Statement,
        params: &[Value],
    ) -> Result<Outcome, Halt> {
        self.fail_as_injected(shared, statement)?;
        match statement {
            Statement::Query(query) => {
                let rows = Evaluation {
                    session: self,
                    shared,
                    params,
                }
                .query(query)?;
                Ok(Outcome::Rows {
                    rows,
                    verb: "SELECT",
                })
            }
            Statement::InsertLog { client, number } => self.insert(shared, client, number, params),
            Statement::CopyIn => {
                self.check_writable(shared, "COPY FROM")?;
                Ok(Outcome::CopyIn)
            }
            Statement::CopyOut(source) => self.copy_out(shared, source, params),
            Statement::Execute { name, args } => self.execute_prepared(shared, name, args, params),
            Statement::Show(name) => {
                let value = self
                    .setting(shared, name)
                    .ok_or_else(|| gucs::unknown(name))?;
                Ok(Outcome::Rows {
                    rows: Rows::one(vec![Value::Text(value)]),
                    verb: "SHOW",
                })
            }
            Statement::Probe(probe) => Ok(Outcome::Rows {
                rows: self.probe(shared, probe),
                verb: "SELECT",
            }),
            other => Ok(Outcome::Done(self.command(shared, other)?)),
        }
    }

    /// A COMMIT that fails rolls back and leaves no transaction; a ROLLBACK does not fail.
    fn fail_as_injected(
        &mut self,
        shared: &mut Shared,
        statement: &Statement,
    ) -> Result<(), PgError> {
        if matches!(
            statement,
            Statement::Rollback { .. } | Statement::RollbackTo(_)
        ) {
            return Ok(());
        }
        let Some(error) = self.injected.take() else {
            return Ok(());
        };
        if matches!(statement, Statement::Commit { .. }) {
            self.rollback_now(shared);
        }
        Err(error)
    }

    /// Statements that answer with a tag alone.
    fn command(&mut self, shared: &mut Shared, statement: &Statement) -> Result<String, PgError> {
        let tag = match statement {
            Statement::Set { scope, name, value } => self.set(shared, *scope, name, value)?,
            Statement::SetTransaction(modes) => self.set_transaction(modes),
            Statement::SetCharacteristics(modes) => self.set_characteristics(shared, modes)?,
            Statement::Reset(name) => self.reset(shared, name)?,
            Statement::ResetAll => {
                self.undoable.layers.reset_all();
                "RESET"
            }
            Statement::Discard(what) => self.discard(shared, *what)?,
            Statement::Prepare { name, types, body } => self.prepare_sql(name, types, body)?,
            Statement::Deallocate(None) => {
                self.statements.retain(|name, _| name.is_empty());
                "DEALLOCATE ALL"
            }
            Statement::Deallocate(Some(name)) => {
                self.statements
                    .remove(name)
                    .ok_or_else(|| missing_statement(name))?;
                "DEALLOCATE"
            }
            Statement::Begin { modes, tag } => {
                self.begin(modes);
                tag
            }
            Statement::Commit { chain } => self.commit(shared, *chain)?,
            Statement::Rollback { chain } => {
                self.rollback(shared, *chain)?;
                "ROLLBACK"
            }
            Statement::Savepoint(name) => {
                self.savepoint(name.clone())?;
                "SAVEPOINT"
            }
            Statement::RollbackTo(name) => {
                self.rollback_to(name)?;
                "ROLLBACK"
            }
            Statement::Release(name) => {
                self.release(name)?;
                "RELEASE"
            }
            Statement::CreateTemp(name) => self.create_temp(shared, name)?,
            Statement::DropTable(name) => self.drop_table(shared, name)?,
            Statement::CloseAll => {
                let executing = self.executing.clone();
                self.portals
                    .retain(|name, _| Some(name) == executing.as_ref());
                "CLOSE CURSOR ALL"
            }
            Statement::Listen(channel) => {
                self.undoable.listens.push(Listen::Add(channel.clone()));
                "LISTEN"
            }
            Statement::Unlisten(channel) => {
                self.unlisten(channel.clone());
                "UNLISTEN"
            }
            Statement::Vacuum => {
                self.prevent_in_block("VACUUM")?;
                "VACUUM"
            }
            Statement::Query(_)
            | Statement::InsertLog { .. }
            | Statement::CopyIn
            | Statement::CopyOut(_)
            | Statement::Execute { .. }
            | Statement::Probe(_)
            | Statement::Show(_) => unreachable!("`execute` answers these itself"),
        };
        Ok(tag.to_owned())
    }

    fn check_writable(&self, shared: &Shared, statement: &str) -> Result<(), PgError> {
        if shared.in_recovery || self.undoable.read_only {
            let message = format!("cannot execute {statement} in a read-only transaction");
            return Err(PgError::error("25006", message));
        }
        Ok(())
    }

    fn prevent_in_block(&self, statement: &str) -> Result<(), PgError> {
        if self.xact.is_block() {
            let message = format!("{statement} cannot run inside a transaction block");
            return Err(PgError::error("25001", message));
        }
        Ok(())
    }

    fn insert(
        &mut self,
        shared: &mut Shared,
        client: &Expr,
        number: &Expr,
        params: &[Value],
    ) -> Result<Outcome, Halt> {
        self.check_writable(shared, "INSERT")?;
        let mut evaluation = Evaluation {
            session: self,
            shared,
            params,
        };
        let row = (evaluation.text(client)?, evaluation.int(number)?);
        self.undoable.rows.push(row);
        Ok(Outcome::Done("INSERT 0 1".into()))
    }

    fn copy_out(
        &mut self,
        shared: &mut Shared,
        source: &CopySource,
        params: &[Value],
    ) -> Result<Outcome, Halt> {
        let lines = match source {
            CopySource::Log => {
                let own = self.undoable.rows.iter();
                shared
                    .log_rows()
                    .chain(own.map(|row| (row.0.as_str(), row.1)))
                    .map(|(client, number)| format!("{client}\t{number}"))
                    .collect()
            }
            CopySource::Query(query) => {
                let rows = Evaluation {
                    session: self,
                    shared,
                    params,
                }
                .query(query)?;
                rows.map(|row| copy_line(&row)).collect()
            }
        };
        Ok(Outcome::CopyOut(lines))
    }

    fn execute_prepared(
        &mut self,
        shared: &mut Shared,
        name: &str,
        args: &[Expr],
        params: &[Value],
    ) -> Result<Outcome, Halt> {
        let prepared = self.prepared(name)?.clone();
        if prepared.types.len() != args.len() {
            let message = format!("wrong number of parameters for prepared statement \"{name}\"");
            return Err(PgError::error("42601", message).into());
        }
        let mut values = Vec::new();
        for arg in args {
            values.push(
                Evaluation {
                    session: self,
                    shared,
                    params,
                }
                .value(arg)?,
            );
        }
        match prepared.statement {
            Some(body @ (Statement::Query(_) | Statement::InsertLog { .. })) => {
                self.execute(shared, &body, &values)
            }
            _ => Err(PgError::error("0A000", "EXECUTE supports queries only").into()),
        }
    }

    fn prepare_sql(
        &mut self,
        name: &str,
        types: &[Type],
        body: &Statement,
    ) -> Result<&'static str, PgError> {
        let declared: Vec<Option<Type>> = types.iter().copied().map(Some).collect();
        let types = body.parameter_types(&declared);
        self.store_statement(
            name,
            Prepared {
                statement: Some(body.clone()),
                types,
                from_sql: true,
            },
        )?;
        Ok("PREPARE")
    }

    /// Keeps a prepared statement; a name is taken only once, the unnamed one is replaced.
    pub(crate) fn store_statement(
        &mut self,
        name: &str,
        prepared: Prepared,
    ) -> Result<(), PgError> {
        if !name.is_empty() && self.statements.contains_key(name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(PgError::error("42P05", message));
        }
        self.statements.insert(name.to_owned(), prepared);
        Ok(())
    }

    fn set(
        &mut self,
        shared: &Shared,
        scope: Scope,
        name: &str,
        value: &SetValue,
    ) -> Result<&'static str, PgError> {
        if scope == Scope::Local && !self.xact.is_block() {
            self.notice(PgError::warning(
                "25P01",
                "SET LOCAL can only be used in transaction blocks",
            ));
        }
        let raw = joined(&target(name)?, value)?;
        self.assign(shared, scope, name, raw)?;
        Ok("SET")
    }

    fn set_transaction(&mut self, modes: &Modes) -> &'static str {
        if !self.xact.is_block() {
            let message = "SET TRANSACTION can only be used in transaction blocks";
            self.notice(PgError::warning("25P01", message));
        }
        self.set_modes(modes);
        "SET"
    }

    /// `SET SESSION CHARACTERISTICS` is three ordinary settings in other words.
    fn set_characteristics(
        &mut self,
        shared: &Shared,
        modes: &Modes,
    ) -> Result<&'static str, PgError> {
        let on_off = |on: bool| if on { "on" } else { "off" };
        for (name, value) in [
            ("default_transaction_isolation", modes.isolation),
            ("default_transaction_read_only", modes.read_only.map(on_off)),
            (
                "default_transaction_deferrable",
                modes.deferrable.map(on_off),
            ),
        ] {
            if let Some(value) = value {
                self.assign(shared, Scope::Session, name, Some(value.to_owned()))?;
            }
        }
        Ok("SET")
    }

    fn reset(&mut self, shared: &Shared, name: &str) -> Result<&'static str, PgError> {
        self.assign(shared, Scope::Session, name, None)?;
        Ok("RESET")
    }

    fn discard(&mut self, shared: &mut Shared, what: Discard) -> Result<&'static str, PgError> {
        match what {
            Discard::Plans => return Ok("DISCARD PLANS"),
            Discard::Sequences => return Ok("DISCARD SEQUENCES"),
            Discard::Temp => {
                self.undoable.temp_tables.clear();
                return Ok("DISCARD TEMP");
            }
            Discard::All => self.prevent_in_block("DISCARD ALL")?,
        }
        self.portals.clear();
        self.undoable.layers.reset("session_authorization");
        self.undoable.layers.reset("role");
        self.undoable.layers.reset_all();
        self.statements.retain(|name, _| name.is_empty());
        self.undoable.listens.push(Listen::RemoveAll);
        self.unlock_all(shared);
        self.undoable.temp_tables.clear();
        Ok("DISCARD ALL")
    }

    fn unlisten(&mut self, channel: Option<String>) {
        self.undoable.listens.push(match channel {
            Some(channel) => Listen::Remove(channel),
            None => Listen::RemoveAll,
        });
    }

    fn create_temp(&mut self, shared: &Shared, name: &str) -> Result<&'static str, PgError> {
        self.check_writable(shared, "CREATE TABLE")?;
        if !self.undoable.temp_tables.insert(name.to_owned()) {
            return Err(PgError::error(
                "42P07",
                format!("relation \"{name}\" already exists"),
            ));
        }
        Ok("CREATE TABLE")
    }

    fn drop_table(&mut self, shared: &Shared, name: &str) -> Result<&'static str, PgError> {
        self.check_writable(shared, "DROP TABLE")?;
        if !self.undoable.temp_tables.remove(name) {
            return Err(PgError::error(
                "42P01",
                format!("table \"{name}\" does not exist"),
            ));
        }
        Ok("DROP TABLE")
    }
}

/// 26000 for a name that is not prepared.
pub(crate) fn missing_statement(name: &str) -> PgError {
    let which = match name {
        "" => "unnamed prepared statement".to_owned(),
        name => format!("prepared statement \"{name}\""),
    };
    PgError::error("26000", format!("{which} does not exist"))
}

fn copy_line(row: &[Value]) -> String {
    let shown: Vec<String> = row
        .iter()
        .map(|value| match value {
            Value::Null => "\\N".to_owned(),
            Value::Void => String::new(),
            Value::Int(number) => number.to_string(),
            Value::Bool(on) => if *on { "t" } else { "f" }.to_owned(),
            Value::Text(text) => text
                .replace('\\', "\\\\")
                .replace('\t', "\\t")
                .replace('\n', "\\n"),
        })
        .collect();
    shown.join("\t")
}

/// Whether a statement commits by itself at once, even in a pipeline (`PreventInTransactionBlock`).
pub(crate) fn commits_at_once(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Vacuum | Statement::Discard(Discard::All)
    )
}
