//! SELECT: what a list of expressions says, and what it comes to in a session.

use super::reply::Outcome;
use super::server::Shared;
use super::session::{Failure, Session};
use super::sql::{Malformed, Reader, Token};
use crate::model::Wait;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Text(String),
}

impl Value {
    /// As text rows have it.
    pub(super) fn shown(&self) -> Option<String> {
        match self {
            Value::Null => None,
            Value::Int(number) => Some(number.to_string()),
            Value::Text(text) => Some(text.clone()),
        }
    }
}

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expr {
    Text(String),
    Number(i64),
    Null,
    /// `DEFAULT`, and other bare words of SET.
    Word(String),
    /// A column, quoted as a name.
    Name(String),
    Variable {
        global: bool,
        name: String,
    },
    User(String),
    AssignUser(String, Box<Expr>),
    Param,
    Call(String, Vec<Expr>),
}

/// What a SELECT is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Select {
    pub(super) items: Vec<Expr>,
    into: Option<String>,
    from: Option<From>,
}

/// Where rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum From {
    /// `numbers WHERE n <= max`: the items, and each number.
    Numbers(i64),
    /// A table, with `client = 'c7'` where it says so.
    Table(String, Option<String>),
}

/// Behind the word SELECT.
pub(super) fn select(reader: &mut Reader<'_>) -> Result<Select, Malformed> {
    let mut items = Vec::new();
    loop {
        items.push(expr(reader)?);
        if !reader.takes_sign(',') {
            break;
        }
    }
    let into = match reader.takes("into") {
        true => match reader.next() {
            Some(Token::User(name)) => Some(name.clone()),
            _ => return Err(Malformed),
        },
        false => None,
    };
    let from = match reader.takes("from") {
        true => Some(from(reader)?),
        false => None,
    };
    Ok(Select { items, into, from })
}

fn from(reader: &mut Reader<'_>) -> Result<From, Malformed> {
    let table = reader.name()?;
    if table == "numbers" {
        if !reader.takes("where n") {
            return Err(Malformed);
        }
        reader.sign('<')?;
        reader.sign('=')?;
        return Ok(From::Numbers(reader.number()?));
    }
    let client = match reader.takes("where client") {
        true => {
            reader.sign('=')?;
            Some(reader.text()?)
        }
        false => None,
    };
    Ok(From::Table(table, client))
}

/// One expression.
pub(super) fn expr(reader: &mut Reader<'_>) -> Result<Expr, Malformed> {
    Ok(match reader.next().ok_or(Malformed)? {
        Token::Text(text) => Expr::Text(text.clone()),
        // Larger ones are values of variables, and stay texts.
        Token::Number(number) => number
            .parse()
            .map_or_else(|_| Expr::Text(number.clone()), Expr::Number),
        Token::Sign('?') => Expr::Param,
        Token::Name(name) => Expr::Name(name.clone()),
        Token::User(name) => match reader.takes_sign(':') {
            true => Expr::AssignUser(name.clone(), Box::new(expr(reader)?)),
            false => Expr::User(name.clone()),
        },
        Token::System => {
            let mut global = false;
            for (scope, is_global) in [("session", false), ("global", true)] {
                if reader.takes(scope) {
                    reader.sign('.')?;
                    global = is_global;
                }
            }
            let name = reader.name()?;
            Expr::Variable { global, name }
        }
        Token::Word(word) if word == "null" => Expr::Null,
        Token::Word(word) if reader.takes_sign('(') => {
            let mut arguments = Vec::new();
            if !reader.takes_sign(')') {
                loop {
                    if reader.takes_sign('*') {
                        arguments.push(Expr::Null);
                    } else {
                        arguments.push(expr(reader)?);
                    }
                    if reader.takes("as signed") || !reader.takes_sign(',') {
                        break;
                    }
                }
                reader.sign(')')?;
            }
            Expr::Call(word.clone(), arguments)
        }
        Token::Word(word) => Expr::Word(word.clone()),
        Token::Sign(_) => return Err(Malformed),
    })
}

impl Select {
    /// A column that does not exist: what a server finds when it prepares.
    pub(super) fn unknown_column(&self) -> Option<Failure> {
        let is_table = self.from.is_some();
        self.items.iter().find_map(|item| match item {
            Expr::Name(name) => Some(Failure::unknown_column(name)),
            Expr::Word(name) if !is_table => Some(Failure::unknown_column(name)),
            _ => None,
        })
    }

    /// The statement's table, which needs a database.
    pub(super) fn needs_database(&self) -> bool {
        self.from.is_some()
    }

    /// How many columns its rows have.
    pub(super) fn columns(&self) -> u16 {
        match (&self.into, &self.from) {
            (Some(_), _) => 0,
            (None, Some(From::Numbers(_))) => self.items.len() as u16 + 1,
            (None, _) => self.items.len() as u16,
        }
    }
}

/// How a statement runs: as it was prepared, or as the session is now.
pub(super) struct Context<'a> {
    /// Values of parameters.
    pub(super) params: &'a [Value],
    /// The database that its tables are in.
    pub(super) database: Option<String>,
    /// The collation of its literals.
    pub(super) collation: String,
}

