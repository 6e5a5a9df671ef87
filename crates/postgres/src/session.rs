//! What belongs to one client from accept to close. Small, because most clients are idle most of the time: whatever is only needed
//! while a backend works for it lives in that backend.

use crate::backend::{Backend, Mark};
use crate::client_login::{Admitted, ClientLogin};
use crate::customs::Customs;
use crate::exchange::Segment;
use crate::listening::Listening;
use crate::reports::Reports;
use crate::sequences::Sequences;
use crate::statements::Statement;
use crate::tracking::Tracker;
use forebay_core::Pins;
use forebay_core::snapshot::SessionRules;
use forebay_core::{PinReason, StatementShape};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// One client.
pub struct Session {
    /// How far it has come.
    pub stage: Stage,
    /// Never used twice in this process.
    pub id: u64,
    /// Whatever decides which tables and functions its texts can speak of, as a number.
    pub scope: u64,
    /// The process number that its BackendKeyData showed; 0 before.
    pub process: u32,
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
    /// Those of them that no filter takes away.
    pub pins_kept: Pins,
    /// Why, as it was told.
    pub pin_told: Option<PinReason>,
    /// The statement that began it, until it is told.
    pub pin_said: Option<Box<StatementShape>>,
    /// It may have set something whose name nobody here knows.
    pub settings_unknown: bool,
    /// The server could not be asked what it holds: the next time it is asked for everything.
    pub is_doubted: bool,
    /// Boundaries since then.
    pub doubted_for: u32,
    /// Backends that it has marked so far.
    pub marks: u32,
    /// What it may share, and what keeps it from that.
    pub rules: Arc<SessionRules>,
    /// Custom settings that it has ever set.
    pub customs: Customs,
    /// Values of sequences that it has made.
    pub sequences: Sequences,
    /// What it waits for and was told while it listens.
    pub listening: Listening,
}

impl Session {
    /// Whether notifications may be meant for it, now or with the commit that is under way.
    pub fn hears(&self) -> bool {
        !self.tracker.channels().is_empty() || self.listening.has_noted()
    }

    /// Whether it would be deaf if nobody listened for it.
    pub fn is_heard(&self) -> bool {
        !self.tracker.channels().is_empty() || self.listening.is_granted()
    }

    /// The mark of the backend that it last changed in ways that only the server knows.
    pub fn mark(&self) -> Mark {
        Mark {
            session: self.id,
            count: self.marks,
        }
    }

