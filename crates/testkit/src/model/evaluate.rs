//! Expressions to values, values to bytes: types, columns, functions, text and binary formats.
//!
//! A function that must wait (`pg_sleep`, `pg_advisory_lock`) gives [`Halt::Wait`]; once the wait is over the whole
//! select list is evaluated again from its start, so a list should wait at its first element.

use super::backend::Column;
use super::error::PgError;
use super::gucs;
use super::server::{Shared, Wait};
use super::session::Session;
use super::sql::{Expr, Query, Scope, Statement, Type};

/// A value of one of the model's types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bool(bool),
    Void,
}

/// Why an evaluation did not give a value.
#[derive(Debug)]
pub(crate) enum Halt {
    Error(PgError),
    Wait(Wait),
}

impl From<PgError> for Halt {
    fn from(error: PgError) -> Self {
        Self::Error(error)
    }
}

/// Rows of `generate(n)` per statement, and bytes per row: what a test may ask for, far below what memory holds.
const GENERATE_ROWS_MAX: i64 = 10_000_000;
const GENERATE_BYTES_MAX: i64 = 1 << 20;

/// Rows not read yet.
#[derive(Debug)]
pub(crate) enum Rows {
    List(std::vec::IntoIter<Vec<Value>>),
    Generate {
        next: i64,
        count: i64,
        size: usize,
        tag: String,
    },
}

impl Rows {
    pub(crate) fn one(row: Vec<Value>) -> Self {
        Self::List(vec![row].into_iter())
    }
}

impl Iterator for Rows {
    type Item = Vec<Value>;

    fn next(&mut self) -> Option<Vec<Value>> {
        match self {
            Self::List(rows) => rows.next(),
            Self::Generate {
                next,
                count,
                size,
                tag,
            } => {
                *next += 1;
                (*next <= *count).then(|| vec![Value::Text(generated_row(tag, *next, *size))])
            }
        }
    }
}

/// Row `number` (from 1) of `generate`: the tag, the number, and dots up to the size in bytes.
pub(crate) fn generated_row(tag: &str, number: i64, size: usize) -> String {
    let mut row = format!("{tag}:{number}:");
    while row.len() < size {
        row.push('.');
    }
    row
}

impl Type {
    /// The type's object id in `pg_type`.
    pub(crate) fn oid(self) -> u32 {
        match self {
            Self::Bool => 16,
            Self::Int8 => 20,
            Self::Int4 => 23,
            Self::Text => 25,
            Self::Void => 2278,
        }
    }

    /// The type a client declared in Parse; 0 leaves it open, unknown ones count as text.
    pub(crate) fn declared(oid: u32) -> Option<Self> {
        match oid {
            0 => None,
            16 => Some(Self::Bool),
            20 => Some(Self::Int8),
            23 => Some(Self::Int4),
            _ => Some(Self::Text),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
            Self::Text => "text",
            Self::Void => "void",
        }
    }
}

/// `typlen` of a type: what RowDescription shows.
pub(crate) fn type_size(oid: u32) -> i16 {
    match oid {
        16 => 1,
        20 => 8,
        23 | 2278 => 4,
        _ => -1,
    }
}

/// The columns of a statement that returns rows, all in text format; `None` for the others.
pub(crate) fn columns(statement: &Statement, params: &[Type]) -> Option<Vec<Column>> {
    let column = |name: &str, kind: Type| Column {
        name: name.to_owned(),
        type_oid: kind.oid(),
        format: 0,
    };
    match statement {
        Statement::Query(Query::List(list)) => Some(
            list.iter()
                .map(|expr| column(&column_name(expr), type_of(expr, params)))
                .collect(),
        ),
        Statement::Query(Query::Generate(_)) => Some(vec![column("generate", Type::Text)]),
        Statement::Query(Query::CountLog(_)) => Some(vec![column("count", Type::Int8)]),
        Statement::Probe(_) => Some(
            ["kind", "name", "setting", "shown"]
                .map(|name| column(name, Type::Text))
                .into(),
        ),
        Statement::Show(name) => {
            let shown = gucs::find(name).map_or(name.as_str(), |guc| guc.name);
            Some(vec![column(shown, Type::Text)])
        }
        _ => None,
    }
}

fn column_name(expr: &Expr) -> String {
    match expr {
        Expr::Call(name, _) => name.clone(),
        Expr::Bool(_) => "bool".into(),
        Expr::Cast(inner, to) => match &**inner {
            Expr::Call(name, _) => name.clone(),
            _ => to.name().into(),
        },
        _ => "?column?".into(),
    }
}

