//! What the text of a command does to the session that sends it, read off without a parser of SQL.
//!
//! | module | answers |
//! | --- | --- |
//! | `dialect` | by which facts a text is read |
//! | `lexer`, `bytes` | where tokens begin and end (`sql_lex.cc`) |
//! | `words` | which words are reserved, which functions are harmless, which touch the session |
//! | `scan` | what a query calls, reads and writes |
//! | `statement`, `administration` | what one statement does |
//! | `compound` | where a statement ends that has others inside |
//! | `prepared` | which statement PREPARE makes and EXECUTE runs |
//! | `setting` | what SET sets, and how to set it again elsewhere |
//! | `variables` | which variables there are, and which can be set again elsewhere |
//! | `calls` | whether a text calls functions that an operator has named |
//! | `mentioned` | which user variables a text speaks of |
//! | `constant`, `quote` | values out of SQL, and back into it |
//! | `fact`, `explain`, `watch` | what a statement relies on, and why it is taken for what it is |
//! | `fingerprint`, `shown` | which statements are the same but for their constants, for tables and for people |
//!
//! Invariants: nothing is `Effect::Plain` without facts that touches a session, as far as the text tells; doubt is
//! `Effect::Opaque` or a fact. The text does not tell of code behind views, triggers and generated columns, nor of functions that
//! a loadable plugin brought under the name of one of the server's.

mod administration;
mod bytes;
mod calls;
mod compound;
mod constant;
mod dialect;
mod explain;
mod fact;
mod fingerprint;
mod lexer;
mod mentioned;
mod prepared;
pub mod quote;
mod reader;
mod scan;
mod setting;
mod shown;
mod statement;
#[cfg(test)]
mod tests;
mod variables;
mod watch;
mod words;

use std::ops::Range;

pub use calls::calls;
pub use dialect::{Charset, Dialect, Family, Modes};
pub use explain::{Explained, Finding, explain};
pub use fact::{Fact, Facts};
pub use fingerprint::{Fingerprint, fingerprint, normalized};
use lexer::{Kind, Lexer, TEXT_BYTES_MAX};
pub use mentioned::mentioned;
pub use prepared::Prepares;
pub use quote::{quote_identifier, quote_literal};
pub use setting::{
    Assignment, Characteristics, Isolation, Role, SetValue, Target, TransactionScope,
};
pub use variables::{Form, Replay, SharedStorage, Variable, canonical, variable};
use watch::{Unwatched, Watch};

/// Most statements of one text that are told apart; what follows is one more, which cannot be read.
const STATEMENTS_MAX: usize = 1000;

/// What a whole text (one or several statements) does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// One statement.
    One(Statement),
    /// One for each statement, in order; none, if there is nothing but white space and semicolons. A comment behind the last is
    /// one more, as the servers answer it.
    ///
    /// The server reads a statement only when it has run those before, and runs none behind one that failed. If the text
    /// cannot be read to its end, the last is `Opaque` and `Unreadable`, and stands for all that may follow.
    Several(Vec<Statement>),
}

impl Class {
    /// The statements in order.
    pub fn statements(&self) -> &[Statement] {
        match self {
            Class::One(statement) => std::slice::from_ref(statement),
            Class::Several(statements) => statements,
        }
    }

    /// Whether no statement does or reads anything that a session could notice.
    pub fn is_pure(&self) -> bool {
        self.statements().iter().all(Statement::is_pure)
    }

    /// All that the statements have in common or apart.
    pub fn facts(&self) -> Facts {
        self.statements()
            .iter()
            .fold(Facts::NONE, |facts, statement| facts.and(statement.facts))
    }
}

/// What one statement does, should it succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it does as such.
    pub effect: Effect,
    /// What it does or relies on besides.
    pub facts: Facts,
}

impl Statement {
    fn new(effect: Effect, facts: Facts) -> Self {
        Statement { effect, facts }
    }

    /// Whether it does or reads nothing that a session could notice.
    pub fn is_pure(&self) -> bool {
        self.effect == Effect::Plain && self.facts.is_empty()
    }

    /// Whether it may have changed the session in ways that only the server knows; triggers are not counted (`Fact::Writes`).
    pub fn is_opaque(&self) -> bool {
        const OPAQUE: Facts = Facts::of_all(&[
            Fact::CallsUnknown,
            Fact::SetsUnknown,
            Fact::Replicates,
            Fact::Unreadable,
        ]);
        self.effect == Effect::Opaque || self.facts.has_any(OPAQUE)
    }

