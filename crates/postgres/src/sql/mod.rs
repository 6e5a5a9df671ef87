//! What a query string does to the session that sends it, read off its text without a parser of SQL.
//!
//! | module | answers |
//! | --- | --- |
//! | `lexer`, `bytes` | where tokens begin and end (`scan.l`) |
//! | `words` | which words are keywords, which functions are harmless, which pin |
//! | `scan` | what a query calls and writes |
//! | `statement` | what one statement does |
//! | `prepared` | which statement PREPARE makes and EXECUTE runs |
//! | `setting` | which setting a statement sets, and how to set it again elsewhere |
//! | `calls` | whether a text calls functions that an operator has named |
//! | `mentioned` | which settings a text speaks of that no server lists |
//! | `constant`, `quote` | values out of SQL, and back into it |
//! | `explain`, `watch` | why a statement is taken for what it is |
//! | `fingerprint`, `shown` | which statements are the same but for their constants, for tables and for people |
//!
//! Invariants: nothing is `Pure` that is not, as far as the text tells; doubt is `Opaque`, and a setting in doubt pins.
//! The text does not tell of code behind views, policies, operators, casts, domains and `row.function`, nor of functions
//! made under the name of one of the server's: such code is taken to leave the session alone.

mod bytes;
mod calls;
mod constant;
mod explain;
mod fingerprint;
mod lexer;
mod mentioned;
mod pins;
mod prepared;
pub mod quote;
mod reader;
mod scan;
mod setting;
mod shown;
mod statement;
#[cfg(test)]
mod tests;
mod watch;
mod words;

use forebay_core::PinReason;

use memchr::memchr;

pub use calls::calls;
pub use explain::{Explained, Finding, explain};
pub use fingerprint::{Fingerprint, fingerprint, normalized};
use lexer::{Kind, Lexer, TEXT_BYTES_MAX};
pub use mentioned::{mentioned, mentioned_with, parameters_that_name};
pub use prepared::{Executes, Prepares};
pub use quote::{quote_identifier, quote_literal};
pub use setting::all_quoted;
pub use watch::What;

/// Whether a word is a keyword of the grammar, in whatever case it is written: some of these must be quoted where a name is meant.
pub fn is_keyword(word: &str) -> bool {
    words::facts(word.as_bytes()).keyword
}

/// Whether the columns of a statement are those of what its session has made, or of what another statement is there called so: a cursor's
/// rows, a prepared statement's, the value of a custom setting, whose name is spelled as its server process heard it first.
pub fn shows_own(sql: &[u8]) -> bool {
    let mut lexer = Lexer::new(sql, true);
    let mut first = lexer.next();
    while first.kind == Kind::Semicolon {
        first = lexer.next();
    }
    match lexer.key(first) {
        words::keys::FETCH | words::keys::EXECUTE => true,
        words::keys::SHOW => memchr(b'.', sql).is_some(),
        _ => false,
    }
}

/// What a whole query string (one or several statements) does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// At least one statement, and none changes anything that a session can rely on.
    Pure,
    /// One effect for each statement, in order.
    ///
    /// Empty statements are not counted, as the server sends no CommandComplete for them; without any statement the list is
    /// empty. The server refuses the whole string for one syntax error, so effects hold only as far as statements are
    /// seen to complete. There are fewer effects than statements only if the text cannot be read to its end; the last
    /// effect is then `Opaque` or a pin.
    Statements(Vec<Effect>),
}