fn type_of(expr: &Expr, params: &[Type]) -> Type {
    match expr {
        Expr::Int(value) if i32::try_from(*value).is_ok() => Type::Int4,
        Expr::Int(_) => Type::Int8,
        Expr::Bool(_) => Type::Bool,
        Expr::Null | Expr::Text(_) => Type::Text,
        Expr::Param(number) => params.get(number - 1).copied().unwrap_or(Type::Text),
        Expr::Cast(_, to) => *to,
        Expr::Call(name, _) => match name.as_str() {
            "pg_backend_pid" => Type::Int4,
            "pg_sleep" | "pg_advisory_lock" | "pg_advisory_unlock_all" => Type::Void,
            "pg_advisory_unlock" | "pg_is_in_recovery" => Type::Bool,
            _ => Type::Text,
        },
    }
}

/// The bytes of a value in one column's type and format.
pub(crate) fn encode(value: &Value, column: &Column) -> Option<Vec<u8>> {
    let text = match value {
        Value::Null => return None,
        Value::Void => return Some(Vec::new()),
        Value::Int(number) if column.format == 1 && column.type_oid == 20 => {
            return Some(number.to_be_bytes().to_vec());
        }
        Value::Int(number) if column.format == 1 && column.type_oid == 23 => {
            return Some((*number as i32).to_be_bytes().to_vec());
        }
        Value::Bool(on) if column.format == 1 => return Some(vec![u8::from(*on)]),
        Value::Int(number) => number.to_string(),
        Value::Bool(on) => if *on { "t" } else { "f" }.to_owned(),
        Value::Text(text) => text.clone(),
    };
    Some(text.into_bytes())
}

/// Reads parameter number `at` (from 1) as it came in a Bind.
pub(crate) fn decode(bytes: &[u8], kind: Type, format: i16, at: usize) -> Result<Value, PgError> {
    let binary = || {
        PgError::error(
            "22P03",
            format!("incorrect binary data format in bind parameter {at}"),
        )
    };
    match (kind, format) {
        (Type::Int4, 1) => {
            let bytes = bytes.try_into().map_err(|_| binary())?;
            Ok(Value::Int(i32::from_be_bytes(bytes).into()))
        }
        (Type::Int8, 1) => Ok(Value::Int(i64::from_be_bytes(
            bytes.try_into().map_err(|_| binary())?,
        ))),
        (Type::Bool, 1) => match bytes {
            [byte] => Ok(Value::Bool(*byte != 0)),
            _ => Err(binary()),
        },
        _ => {
            let text = std::str::from_utf8(bytes).map_err(|_| {
                PgError::error("22021", "invalid byte sequence for encoding \"UTF8\"")
            })?;
            cast(Value::Text(text.to_owned()), kind)
        }
    }
}

fn cast(value: Value, to: Type) -> Result<Value, PgError> {
    match (value, to) {
        (Value::Text(text), Type::Int4 | Type::Int8) => integer(&text, to).map(Value::Int),
        (Value::Text(text), Type::Bool) => gucs::boolean(&text).map(Value::Bool).ok_or_else(|| {
            PgError::error(
                "22P02",
                format!("invalid input syntax for type boolean: \"{text}\""),
            )
        }),
        (Value::Int(number), Type::Text) => Ok(Value::Text(number.to_string())),
        (Value::Bool(on), Type::Text) => Ok(Value::Text(on.to_string())),
        (value, _) => Ok(value),
    }
}

fn integer(text: &str, kind: Type) -> Result<i64, PgError> {
    let name = if kind == Type::Int4 {
        "integer"
    } else {
        "bigint"
    };
    let number: i64 = text.trim().parse().map_err(|_| {
        PgError::error(
            "22P02",
            format!("invalid input syntax for type {name}: \"{text}\""),
        )
    })?;
    if kind == Type::Int4 && i32::try_from(number).is_err() {
        let message = format!("value \"{text}\" is out of range for type integer");
        return Err(PgError::error("22003", message));
    }
    Ok(number)
}

/// One evaluation: the session and server it reads and changes, and the parameters in force.
pub(crate) struct Evaluation<'a> {
    pub(crate) session: &'a mut Session,
    pub(crate) shared: &'a mut Shared,
    pub(crate) params: &'a [Value],
}

