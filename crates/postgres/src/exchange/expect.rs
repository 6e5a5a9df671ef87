//! The replies that can be due, and what is known of each until it comes.
//!
//! An entry holds whatever its reply decides on, so that an error that takes its place can undo what was noted when its message was
//! sent.

use super::portals::Rebound;
use crate::errors::Words;
use crate::probe::Probe;
use crate::sql::Effect;
use crate::statements::{Name, Named, Statement};
use forebay_core::Instant;
use std::sync::Arc;

/// One reply that is due.
#[derive(Debug)]
pub enum Expect {
    /// ParseComplete for a statement that has a name of ours on the backend.
    Parse(Box<ExpectParse>),
    /// ParseComplete for the unnamed statement, which was sent by the client itself.
    ParseUnnamed {
        /// The client's unnamed statement before, which it has again should an error skip this.
        before: Option<Arc<Statement>>,
        /// The backend's.
        there: Option<Arc<Statement>>,
    },
    /// CloseComplete for the client's unnamed statement.
    CloseUnnamed {
        /// The client's unnamed statement before, which it has again should an error skip this.
        before: Option<Arc<Statement>>,
        /// The backend's.
        there: Option<Arc<Statement>>,
    },
    /// ParseComplete for the unnamed statement, which we sent again: not shown.
    ReparseUnnamed {
        /// The backend's unnamed statement before, which it has again should an error skip this.
        there: Option<Arc<Statement>>,
    },
    /// An error that says that this name is taken; ours must be replaced by the client's.
    DuplicateName(Box<[u8]>),
    /// BindComplete.
    Bind(About),
    /// ParameterDescription, if it is about a statement, and RowDescription or NoData.
    Describe(About),
    /// The same of a statement that is prepared again, to compare its columns with those that were told: not shown.
    Compare(Arc<Statement>),
    /// Whatever an Execute returns, up to CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute(Option<Arc<Statement>>),
    /// CloseComplete.
    Close {
        /// Ours: not shown.
        swallow: bool,
        /// The statement with a name of ours that it takes off the backend.
        of: Option<Name>,
    },
    /// CloseComplete of a name that a client gave, which another client's statement has: not shown.
    TakePlain(Box<Taken>),
    /// Whatever comes of preparing a statement under the name that its client gave: not shown, but for an error.
    GivePlain(Box<Given>),
    /// Not due from the backend: we say ParseComplete when it is its turn.
    LocalParse(Box<LocalParse>),
    /// Not due from the backend: we say CloseComplete when it is its turn.
    LocalClose(Box<LocalClose>),
    /// All of a Query up to ReadyForQuery.
    Query(Box<ExpectQuery>),
    /// All of a Query of which nothing must be remembered.
    PlainQuery(Instant),
    /// ReadyForQuery of a Sync.
    Sync(Instant),
    /// FunctionCallResponse and ReadyForQuery.
    Function(Instant),
    /// ParseComplete of a statement of ours that a query of ours takes away again: not shown.
    GuardSet,
    /// A query of ours up to ReadyForQuery: not shown.
    Replay,
    /// A query of ours that may fail, up to ReadyForQuery: not shown.
    Attempt,
    /// ParseComplete and CloseComplete of that statement, if that query took it away: not shown. If not, an error: then the server skips
    /// what the client has sent.
    Guard,
    /// What takes off a backend what it must not take along, before its session parts with it, up to ReadyForQuery: not shown.
    Parting,
    /// A question of ours about what the session holds, up to ReadyForQuery: not shown.
    Probe(Box<Probe>),
    /// An error to a statement of ours that stands where a LISTEN, or its commit, cannot be: the client reads this instead.
    Denied(Box<Words>),
    /// Our ROLLBACK after a client vanished, up to ReadyForQuery: not shown.
    Cleaning,
}

/// Which statement a Bind or Describe is about, as far as an error would have to know.
#[derive(Debug, Default)]
pub struct About {
    /// A statement with a name of ours.
    pub statement: Option<Arc<Statement>>,
    /// The client's name for it: the server speaks of ours.
    pub client_name: Option<Box<[u8]>>,
    /// What a Describe is about, whatever its name.
    pub described: Option<Arc<Statement>>,
    /// What a Bind has changed in the table of portals.
    pub rebound: Option<Box<Rebound>>,
}

/// A Parse under a name of ours.
#[derive(Debug)]
pub struct ExpectParse {
    /// What is being prepared.
    pub statement: Arc<Statement>,
    /// The client's name for it, when the client asked; `None` when we prepare again and show nothing.
    pub client_name: Option<Box<[u8]>>,
}

/// A Query with statements that matter.
#[derive(Debug)]
pub struct ExpectQuery {
    /// One for each statement.
    pub effects: Vec<Effect>,
    /// Statements completed so far.
    pub done: usize,
    /// When it came.
    pub since: Instant,
    /// What CommandComplete shall say instead, where we sent another statement than the client's.
    pub tag: Option<Box<[u8]>>,
    /// What it does to names that clients gave.
    pub named: Named,
}

/// A name that is taken from whatever has it on the backend.
#[derive(Debug)]
pub struct Taken {
    /// The name.
    pub name: Box<[u8]>,
    /// What it stood for, and does again should an error skip this.
    pub before: Option<Name>,
    /// We asked for it: not shown.
    pub swallow: bool,
}

/// A statement that is prepared again under the name that its client gave.
#[derive(Debug)]
pub struct Given {
    /// The name.
    pub name: Box<[u8]>,
    /// What it stood for, and does again should an error skip this.
    pub before: Option<Name>,
    /// The kind of the message that ends the answer: ReadyForQuery where it was sent ahead of a Query, ParseComplete, or CloseComplete.
    pub end: u8,
    /// How many of these are still to come.
    pub ends: u8,
}

/// A Parse that is answered without the backend, which has the statement already.
#[derive(Debug)]
pub struct LocalParse {
    /// The client's name for it, undone should an error skip this.
    pub client_name: Box<[u8]>,
}

/// A Close of one of the client's names, which the backend knows nothing of.
#[derive(Debug)]
pub struct LocalClose {
    /// The client's name.
    pub client_name: Box<[u8]>,
    /// What it meant, put back should an error skip this.
    pub statement: Arc<Statement>,
}

impl Expect {
    /// Whether the server may read COPY data before it answers this to the end.
    pub fn may_copy_in(&self) -> bool {
        match self {
            Expect::Execute(Some(statement)) => {
                statement.is_unread || statement.effect == Effect::CopyIn
            }
            Expect::Query(query) => {
                query.effects.is_empty() || query.effects.contains(&Effect::CopyIn)
            }
            _ => false,
        }
    }

    /// Whether the proxy asked for it on its own.
    pub fn is_ours(&self) -> bool {
        match self {
            Expect::GuardSet
            | Expect::Replay
            | Expect::Attempt
            | Expect::Guard
            | Expect::Probe(_)
            | Expect::Parting
            | Expect::Cleaning => true,
            Expect::GivePlain(given) => given.end == b'Z',
            _ => false,
        }
    }

    /// Whether ReadyForQuery ends it.
    pub fn ends_segment(&self) -> bool {
        match self {
            Expect::Query(_)
            | Expect::PlainQuery(_)
            | Expect::Sync(_)
            | Expect::Function(_)
            | Expect::Replay
            | Expect::Attempt
            | Expect::Probe(_)
            | Expect::Parting
            | Expect::Cleaning => true,
            Expect::GivePlain(given) => given.end == b'Z',
            _ => false,
        }
    }
}