    /// What an EXECUTE of these facts does where the statement of its name is `body`.
    pub fn executing(&self, body: &Statement) -> Statement {
        let effect = match &body.effect {
            // The servers refuse these, or what they name is not what the text of this one names.
            Effect::Prepare(_) | Effect::Execute(_) | Effect::Deallocate(_) => Effect::Opaque,
            effect => effect.clone(),
        };
        Statement::new(effect, self.facts.and(body.facts))
    }
}

/// What a statement does as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A query, a change of data or of definitions: all that it does to its session is among the facts.
    Plain,
    /// May have changed the session in ways that only the server knows.
    Opaque,
    /// `BEGIN`, `START TRANSACTION`: commits what is open.
    Begin {
        /// `READ ONLY` or `READ WRITE`, if it says so.
        read_only: Option<bool>,
        /// `WITH CONSISTENT SNAPSHOT`.
        snapshot: bool,
    },
    /// `COMMIT`.
    Commit(Completion),
    /// `ROLLBACK`.
    Rollback(Completion),
    /// `SAVEPOINT name`, the name in lower case.
    Savepoint(String),
    /// `ROLLBACK TO name`, the name in lower case.
    RollbackTo(String),
    /// `RELEASE SAVEPOINT name`, the name in lower case.
    Release(String),
    /// `XA …`.
    Xa(Xa),
    /// `SET …`: these, in this order. All of them, or none if it fails.
    Set(Vec<Assignment>),
    /// `SET [scope] TRANSACTION …`.
    SetTransaction(Characteristics),
    /// `SET ROLE …`.
    SetRole(Role),
    /// `USE name`, the name as written.
    Use(String),
    /// `PREPARE name FROM …`: gives a name.
    Prepare(Box<Prepares>),
    /// `EXECUTE name`, the name in lower case: does what the statement of that name does, besides its own facts.
    Execute(String),
    /// `DEALLOCATE PREPARE name`, the name in lower case.
    Deallocate(String),
    /// A temporary table or sequence exists from now on.
    CreateTemporary(Name),
    /// Tables or sequences are gone, temporary ones first.
    DropTables {
        /// Which.
        names: Vec<Name>,
        /// Temporary ones alone.
        temporary: bool,
    },
    /// A lock is held until a matching `Unlock`.
    Lock(Lock),
    /// Such locks are held no more.
    Unlock(Lock),
    /// `HANDLER name …`.
    Handler {
        /// The table, or another name for it.
        name: Name,
        /// What is done with it.
        does: WithTable,
    },
    /// `KILL …`.
    Kill(Kill),
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// `AND [NO] CHAIN`: whether the next has begun; as `completion_type` has it if it does not say.
    pub chain: Option<bool>,
    /// `[NO] RELEASE`: whether the server closes the connection; as `completion_type` has it if it does not say.
    pub release: Option<bool>,
}

/// What is done with a distributed transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Xa {
    /// `XA START`, `XA BEGIN`.
    Start,
    /// `XA END`.
    End,
    /// `XA PREPARE`.
    Prepare,
    /// `XA COMMIT`, in one phase or two.
    Commit,
    /// `XA ROLLBACK`.
    Rollback,
    /// `XA RECOVER`: lists.
    Recover,
}

/// Locks that a connection holds, by how they are released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// `LOCK TABLES`, `FLUSH TABLES name … WITH READ LOCK`, `… FOR EXPORT`, until `UNLOCK TABLES`, which ends `Global`, too.
    Tables,
    /// `FLUSH TABLES WITH READ LOCK`, until `UNLOCK TABLES`.
    Global,
    /// `LOCK INSTANCE FOR BACKUP`, until `UNLOCK INSTANCE`.
    Instance,
    /// `BACKUP STAGE`, until `BACKUP STAGE END`.
    BackupStage,
    /// `BACKUP LOCK`, until `BACKUP UNLOCK`.
    BackupTable,
}

/// What is done with a handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithTable {
    /// `OPEN [AS name]`: it has the name given, or the table's.
    Open,
    /// `READ`.
    Read,
    /// `CLOSE`.
    Close,
}

/// What KILL ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// The statement alone, not the connection.
    pub query_only: bool,
    /// Whose.
    pub whom: Killed,
}