    /// It may change this backend in ways that only the server knows.
    pub fn suspect(&mut self, backend: &mut Backend) {
        if backend.suspect == Some(self.mark()) {
            return;
        }
        // What it left elsewhere is old from now on, also where nobody is to find what it leaves here.
        self.marks = self.marks.wrapping_add(1);
        if backend.suspect != Some(Mark::NOBODY) {
            backend.suspect = Some(self.mark());
        }
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

#[derive(Debug, Default)]
struct Names {
    given: HashMap<Box<[u8]>, Given>,
    /// Those that SQL gave.
    by_sql: BTreeSet<Box<[u8]>>,
    /// Bytes of the names and of the texts and types of their statements.
    bytes: usize,
    /// Names given so far.
    turns: u64,
}

/// What a name means.
#[derive(Debug)]
pub struct Given {
    /// The statement.
    pub statement: Arc<Statement>,
    /// The segment in which the client gave the name; [`Segment::DONE`] without a backend.
    pub since: Segment,
    /// Names that the client had given before.
    turn: u64,
}

/// Most statements that one client may have by name; the next one is refused with an error of the protocol.
pub const PREPARED_MAX: usize = 100_000;

/// Most bytes of their names and texts; beyond it the same.
pub const PREPARED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest name of a statement, in bytes.
pub const STATEMENT_NAME_BYTES_MAX: usize = 4096;

/// What a name with its statement takes.
fn bytes_of(name: &[u8], statement: &Statement) -> usize {
    name.len() + statement.text.len() + statement.types.len()
}

impl Prepared {
    /// The statement of this name.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&Arc<Statement>> {
        Some(&self.given(name)?.statement)
    }

    /// What this name means, and since when.
    #[inline]
    pub fn given(&self, name: &[u8]) -> Option<&Given> {
        self.0.as_ref()?.given.get(name)
    }

    /// What this name means, to be replaced by a statement of the same text and types.
    pub fn given_mut(&mut self, name: &[u8]) -> Option<&mut Given> {
        self.0.as_mut()?.given.get_mut(name)
    }

    /// A name now means this statement.
    pub fn insert(&mut self, name: Box<[u8]>, statement: Arc<Statement>, since: Segment) {
        self.remove(&name);
        let names = self.0.get_or_insert_default();
        names.bytes += bytes_of(&name, &statement);
        if statement.is_sql {
            names.by_sql.insert(name.clone());
        }
        let turn = names.turns;
        names.turns += 1;
        let given = Given {
            statement,
            since,
            turn,
        };
        names.given.insert(name, given);
    }

    /// A name means nothing any more; whether it meant something.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(names) = &mut self.0 else {
            return false;
        };
        let removed = names.given.remove(name);
        if let Some(given) = &removed {
            names.bytes -= bytes_of(name, &given.statement);
            names.by_sql.remove(name);
        }
        removed.is_some()
    }

    /// Names that SQL gave, in their order.
    pub fn by_sql(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        const NONE: &BTreeSet<Box<[u8]>> = &BTreeSet::new();
        let names = self.0.as_ref().map_or(NONE, |names| &names.by_sql);
        names.iter().map(|name| &**name)
    }

    /// All names, in the order in which they were given; `None` if there are more than so many.
    pub fn in_order(&self, max: usize) -> Option<Vec<Box<[u8]>>> {
        let Some(names) = &self.0 else {
            return Some(Vec::new());
        };
        if names.given.len() > max {
            return None;
        }
        let mut given: Vec<_> = names.given.iter().collect();
        given.sort_by_key(|(_, given)| given.turn);
        Some(given.into_iter().map(|(name, _)| name.clone()).collect())
    }

    /// No name means anything any more.
    pub fn clear(&mut self) {
        self.0 = None;
    }

    /// Whether another name may be given, with a text and types of so many bytes.
    pub fn has_room(&self, name: &[u8], bytes: usize) -> bool {
        self.0.as_ref().is_none_or(|names| {
            names.given.len() < PREPARED_MAX
                && names.bytes + name.len() + bytes <= PREPARED_BYTES_MAX
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statements::Draft;

    fn statement(text: &[u8]) -> Arc<Statement> {
        let draft = Draft {
            text,
            ..Draft::default()
        };
        Statement::unnamed(&draft)
    }

    #[test]
    fn names_and_texts_are_bounded_together_and_give_back_what_they_took() {
        let (mut prepared, text) = (Prepared::default(), vec![b' '; 1024 * 1024]);
        let long = statement(&text);
        let mut given = 0;
        while prepared.has_room(b"name", text.len()) {
            let name = format!("{given:04}");
            prepared.insert(name.as_bytes().into(), Arc::clone(&long), Segment::DONE);
            given += 1;
        }
        assert_eq!(given, PREPARED_BYTES_MAX / text.len() - 1);
        assert!(prepared.has_room(b"name", 1) && !prepared.has_room(&text, 1));
        let again = b"0000".as_slice();
        prepared.insert(again.into(), Arc::clone(&long), Segment::DONE);
        assert!(!prepared.has_room(b"name", text.len()));
        assert!(prepared.remove(again) && !prepared.remove(again));
        assert!(prepared.has_room(b"name", text.len()));
        prepared.clear();
        assert!(prepared.has_room(&text, text.len()));
    }

    #[test]
    fn names_are_listed_as_they_were_given_last() {
        let (mut prepared, short) = (Prepared::default(), statement(b""));
        assert_eq!(prepared.in_order(0), Some(vec![]));
        for name in [&b"b"[..], b"c", b"a", b"b"] {
            prepared.insert(name.into(), Arc::clone(&short), Segment::DONE);
        }
        let names = [&b"c"[..], b"a", b"b"].map(Box::from);
        assert_eq!(prepared.in_order(3), Some(names.to_vec()));
        assert_eq!(prepared.in_order(2), None);
    }

    #[test]
    fn short_names_are_bounded_in_number() {
        let (mut prepared, short) = (Prepared::default(), statement(b""));
        for number in 0..PREPARED_MAX {
            assert!(prepared.has_room(b"", 0));
            let name = number.to_string().into_bytes().into();
            prepared.insert(name, Arc::clone(&short), Segment::DONE);
        }
        assert!(!prepared.has_room(b"", 0));
    }
}
