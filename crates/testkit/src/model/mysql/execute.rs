//! What each statement does to its session and to what all share.

use super::reply::Outcome;
use super::select::{Context, Expr, Value};
use super::server::Shared;
use super::session::{Failure, Session};
use super::statements::{Assign, Statement, statement};

/// A value that SET gives.
enum Given {
    Variable(String, String),
    Next(bool),
    User(String, Value),
    Names(String, Option<String>),
    InsertId(i64),
}

impl Session {
    /// Runs a statement; its errors are among the diagnostics.
    pub(super) fn run(
        &mut self,
        shared: &mut Shared,
        statement: &Statement,
        context: &Context<'_>,
    ) -> Result<Outcome, Failure> {
        if !self.has_slept {
            if *statement != Statement::ShowWarnings {
                self.warnings.clear();
            }
            self.row_count_before = std::mem::replace(&mut self.row_count, -1);
        }
        let result = self.execute(shared, statement, context);
        match &result {
            Ok(Outcome::Ok { affected, .. }) => self.row_count = *affected as i64,
            Ok(_) => {}
            Err(failure) => {
                let message = failure.message.clone();
                self.warnings.push(("Error", failure.code, message));
            }
        }
        result
    }

    /// A text that is no statement: its error is among the diagnostics.
    pub(super) fn refuse(&mut self, failure: &Failure) {
        let message = failure.message.clone();
        self.warnings = vec![("Error", failure.code, message)];
        self.row_count = -1;
    }

    fn execute(
        &mut self,
        shared: &mut Shared,
        statement: &Statement,
        context: &Context<'_>,
    ) -> Result<Outcome, Failure> {
        match statement {
            Statement::Empty => return Err(Failure::new(1065, b"42000", "Query was empty")),
            Statement::Select(select) => return self.select(shared, select, context),
            Statement::Set(assigns) => self.assign(shared, assigns, context)?,
            Statement::SetTransaction { session, read_only } => {
                self.set_transaction(*session, *read_only)?;
            }
            Statement::Begin { read_only } => self.begin(shared, *read_only),
            Statement::Commit { chain } => self.end(shared, true, *chain),
            Statement::Rollback { chain } => self.end(shared, false, *chain),
            Statement::Savepoint(name) => self.savepoint(name),
            Statement::RollbackTo(name) => self.roll_back_to(name)?,
            Statement::Release(name) => self.release(name)?,
            Statement::Use(name) => self.change_database(name)?,
            Statement::Insert { table, values } => {
                return self.insert_into(shared, table, values, context);
            }
            Statement::Deadlock => {
                self.roll_back(shared);
                let message = "Deadlock found when trying to get lock; try restarting transaction";
                return Err(Failure::new(1213, b"40001", message));
            }
            Statement::CreateTemporary(name) => self.create_temporary(name)?,
            Statement::DropTemporary { name, if_exists } => {
                self.drop_temporary(name, *if_exists)?;
            }
            Statement::Alter | Statement::LockTables => self.commit(shared),
            Statement::UnlockTables => {}
            Statement::Prepare { name, text } => {
                super::statements::statement(text, self.modes()).map_err(|_| Failure::syntax())?;
                self.named.insert(name.clone(), text.clone());
                self.noticed.state = true;
            }
            Statement::Execute(name) => return self.execute_named(shared, name, context),
            Statement::Deallocate(name) => {
                if self.named.remove(name).is_none() {
                    return Err(unknown_statement(name));
                }
                self.noticed.state = true;
            }
            Statement::Call { name, arguments } => {
                return self.call(shared, name, arguments, context);
            }
            Statement::ShowWarnings => {
                let row = |(level, code, text): &(&str, u16, String)| {
                    vec![
                        Value::Text((*level).into()),
                        Value::Int((*code).into()),
                        Value::Text(text.clone()),
                    ]
                };
                return Ok(Outcome::Rows(self.warnings.iter().map(row).collect()));
            }
            Statement::Nothing => return Ok(Outcome::Rows(Vec::new())),
            Statement::Signal {
                state,
                code,
                message,
            } => {
                let is_warning = state.starts_with("01");
                if !is_warning {
                    let state = state.as_bytes().first_chunk().unwrap_or(b"HY000");
                    return Err(Failure::new(*code, state, message.clone()));
                }
                self.warnings.push(("Warning", *code, message.clone()));
            }
            Statement::Kill { query, id } => shared.kill(*id, *query)?,
        }
        Ok(Outcome::ok(0))
    }

    fn set_transaction(&mut self, session: bool, read_only: bool) -> Result<(), Failure> {
        if session {
            self.set(self.read_only_name(), u8::from(read_only).to_string());
            return Ok(());
        }
        if self.transaction.is_some() {
            let message =
                "Transaction characteristics can't be changed while a transaction is in progress";
            return Err(Failure::new(1568, b"25001", message));
        }
        self.next_read_only = Some(read_only);
        Ok(())
    }

    /// Another database, if there is one of that name.
    pub(super) fn change_database(&mut self, name: &str) -> Result<(), Failure> {
        if !name.starts_with("db") {
            let message = format!("Unknown database '{name}'");
            return Err(Failure::new(1049, b"42000", message));
        }
        self.choose(name);
        Ok(())
    }

