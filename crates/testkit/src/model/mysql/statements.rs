//! What one statement says: pieces of a text into the statements that the model knows.

use super::select::{Expr, Select, expr, select};
use super::sql::{Malformed, Modes, Reader, Token, first_statement};

/// One thing that SET sets.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Assign {
    /// A variable of the session.
    Session(String, Expr),
    /// The same for the next transaction alone.
    Next(String, Expr),
    User(String, Expr),
    /// `SET NAMES`; `None` is DEFAULT.
    Names(String, Option<String>),
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Statement {
    /// Nothing but white space.
    Empty,
    Select(Select),
    Set(Vec<Assign>),
    /// `SET [SESSION] TRANSACTION READ ONLY` or its opposite.
    SetTransaction {
        session: bool,
        read_only: bool,
    },
    Begin {
        read_only: bool,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    RollbackTo(String),
    Release(String),
    Use(String),
    Insert {
        table: String,
        values: Vec<Expr>,
    },
    /// `UPDATE log SET n = deadlock`: rolls back what is open.
    Deadlock,
    CreateTemporary(String),
    DropTemporary {
        name: String,
        if_exists: bool,
    },
    /// `ALTER TABLE`: commits what is open.
    Alter,
    LockTables,
    UnlockTables,
    Prepare {
        name: String,
        text: String,
    },
    Execute(String),
    Deallocate(String),
    Call {
        name: String,
        arguments: Vec<Expr>,
    },
    ShowWarnings,
    /// A query without rows that does nothing but clear the diagnostics.
    Nothing,
    /// `SIGNAL`: raises a warning, or fails.
    Signal {
        state: String,
        code: u16,
        message: String,
    },
    Kill {
        query: bool,
        id: u32,
    },
}

/// How the proxy clears the diagnostics.
const NOTHING: &str = "SELECT 1 FROM (SELECT 1) AS t LIMIT 0";

/// Reads the first statement of a text; what is behind it, and how many parameters it has.
pub(super) fn statement(
    text: &str,
    modes: Modes,
) -> Result<(Statement, Option<&str>, u16), Malformed> {
    if text == NOTHING {
        return Ok((Statement::Nothing, None, 0));
    }
    let (tokens, rest) = first_statement(text, modes)?;
    let mut reader = Reader { tokens: &tokens };
    let statement = read(&mut reader)?;
    if !reader.at_end() {
        return Err(Malformed);
    }
    let marks = tokens.iter().filter(|token| **token == Token::Sign('?'));
    Ok((statement, rest, marks.count() as u16))
}

fn read(reader: &mut Reader<'_>) -> Result<Statement, Malformed> {
    let Some(Token::Word(first)) = reader.next() else {
        return match reader.at_end() {
            true => Ok(Statement::Empty),
            false => Err(Malformed),
        };
    };
    Ok(match first.as_str() {
        "select" => Statement::Select(select(reader)?),
        "set" => return set(reader),
        "begin" => Statement::Begin { read_only: false },
        "start" if reader.takes("transaction read only") => Statement::Begin { read_only: true },
        "start" if reader.takes("transaction") => Statement::Begin { read_only: false },
        "commit" => Statement::Commit {
            chain: reader.takes("and chain"),
        },
        "rollback" if reader.takes("to savepoint") => Statement::RollbackTo(reader.name()?),
        "rollback" => Statement::Rollback {
            chain: reader.takes("and chain"),
        },
        "savepoint" => Statement::Savepoint(reader.name()?),
        "release" if reader.takes("savepoint") => Statement::Release(reader.name()?),
        "use" => Statement::Use(reader.name()?),
        "insert" if reader.takes("into") => insert(reader)?,
        "update" if reader.takes("log set n") => {
            reader.sign('=')?;
            match reader.takes("deadlock") {
                true => Statement::Deadlock,
                false => return Err(Malformed),
            }
        }
        "create" if reader.takes("temporary table") => {
            let name = reader.name()?;
            while reader.next().is_some() {}
            Statement::CreateTemporary(name)
        }
        "drop" if reader.takes("temporary table") => Statement::DropTemporary {
            if_exists: reader.takes("if exists"),
            name: reader.name()?,
        },
        "alter" if reader.takes("table") => {
            while reader.next().is_some() {}
            Statement::Alter
        }
        "lock" if reader.takes("tables") => {
            while reader.next().is_some() {}
            Statement::LockTables
        }
        "unlock" if reader.takes("tables") => Statement::UnlockTables,
        "prepare" => {
            let name = reader.name()?;
            if !reader.takes("from") {
                return Err(Malformed);
            }
            Statement::Prepare {
                name,
                text: reader.text()?,
            }
        }
        "execute" => Statement::Execute(reader.name()?),
        "deallocate" if reader.takes("prepare") => Statement::Deallocate(reader.name()?),
        "call" => call(reader)?,
        "show" if reader.takes("warnings") => Statement::ShowWarnings,
        "signal" if reader.takes("sqlstate") => signal(reader)?,
        "kill" => Statement::Kill {
            query: reader.takes("query"),
            id: u32::try_from(reader.number()?).map_err(|_| Malformed)?,
        },
        _ => return Err(Malformed),
    })
}

/// As the proxy writes it: number and message, the latter in hexadecimal digits.
fn signal(reader: &mut Reader<'_>) -> Result<Statement, Malformed> {
    let state = reader.text()?;
    if !reader.takes("set mysql_errno") {
        return Err(Malformed);
    }
    reader.sign('=')?;
    let code = u16::try_from(reader.number()?).map_err(|_| Malformed)?;
    reader.sign(',')?;
    if !reader.takes("message_text") {
        return Err(Malformed);
    }
    reader.sign('=')?;
    if !reader.takes("_utf8mb4 x") {
        return Err(Malformed);
    }
    let digits = reader.text()?;
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    let message = String::from_utf8(bytes.ok_or(Malformed)?).map_err(|_| Malformed)?;
    Ok(Statement::Signal {
        state,
        code,
        message,
    })
}

fn list(reader: &mut Reader<'_>) -> Result<Vec<Expr>, Malformed> {
    let mut found = Vec::new();
    reader.sign('(')?;
    if reader.takes_sign(')') {
        return Ok(found);
    }
    loop {
        found.push(expr(reader)?);
        if !reader.takes_sign(',') {
            break;
        }
    }
    reader.sign(')')?;
    Ok(found)
}

fn insert(reader: &mut Reader<'_>) -> Result<Statement, Malformed> {
    let table = reader.name()?;
    if !reader.takes("values") {
        return Err(Malformed);
    }
    Ok(Statement::Insert {
        table,
        values: list(reader)?,
    })
}

fn call(reader: &mut Reader<'_>) -> Result<Statement, Malformed> {
    Ok(Statement::Call {
        name: reader.name()?,
        arguments: list(reader)?,
    })
}

fn set(reader: &mut Reader<'_>) -> Result<Statement, Malformed> {
    for (words, session) in [("transaction", false), ("session transaction", true)] {
        if reader.takes(words) {
            let read_only = reader.takes("read only");
            if !read_only && !reader.takes("read write") {
                return Err(Malformed);
            }
            return Ok(Statement::SetTransaction { session, read_only });
        }
    }
    if reader.takes("role none") {
        return Ok(Statement::Set(Vec::new()));
    }
    let mut found = Vec::new();
    loop {
        found.push(assign(reader)?);
        if !reader.takes_sign(',') {
            return Ok(Statement::Set(found));
        }
    }
}

fn assign(reader: &mut Reader<'_>) -> Result<Assign, Malformed> {
    if reader.takes("names") {
        let charset = word_or_text(reader)?;
        let collation = match reader.takes("collate") {
            true => Some(word_or_text(reader)?),
            false => None,
        };
        return Ok(Assign::Names(charset, collation));
    }
    let is_system = reader.tokens.first() == Some(&Token::System);
    if is_system {
        reader.next();
    }
    if let Some(Token::User(name)) = reader.tokens.first() {
        reader.next();
        reader.sign('=')?;
        return Ok(Assign::User(name.clone(), expr(reader)?));
    }
    let mut is_session = !is_system;
    if is_system && reader.takes("session") {
        reader.sign('.')?;
        is_session = true;
    } else if !is_system {
        reader.takes("session");
    }
    let name = reader.name()?;
    reader.sign('=')?;
    let value = expr(reader)?;
    // Without SESSION, `@@` means the next transaction alone where there is such a thing.
    let is_next = !is_session
        && matches!(
            name.as_str(),
            "transaction_isolation" | "transaction_read_only" | "tx_isolation" | "tx_read_only"
        );
    Ok(match is_next {
        true => Assign::Next(name, value),
        false => Assign::Session(name, value),
    })
}

fn word_or_text(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    match reader.next() {
        Some(Token::Word(text) | Token::Text(text)) => Ok(text.clone()),
        _ => Err(Malformed),
    }
}