impl Evaluation<'_> {
    pub(crate) fn query(&mut self, query: &Query) -> Result<Rows, Halt> {
        match query {
            Query::List(list) => {
                let row = list
                    .iter()
                    .map(|expr| self.value(expr))
                    .collect::<Result<_, _>>()?;
                Ok(Rows::one(row))
            }
            Query::Generate(args) => self.generate(args),
            Query::CountLog(None) => {
                let count = self.shared.log_len() + self.session.undoable.rows.len();
                Ok(Rows::one(vec![Value::Int(count as i64)]))
            }
            Query::CountLog(Some(client)) => {
                let client = self.text(client)?;
                let own = self
                    .session
                    .undoable
                    .rows
                    .iter()
                    .filter(|row| row.0 == client)
                    .count();
                let count = self.shared.committed(&client).len() + own;
                Ok(Rows::one(vec![Value::Int(count as i64)]))
            }
        }
    }

    fn generate(&mut self, args: &[Expr]) -> Result<Rows, Halt> {
        let mut number = |at: usize, default: i64, max: i64| match args.get(at) {
            Some(expr) => self.int(expr).map(|n| n.clamp(0, max)),
            None => Ok(default),
        };
        let count = number(0, 0, GENERATE_ROWS_MAX)?;
        let size = number(1, 64, GENERATE_BYTES_MAX)? as usize;
        let tag = match args.get(2) {
            Some(expr) => self.text(expr)?,
            None => "row".to_owned(),
        };
        Ok(Rows::Generate {
            next: 0,
            count,
            size,
            tag,
        })
    }

    pub(crate) fn value(&mut self, expr: &Expr) -> Result<Value, Halt> {
        Ok(match expr {
            Expr::Null => Value::Null,
            Expr::Int(number) => Value::Int(*number),
            Expr::Bool(on) => Value::Bool(*on),
            Expr::Text(text) => self.tagged(text.clone()),
            Expr::Param(number) => match self.params.get(number - 1) {
                Some(Value::Text(text)) => self.tagged(text.clone()),
                Some(value) => value.clone(),
                None => {
                    return Err(PgError::error(
                        "42P02",
                        format!("there is no parameter ${number}"),
                    )
                    .into());
                }
            },
            Expr::Cast(inner, to) => cast(self.value(inner)?, *to)?,
            Expr::Call(name, args) => self.call(name, args)?,
        })
    }

    fn tagged(&mut self, text: String) -> Value {
        self.session.xact.note_owner(&text);
        Value::Text(text)
    }

    pub(crate) fn text(&mut self, expr: &Expr) -> Result<String, Halt> {
        match cast(self.value(expr)?, Type::Text)? {
            Value::Text(text) => Ok(text),
            _ => Ok(String::new()),
        }
    }

    pub(crate) fn int(&mut self, expr: &Expr) -> Result<i64, Halt> {
        match cast(self.value(expr)?, Type::Int8)? {
            Value::Int(number) => Ok(number),
            _ => Err(PgError::error("22004", "null value not allowed").into()),
        }
    }

    fn bool(&mut self, expr: &Expr) -> Result<bool, Halt> {
        Ok(cast(self.value(expr)?, Type::Bool)? == Value::Bool(true))
    }

    fn call(&mut self, name: &str, args: &[Expr]) -> Result<Value, Halt> {
        let text = |text: &str| Ok(Value::Text(text.to_owned()));
        match (name, args) {
            ("pg_backend_pid", []) => Ok(Value::Int(self.session.pid.into())),
            ("whoami", []) => Ok(Value::Text(self.session.whoami(self.shared))),
            ("current_user", []) => text(self.session.current_user()),
            ("session_user", []) => text(self.session.session_user()),
            ("version", []) => text("PostgreSQL 18.1 (model)"),
            ("pg_is_in_recovery", []) => Ok(Value::Bool(self.shared.in_recovery)),
            ("coalesce", args) => self.coalesce(args),
            ("current_setting", [name]) => self.current_setting(name, false),
            ("current_setting", [name, missing_ok]) => {
                let missing_ok = self.bool(missing_ok)?;
                self.current_setting(name, missing_ok)
            }
            ("set_config", [name, value, local]) => self.set_config(name, value, local),
            ("fail", [code]) => {
                let code = self.text(code)?;
                let message = format!("failure {code} was asked for");
                Err(PgError::error(code, message).into())
            }
            ("pg_sleep", [seconds]) => self.sleep(seconds),
            ("pg_advisory_lock", [key]) => self.lock(key),
            ("pg_advisory_unlock", [key]) => self.unlock(key),
            ("pg_advisory_unlock_all", []) => {
                self.session.unlock_all(self.shared);
                Ok(Value::Void)
            }
            _ => {
                let message = format!("function {name} does not exist");
                Err(PgError::error("42883", message).into())
            }
        }
    }

    fn coalesce(&mut self, args: &[Expr]) -> Result<Value, Halt> {
        for arg in args {
            let value = self.value(arg)?;
            if value != Value::Null {
                return Ok(value);
            }
        }
        Ok(Value::Null)
    }

    fn current_setting(&mut self, name: &Expr, missing_ok: bool) -> Result<Value, Halt> {
        let name = self.text(name)?;
        match self.session.setting(self.shared, &name) {
            Some(value) => Ok(Value::Text(value)),
            None if missing_ok => Ok(Value::Null),
            None => Err(gucs::unknown(&name).into()),
        }
    }

    fn set_config(&mut self, name: &Expr, value: &Expr, local: &Expr) -> Result<Value, Halt> {
        let name = self.text(name)?;
        let raw = match self.value(value)? {
            Value::Null => None,
            value => match cast(value, Type::Text)? {
                Value::Text(text) => Some(text),
                _ => None,
            },
        };
        let scope = if self.bool(local)? {
            Scope::Local
        } else {
            Scope::Session
        };
        self.session.assign(self.shared, scope, &name, raw)?;
        Ok(Value::Text(
            self.session.setting(self.shared, &name).unwrap_or_default(),
        ))
    }

    fn sleep(&mut self, seconds: &Expr) -> Result<Value, Halt> {
        let seconds = self.int(seconds)?;
        if self.session.waited {
            return Ok(Value::Void);
        }
        Err(Halt::Wait(Wait::Sleep { seconds }))
    }

    fn lock(&mut self, key: &Expr) -> Result<Value, Halt> {
        let key = self.int(key)?;
        let owner = *self.shared.locks.entry(key).or_insert(self.session.id);
        if owner != self.session.id {
            return Err(Halt::Wait(Wait::Lock { key }));
        }
        *self.session.locks.entry(key).or_insert(0) += 1;
        Ok(Value::Void)
    }

    fn unlock(&mut self, key: &Expr) -> Result<Value, Halt> {
        let key = self.int(key)?;
        let Some(count) = self.session.locks.get_mut(&key) else {
            let message = "you don't own a lock of type ExclusiveLock";
            self.session.notice(PgError::warning("01000", message));
            return Ok(Value::Bool(false));
        };
        *count -= 1;
        if *count == 0 {
            self.session.locks.remove(&key);
            self.shared.locks.remove(&key);
        }
        Ok(Value::Bool(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_both_formats() {
        let column = |type_oid, format| Column {
            name: String::new(),
            type_oid,
            format,
        };
        assert_eq!(
            encode(&Value::Int(7), &column(23, 1)),
            Some(vec![0, 0, 0, 7])
        );
        assert_eq!(
            encode(&Value::Int(7), &column(20, 1)),
            Some(vec![0, 0, 0, 0, 0, 0, 0, 7])
        );
        assert_eq!(encode(&Value::Int(7), &column(20, 0)), Some(b"7".to_vec()));
        assert_eq!(encode(&Value::Null, &column(20, 0)), None);
    }

    #[test]
    fn parameters_that_do_not_fit_their_type_are_refused_by_name() {
        assert_eq!(
            decode(b"x", Type::Int4, 0, 1)
                .expect_err("not a number")
                .code,
            "22P02"
        );
        assert_eq!(
            decode(b"xy", Type::Int8, 1, 1).expect_err("too short").code,
            "22P03"
        );
        assert_eq!(
            decode(&[0xff], Type::Text, 0, 1)
                .expect_err("not UTF-8")
                .code,
            "22021"
        );
        assert_eq!(
            decode(&7i32.to_be_bytes(), Type::Int4, 1, 1),
            Ok(Value::Int(7))
        );
    }

    #[test]
    fn generated_rows_have_their_size() {
        assert_eq!(generated_row("c1.2", 3, 10), "c1.2:3:...");
        assert_eq!(
            Rows::Generate {
                next: 0,
                count: 5,
                size: 9,
                tag: "t".into()
            }
            .count(),
            5
        );
    }
}