    fn create_temporary(&mut self, name: &str) -> Result<(), Failure> {
        if self.database.is_none() {
            return Err(Failure::no_database());
        }
        if self.temporary.contains_key(name) {
            let message = format!("Table '{name}' already exists");
            return Err(Failure::new(1050, b"42S01", message));
        }
        self.temporary.insert(name.into(), Vec::new());
        self.noticed.state = true;
        Ok(())
    }

    fn drop_temporary(&mut self, name: &str, if_exists: bool) -> Result<(), Failure> {
        if self.temporary.remove(name).is_some() {
            self.noticed.state = true;
            return Ok(());
        }
        let message = format!("Unknown table '{name}'");
        if !if_exists {
            return Err(Failure::new(1051, b"42S02", message));
        }
        self.warnings.push(("Note", 1051, message));
        Ok(())
    }

    fn insert_into(
        &mut self,
        shared: &mut Shared,
        table: &str,
        values: &[Expr],
        context: &Context<'_>,
    ) -> Result<Outcome, Failure> {
        let Some(database) = context.database.clone() else {
            return Err(Failure::no_database());
        };
        let mut params = context.params.iter();
        let mut row = Vec::new();
        for value in values {
            row.push(match value {
                Expr::Param => params.next().cloned().unwrap_or(Value::Null),
                value => self.value(shared, value, context)?,
            });
        }
        match (table, row.as_slice()) {
            ("log", [Value::Text(client), Value::Int(number)]) => {
                self.insert(shared, client.clone(), *number)?;
                let insert_id = self.last_insert_id as u64;
                Ok(Outcome::Ok {
                    affected: 1,
                    insert_id,
                })
            }
            (name, [Value::Int(number)]) if self.temporary.contains_key(name) => {
                if let Some(rows) = self.temporary.get_mut(name) {
                    rows.push(*number);
                }
                Ok(Outcome::ok(1))
            }
            (name, _) => Err(Failure::no_table(&database, name)),
        }
    }

    fn execute_named(
        &mut self,
        shared: &mut Shared,
        name: &str,
        context: &Context<'_>,
    ) -> Result<Outcome, Failure> {
        let text = self.named.get(name).cloned();
        let text = text.ok_or_else(|| unknown_statement(name))?;
        let read = statement(&text, self.modes()).map_err(|_| Failure::syntax())?;
        self.execute(shared, &read.0, context)
    }

    fn call(
        &mut self,
        shared: &mut Shared,
        name: &str,
        arguments: &[Expr],
        context: &Context<'_>,
    ) -> Result<Outcome, Failure> {
        match (name, arguments) {
            ("p_rows", [tag]) => {
                let rows = vec![vec![self.value(shared, tag, context)?]];
                self.note_client(shared, &rows);
                Ok(Outcome::RowsAndOk(rows))
            }
            ("p_set" | "p_fail", [Expr::Text(variable), value]) => {
                let value = self.meant(variable, value)?;
                self.set(variable, value);
                match name {
                    "p_fail" => Err(Failure::new(1644, b"45000", "as was asked for")),
                    _ => Ok(Outcome::ok(0)),
                }
            }
            _ => {
                let message = format!("PROCEDURE {name} does not exist");
                Err(Failure::new(1305, b"42000", message))
            }
        }
    }

    /// All of them or none.
    fn assign(
        &mut self,
        shared: &mut Shared,
        assigns: &[Assign],
        context: &Context<'_>,
    ) -> Result<(), Failure> {
        let mut given = Vec::new();
        for assign in assigns {
            given.push(match assign {
                Assign::Session(name, Expr::Number(id)) if name == "last_insert_id" => {
                    Given::InsertId(*id)
                }
                Assign::Session(name, value) => {
                    Given::Variable(name.clone(), self.meant(name, value)?)
                }
                Assign::Next(name, value) => {
                    let value = self.meant(name, value)?;
                    if self.transaction.is_some() {
                        let message = "Transaction characteristics can't be changed while a transaction is in progress";
                        return Err(Failure::new(1568, b"25001", message));
                    }
                    Given::Next(value == "1")
                }
                Assign::User(name, value) => {
                    let value = self.value(shared, value, context)?;
                    Given::User(name.clone(), value)
                }
                Assign::Names(charset, collation) => {
                    Given::Names(charset.clone(), collation.clone())
                }
            });
        }
        for given in given {
            self.give(shared, given)?;
        }
        Ok(())
    }

    fn give(&mut self, shared: &mut Shared, given: Given) -> Result<(), Failure> {
        match given {
            Given::Variable(name, value) => {
                let commits = name == "autocommit" && value == "1";
                if commits && !self.flag("autocommit") {
                    self.commit(shared);
                }
                self.set(&name, value);
            }
            Given::Next(read_only) => self.next_read_only = Some(read_only),
            Given::User(name, value) => {
                self.user.insert(name, value);
                self.noticed.state = true;
            }
            Given::InsertId(id) => {
                self.last_insert_id = id;
                self.noticed.state = true;
            }
            Given::Names(charset, collation) => self.set_names(&charset, collation.as_deref())?,
        }
        Ok(())
    }
}

fn unknown_statement(name: &str) -> Failure {
    let message = format!("Unknown prepared statement handler ({name}) given to EXECUTE");
    Failure::new(1243, b"HY000", message)
}
