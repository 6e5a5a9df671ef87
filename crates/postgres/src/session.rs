//! What belongs to one client from accept to close. Small, because most clients are idle most of the time: whatever is only needed
//! while a backend works for it lives in that backend.

use crate::backend::{Backend, Mark};
use crate::client_login::{Admitted, ClientLogin};
use crate::exchange::Segment;
use crate::pinning::Pins;
use crate::reports::Reports;
use crate::statements::Statement;
use crate::tracking::Tracker;
use std::collections::HashMap;
use std::sync::Arc;

/// One client.
pub struct Session {
    /// How far it has come.
    pub stage: Stage,
    /// Never used twice in this process.
    pub id: u64,
    /// Whatever decides which tables and functions its texts can speak of, as a number.
    pub scope: u64,
    /// The secret that its BackendKeyData showed; empty before.
    pub secret: Box<[u8]>,
    /// Its settings.
    pub tracker: Tracker,
    /// The reported settings as it knows them.
    pub reports: Arc<Reports>,
    /// The reported settings as it was welcomed with them.
    pub welcome: Arc<Reports>,
    /// Its named statements.
    pub prepared: Prepared,
    /// Its unnamed statement, if it has one that a later Bind may use.
    pub unnamed: Option<Arc<Statement>>,
    /// Its next segment.
    pub segment: Segment,
    /// It was sent the first part of a message.
    pub midway: bool,
    /// Bytes that are still to come of a message that is ignored without a backend.
    pub ignored_left: u32,
    /// Why it keeps its backend.
    pub pins: Pins,
    /// Backends that it has marked so far.
    pub marks: u32,
}

impl Session {
    /// The mark of the backend that it last changed in ways that only the server knows.
    pub fn mark(&self) -> Mark {
        Mark {
            session: self.id,
            count: self.marks,
        }
    }

    /// It may change this backend in ways that only the server knows.
    pub fn suspect(&mut self, backend: &mut Backend) {
        if backend.suspect == Some(Mark::NOBODY) || backend.suspect == Some(self.mark()) {
            return;
        }
        self.marks = self.marks.wrapping_add(1);
        backend.suspect = Some(self.mark());
    }
}

/// How far a client has come.
pub enum Stage {
    /// It proves who it is.
    Login(Box<ClientLogin>),
    /// It is known; its startup settings are being tried on a backend.
    Admission(Box<Admitting>),
    /// It is served.
    Ready,
    /// It has a backend of its own and every byte passes.
    Relay,
}

/// A client between its proof and its first ReadyForQuery.
pub struct Admitting {
    /// What its login found out.
    pub admitted: Admitted,
    /// Its pool.
    pub pool: u64,
}

/// Named statements of one client; no memory while there are none.
#[derive(Debug, Default)]
pub struct Prepared(Option<Box<Names>>);

type Names = HashMap<Box<[u8]>, Given>;

/// What a name means.
#[derive(Debug)]
pub struct Given {
    /// The statement.
    pub statement: Arc<Statement>,
    /// The segment in which the client gave the name; [`Segment::DONE`] without a backend.
    pub since: Segment,
}

/// Most statements that one client may have by name; the next one is refused with an error of the protocol.
pub const PREPARED_MAX: usize = 100_000;

impl Prepared {
    /// The statement of this name.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        Some(&self.given(name)?.statement)
    }

    /// What this name means, and since when.
    #[inline]
    pub fn given(&self, name: &[u8]) -> Option<&Given> {
        self.0.as_ref()?.get(name)
    }

    /// What this name means, to be replaced.
    pub fn given_mut(&mut self, name: &[u8]) -> Option<&mut Given> {
        self.0.as_mut()?.get_mut(name)
    }

    /// A name now means this statement.
    pub fn insert(&mut self, name: Box<[u8]>, statement: Arc<Statement>, since: Segment) {
        let given = Given { statement, since };
        self.0.get_or_insert_default().insert(name, given);
    }

    /// A name means nothing any more; whether it meant something.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        self.0
            .as_mut()
            .is_some_and(|map| map.remove(name).is_some())
    }

    /// A name that means this statement. Looks at all of them.
    pub fn name_of(&self, statement: &Arc<Statement>) -> Option<Box<[u8]>> {
        let mut names = self.0.iter().flat_map(|names| names.iter());
        let (name, _) = names.find(|(_, given)| Arc::ptr_eq(&given.statement, statement))?;
        Some(name.clone())
    }

    /// No name means anything any more.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// Number of names.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(0, |map| map.len())
    }
}