impl Session {
    /// Runs a SELECT.
    pub(super) fn select(
        &mut self,
        shared: &mut Shared,
        select: &Select,
        context: &Context<'_>,
    ) -> Result<Outcome, Failure> {
        if let Some(failure) = select.unknown_column() {
            return Err(failure);
        }
        if let [Expr::Call(name, arguments), ..] = select.items.as_slice()
            && let Some(wait) = self.waits_for(shared, name, arguments)
        {
            return Ok(Outcome::Wait(wait));
        }
        let rows = match &select.from {
            None => vec![self.row(shared, &select.items, context)?],
            Some(From::Numbers(_)) if context.database.is_none() => {
                return Err(Failure::no_database());
            }
            Some(From::Numbers(max)) => {
                self.touch_tables();
                let row = self.row(shared, &select.items, context)?;
                let with = |n: i64| {
                    let mut row = row.clone();
                    row.push(Value::Int(n));
                    row
                };
                (1..=*max).map(with).collect()
            }
            Some(From::Table(table, client)) => {
                vec![vec![self.of_table(
                    shared,
                    table,
                    client.as_deref(),
                    context,
                )?]]
            }
        };
        self.note_client(shared, &rows);
        self.found_rows = rows.len() as i64;
        if let Some(name) = &select.into {
            // Not told by any tracker.
            self.user.insert(name.clone(), rows[0][0].clone());
            return Ok(Outcome::ok(1));
        }
        Ok(Outcome::Rows(rows))
    }

    fn waits_for(&self, shared: &Shared, name: &str, arguments: &[Expr]) -> Option<Wait> {
        match (name, arguments) {
            ("sleep", [Expr::Number(seconds)]) if !self.has_slept => {
                Some(Wait::Sleep { seconds: *seconds })
            }
            ("get_lock", [Expr::Text(name), _]) => {
                let key = shared.lock_key(name);
                let owner = shared.locks.get(&key);
                owner
                    .is_some_and(|owner| owner.0 != self.id)
                    .then_some(Wait::Lock { key })
            }
            _ => None,
        }
    }

    fn of_table(
        &mut self,
        shared: &Shared,
        table: &str,
        client: Option<&str>,
        context: &Context<'_>,
    ) -> Result<Value, Failure> {
        let Some(database) = &context.database else {
            return Err(Failure::no_database());
        };
        match table {
            "log" => {
                self.touch_tables();
                let client = client.unwrap_or_default();
                let own = self.rows_of(client);
                let committed = shared.committed(client).len();
                Ok(Value::Int((committed + own) as i64))
            }
            "whereami" => {
                self.touch_tables();
                Ok(Value::Text(database.clone()))
            }
            name => match self.temporary.get(name) {
                Some(rows) => Ok(Value::Int(rows.len() as i64)),
                None => Err(Failure::no_table(database, name)),
            },
        }
    }

    fn row(
        &mut self,
        shared: &mut Shared,
        items: &[Expr],
        context: &Context<'_>,
    ) -> Result<Vec<Value>, Failure> {
        let mut params = context.params.iter();
        let mut row = Vec::new();
        for item in items {
            let value = match item {
                Expr::Param => params.next().cloned().unwrap_or(Value::Null),
                item => self.value(shared, item, context)?,
            };
            row.push(value);
        }
        Ok(row)
    }

    /// What an expression comes to.
    pub(super) fn value(
        &mut self,
        shared: &mut Shared,
        expr: &Expr,
        context: &Context<'_>,
    ) -> Result<Value, Failure> {
        Ok(match expr {
            Expr::Text(text) => Value::Text(text.clone()),
            Expr::Number(number) => Value::Int(*number),
            Expr::Null | Expr::Param => Value::Null,
            Expr::Word(name) | Expr::Name(name) => return Err(Failure::unknown_column(name)),
            Expr::Variable { global, name } => self.variable(name, *global)?,
            Expr::User(name) => self.user.get(name).cloned().unwrap_or(Value::Null),
            Expr::AssignUser(name, value) => {
                let value = self.value(shared, value, context)?;
                self.user.insert(name.clone(), value.clone());
                value
            }
            Expr::Call(name, arguments) => self.call_function(shared, name, arguments, context)?,
        })
    }

    fn call_function(
        &mut self,
        shared: &mut Shared,
        name: &str,
        arguments: &[Expr],
        context: &Context<'_>,
    ) -> Result<Value, Failure> {
        let first = match arguments.first() {
            Some(argument) => self.value(shared, argument, context)?,
            None => Value::Null,
        };
        let lock = |shared: &Shared| match &first {
            Value::Text(name) => shared.lock_key(name),
            _ => 0,
        };
        Ok(match name {
            "sleep" => {
                self.has_slept = false;
                Value::Int(0)
            }
            "touch" => first,
            "last_insert_id" => Value::Int(self.last_insert_id),
            "row_count" => Value::Int(self.row_count_before),
            "found_rows" => Value::Int(self.found_rows),
            "database" => self.database.clone().map_or(Value::Null, Value::Text),
            "collation" => Value::Text(context.collation.clone()),
            "count" => Value::Null,
            // There are no roles; MariaDB says so with NULL, which is read alike.
            "current_role" => Value::Text("NONE".to_owned()),
            "cast" => {
                if let Value::Text(text) = first {
                    self.warn(1292, format!("Truncated incorrect INTEGER value: '{text}'"));
                }
                Value::Int(0)
            }
            "get_lock" => {
                let key = lock(shared);
                shared.locks.entry(key).or_insert((self.id, 0)).1 += 1;
                Value::Int(1)
            }
            "release_lock" => {
                let key = lock(shared);
                match shared.locks.get_mut(&key) {
                    Some((owner, count)) if *owner == self.id => {
                        *count -= 1;
                        if *count == 0 {
                            shared.locks.remove(&key);
                        }
                        Value::Int(1)
                    }
                    Some(_) => Value::Int(0),
                    None => Value::Null,
                }
            }
            "release_all_locks" => Value::Int(shared.release_locks(self.id)),
            _ => return Err(Failure::no_function(name)),
        })
    }
}