/// What one statement does to its session, should it succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that outlives the transaction, or that another session could notice.
    Pure,
    /// May have changed the session in ways that only the server knows.
    Opaque,
    /// `COPY … FROM STDIN`: reads what the client sends next; may have done all that `Opaque` may, besides.
    CopyIn,
    /// `BEGIN`, `START TRANSACTION`.
    Begin,
    /// `COMMIT`, `END`.
    Commit {
        /// `AND CHAIN`: the next transaction has begun.
        chain: bool,
    },
    /// `ROLLBACK`, `ABORT`.
    Rollback {
        /// `AND CHAIN`: the next transaction has begun.
        chain: bool,
    },
    /// `PREPARE TRANSACTION`: ends the transaction; the session keeps what it set.
    PrepareTransaction,
    /// `SAVEPOINT name`, the name as the server folds it.
    Savepoint(String),
    /// `ROLLBACK TO name`, the name as the server folds it.
    RollbackTo(String),
    /// `RELEASE name`, the name as the server folds it.
    Release(String),
    /// One setting has a new value for the rest of the session.
    Set {
        /// In lower case, parts joined by dots; letters, digits, `_` and `$` only.
        name: String,
        /// What it is set to.
        value: SetValue,
    },
    /// Several settings have new values, in this order.
    SetMany(Vec<(String, SetValue)>),
    /// `SET TRANSACTION`, `SET CONSTRAINTS`: ends with the transaction.
    SetLocal,
    /// `SET LOCAL` and its kin: settings that have other values until the transaction ends.
    SetLocally {
        /// Their names as in `Set`, and their values where the text tells them. An empty name stands for any setting.
        local: Vec<(String, Option<SetValue>)>,
        /// Settings that have new values for the rest of the session; none of them is among the others.
        session: Vec<(String, SetValue)>,
    },
    /// One setting, named as in `Set`, has the value that the session began with.
    Reset(String),
    /// `RESET ALL`: all settings but role and session_authorization.
    ResetAll,
    /// `DISCARD ALL`.
    DiscardAll,
    /// `DISCARD PLANS`.
    DiscardPlans,
    /// `DISCARD TEMP`.
    DiscardTemp,
    /// `DISCARD SEQUENCES`.
    DiscardSequences,
    /// `PREPARE name … AS …`: gives a name.
    Prepare(Box<Prepares>),
    /// `EXECUTE name`, by itself, explained or for a new table: does what the statement of that name does.
    Execute(Box<Executes>),
    /// `DEALLOCATE name`, the name as the server folds it.
    Deallocate(String),
    /// `DEALLOCATE ALL`.
    DeallocateAll,
    /// `CLOSE`: a cursor that outlived its transaction may be gone.
    Close,
    /// `LISTEN channel`, the name as the server folds it.
    Listen(String),
    /// `UNLISTEN channel`, the name as the server folds it.
    Unlisten(String),
    /// `UNLISTEN *`.
    UnlistenAll,
    /// `NOTIFY`, or a query that calls `pg_notify`; `Pure` else.
    Notify,
    /// Leaves something on its backend that no other has; may have done all that `Opaque` may, besides.
    Pin(PinReason),
    /// As `Pin`, for several different reasons.
    PinMany(Vec<PinReason>),
}

impl Effect {
    /// Why it pins, where it does.
    pub fn pins(&self) -> &[PinReason] {
        match self {
            Effect::Pin(reason) => std::slice::from_ref(reason),
            Effect::PinMany(reasons) => reasons,
            _ => &[],
        }
    }

    /// Whether it brings back what the database has as a default.
    pub fn resets(&self) -> bool {
        matches!(
            self,
            Effect::Reset(_) | Effect::ResetAll | Effect::DiscardAll
        )
    }

    /// Whether others may be notified once its transaction is committed.
    pub fn may_notify(&self) -> bool {
        matches!(
            self,
            Effect::Notify
                | Effect::Opaque
                | Effect::CopyIn
                | Effect::Execute(_)
                | Effect::Pin(_)
                | Effect::PinMany(_)
        )
    }

    /// Whether it ends a transaction, or may do so unseen.
    pub fn may_end_transaction(&self) -> bool {
        self.may_commit() || matches!(self, Effect::Rollback { .. })
    }

    /// Whether it commits a transaction that was begun before, or may do so unseen.
    pub fn may_commit(&self) -> bool {
        matches!(
            self,
            Effect::Commit { .. }
                | Effect::PrepareTransaction
                | Effect::Pin(_)
                | Effect::PinMany(_)
        )
    }

    /// Whether it gives or drops names of prepared statements.
    pub fn changes_names(&self) -> bool {
        matches!(
            self,
            Effect::DiscardAll | Effect::DeallocateAll | Effect::Deallocate(_) | Effect::Prepare(_)
        )
    }
}

/// How a setting is re-established on another backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetValue {
    /// What to write after `SET name TO`: names as the client wrote them, text constants such that any
    /// standard_conforming_strings will do, comments removed.
    Sql(String),
    /// The value itself, to be given to `set_config`: for lists it differs from what `SET` would make of it.
    Literal(String),
    /// `SET name TO DEFAULT`. `classify` says `Effect::Reset` instead.
    Default,
}

/// What the statements of `sql` do. `sql` is the text of a Query or Parse message without its final NUL, and
/// `standard_conforming_strings` is what the server has it at when it reads the message.
///
/// Reads each byte about once and allocates only for what is not pure. No text makes it panic.
pub fn classify(sql: &[u8], standard_conforming_strings: bool) -> Class {
    // The server reads up to a NUL and then refuses the message.
    if sql.len() > TEXT_BYTES_MAX || memchr(0, sql).is_some() {
        return Class::Statements(vec![Effect::Opaque]);
    }
    let mut lexer = Lexer::new(sql, standard_conforming_strings);
    let mut pure = 0_usize;
    let mut effects = Vec::new();
    loop {
        let first = lexer.next();
        match first.kind {
            Kind::Semicolon => continue,
            Kind::End if !lexer.trouble() => break,
            _ => {}
        }
        match statement::effect(&mut lexer, first) {
            Effect::Pure if effects.is_empty() => pure += 1,
            effect => {
                // Only now is it known that the pure ones before have to be listed.
                effects.extend(std::iter::repeat_n(Effect::Pure, std::mem::take(&mut pure)));
                effects.push(effect);
            }
        }
    }
    if pure > 0 {
        Class::Pure
    } else {
        Class::Statements(effects)
    }
}