/// Whom KILL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killed {
    /// The connection of this number.
    Connection(u64),
    /// The connection whose number an expression gives.
    Computed,
    /// The statement of this number (MariaDB's `QUERY ID`).
    Query(u64),
    /// Everything of a user (MariaDB's `USER`).
    User,
}

/// The name of a table as written, its database's if it says so. Whether case counts depends on the server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    /// The database.
    pub database: Option<String>,
    /// The table.
    pub name: String,
}

/// What the statements of `sql` do, which a server reads as `dialect` says.
///
/// Reads each byte about once and allocates only for effects that have names or values, and for several statements. No text makes it
/// panic.
pub fn classify(sql: &[u8], dialect: Dialect) -> Class {
    let mut found = Vec::new();
    let mut one = None;
    each::<Unwatched>(sql, dialect, |told| match one.take() {
        None if found.is_empty() => one = Some(told.statement),
        before => {
            found.extend(before);
            found.push(told.statement);
        }
    });
    match one {
        Some(statement) => Class::One(statement),
        None => Class::Several(found),
    }
}

/// What is told of a statement.
struct Told<W> {
    /// Where it stands, without its semicolon.
    range: Range<usize>,
    statement: Statement,
    /// What was noticed on the way.
    watch: W,
    /// How it was read; `None` if nobody knows.
    dialect: Option<Dialect>,
}

impl<W: Default> Told<W> {
    /// The rest of a text that nobody can read.
    fn unreadable(range: Range<usize>) -> Self {
        Told {
            range,
            statement: Statement::new(Effect::Opaque, Facts::of(Fact::Unreadable)),
            watch: W::default(),
            dialect: None,
        }
    }

    /// A comment that is no part of a statement: the servers answer it.
    fn comment(range: Range<usize>, lexer: &mut Lexer<'_>) -> Self {
        Told {
            range,
            statement: Statement::new(Effect::Plain, lexer.take_notes()),
            watch: W::default(),
            dialect: Some(lexer.dialect()),
        }
    }
}

/// Tells of each statement in order.
fn each<W: Watch + Default>(sql: &[u8], dialect: Dialect, mut tell: impl FnMut(Told<W>)) {
    if sql.len() > TEXT_BYTES_MAX {
        return tell(Told::unreadable(0..sql.len()));
    }
    let mut lexer = Lexer::new(sql, dialect);
    for count in 0.. {
        let begins = lexer.at();
        let first = match next_statement(&mut lexer) {
            Next::Statement(first) => first,
            Next::Comment => return tell(Told::comment(begins..sql.len(), &mut lexer)),
            Next::Nothing => return,
        };
        let start = first.range().start;
        if count == STATEMENTS_MAX {
            return tell(Told::unreadable(start..sql.len()));
        }
        let (statement, watch) = statement::statement(&mut lexer, first);
        let ended = sql[..lexer.at()].ends_with(b";");
        let end = lexer.at() - usize::from(ended && lexer.at() > start);
        let dialect = lexer.dialect();
        let after = dialect.after(&statement);
        tell(Told {
            range: start.min(end)..end,
            statement,
            watch,
            dialect: Some(dialect),
        });
        match after {
            Some(dialect) => lexer.set_dialect(dialect),
            None => return rest(lexer, tell),
        }
    }
}

/// How the rest is read depends on what the statement before it has done.
fn rest<W: Watch + Default>(mut lexer: Lexer<'_>, mut tell: impl FnMut(Told<W>)) {
    let (begins, end) = (lexer.at(), lexer.text().len());
    match next_statement(&mut lexer) {
        Next::Statement(first) => tell(Told::unreadable(first.range().start..end)),
        Next::Comment => tell(Told::comment(begins..end, &mut lexer)),
        Next::Nothing => {}
    }
}

/// What comes behind a statement.
enum Next {
    /// A statement that begins with this token.
    Statement(lexer::Token),
    /// Nothing but a comment that is not run.
    Comment,
    Nothing,
}

fn next_statement(lexer: &mut Lexer<'_>) -> Next {
    lexer.take_commented();
    loop {
        let first = lexer.next();
        match first.kind {
            // Before another statement an empty one is refused, commented or not; at the end a `;` is nothing.
            Kind::Semicolon => {}
            Kind::End if lexer.trouble() => return Next::Statement(first),
            Kind::End if lexer.take_commented() => return Next::Comment,
            Kind::End => return Next::Nothing,
            _ => return Next::Statement(first),
        }
    }
}
