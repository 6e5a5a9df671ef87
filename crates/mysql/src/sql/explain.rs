//! Why each statement of a text is taken for what it is: what `classify` sees, and the words that decided. For people and tests; no
//! statement on its way comes through here.

use std::ops::Range;

use super::dialect::Dialect;
use super::fact::{Fact, Facts};
use super::fingerprint::{Fingerprint, fingerprint, normalized};
use super::lexer::Token;
use super::{Effect, Statement, each};

/// One statement, and why it is taken for what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Where it stands in the text, without its semicolon.
    pub range: Range<usize>,
    /// What it does to its session.
    pub statement: Statement,
    /// What decided, in the order of the text; nothing if it is harmless, or if its first word tells all.
    pub findings: Vec<Finding>,
    /// Of this statement alone.
    pub fingerprint: Fingerprint,
    /// Of this statement alone; no constants are in it.
    pub normalized: String,
}

impl Explained {
    /// The findings in a sentence; what the statement does as such if there are none.
    pub fn verdict(&self) -> String {
        if self.findings.is_empty() {
            return as_such(&self.statement.effect).to_owned();
        }
        let mut verdict = String::new();
        for finding in &self.findings {
            if !verdict.is_empty() {
                verdict.push_str("; ");
            }
            if !finding.written.is_empty() {
                verdict.push_str(&finding.written);
                verdict.push(' ');
            }
            verdict.push_str(finding.fact.says());
        }
        verdict
    }
}

/// What a statement does as such, for people.
fn as_such(effect: &Effect) -> &'static str {
    match effect {
        Effect::Plain => "leaves the session alone",
        Effect::Opaque => "is not known to leave the session alone",
        Effect::Begin { .. } => "begins a transaction",
        Effect::Commit(_) => "commits the transaction",
        Effect::Rollback(_) => "rolls the transaction back",
        Effect::Savepoint(_) | Effect::RollbackTo(_) | Effect::Release(_) => {
            "moves within the transaction"
        }
        Effect::Xa(_) => "belongs to a distributed transaction",
        Effect::Set(_) => "sets what can be followed",
        Effect::SetTransaction(_) => "sets what transactions are like",
        Effect::SetRole(_) => "sets the role",
        Effect::Use(_) => "chooses the database",
        Effect::Prepare(_) => "prepares a statement",
        Effect::Execute(_) => "does what the statement of that name does",
        Effect::Deallocate(_) => "forgets a prepared statement",
        Effect::CreateTemporary(_) => "makes a temporary table that its connection alone has",
        Effect::DropTables { .. } => "drops tables, temporary ones first",
        Effect::Lock(_) => "takes a lock that its connection holds",
        Effect::Unlock(_) => "releases locks",
        Effect::Handler { .. } => "uses a handler that its connection holds",
        Effect::Kill(_) => "ends a statement or a connection",
    }
}

/// Something that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Why.
    pub fact: Fact,
    /// Names and keywords, written as in `normalized`; never a constant.
    pub written: String,
}

/// What each statement of `sql` does and why: what `classify` gives. Texts are shown in `shown_bytes_max` bytes at most.
pub fn explain(sql: &[u8], dialect: Dialect, shown_bytes_max: usize) -> Vec<Explained> {
    let mut all = Vec::new();
    each::<Vec<(Fact, Token, Token)>>(sql, dialect, |told| {
        let of = Shower {
            sql,
            dialect: told.dialect.unwrap_or(dialect),
            // What nobody knows how to read may be a constant throughout.
            bytes_max: told.dialect.map_or(0, |_| shown_bytes_max),
        };
        let text = &sql[told.range.clone()];
        all.push(Explained {
            findings: of.findings(told.watch, told.statement.facts),
            statement: told.statement,
            fingerprint: fingerprint(text, of.dialect),
            normalized: normalized(text, of.dialect, of.bytes_max),
            range: told.range,
        });
    });
    all
}

struct Shower<'a> {
    sql: &'a [u8],
    dialect: Dialect,
    bytes_max: usize,
}

impl Shower<'_> {
    fn findings(&self, noticed: Vec<(Fact, Token, Token)>, facts: Facts) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        for (fact, first, last) in noticed {
            let written = self.written(first, last);
            let again = |known: &Finding| known.fact == fact && known.written == written;
            if !findings.iter().any(again) {
                findings.push(Finding { fact, written });
            }
        }
        // Whatever was not noticed on the way.
        for fact in facts.iter() {
            if !findings.iter().any(|known| known.fact == fact) {
                let written = String::new();
                findings.push(Finding { fact, written });
            }
        }
        findings
    }

    /// What stands there, constants and comments excepted.
    fn written(&self, first: Token, last: Token) -> String {
        let range = first.range().start..last.range().end;
        let sql = self.sql.get(range).unwrap_or_default();
        normalized(sql, self.dialect, self.bytes_max)
    }
}
