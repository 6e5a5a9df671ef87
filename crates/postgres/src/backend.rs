//! What belongs to one database connection from dial to close, and moves with it to another worker.

use crate::backend_login::BackendLogin;
use crate::customs::{self, Customs};
use crate::exchange::{Exchange, Segment};
use crate::listener::Listener;
use crate::plain_names::PlainNames;
use crate::reports::Reports;
use crate::statements::{Name, Statement};
use forebay_core::settings::{Interner, Settings};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// One database connection.
pub struct Backend {
    /// How far it has come.
    pub stage: Stage,
    /// What it does behind its login.
    pub calling: Calling,
    /// What is under way.
    pub exchange: Exchange,
    /// Process number and secret with which its query can be cancelled.
    pub process: u32,
    /// The secret.
    pub secret: Box<[u8]>,
    /// The settings that were sent to it and that it confirmed.
    pub label: Arc<Settings>,
    /// Custom settings whose names it knows, or may know.
    pub customs: Customs,
    /// Who may have changed it in ways that the label does not show.
    pub suspect: Option<Mark>,
    /// What its pool runs on each new backend, and behind each reset; empty for nothing.
    pub init_query: Arc<str>,
    /// The reported settings as it last reported them.
    pub reports: Arc<Reports>,
    /// Statements with names of ours that it has.
    pub prepared: PreparedOn,
    /// Statements that it has under names that clients gave.
    pub plain: PlainNames,
    /// Its unnamed statement, as far as it is known.
    pub unnamed: Option<Arc<Statement>>,
    /// It may have had temporary tables, which fixes how much room they have: `temp_buffers` cannot be set any more.
    pub had_temporary: bool,
    /// Its session keeps it across boundaries.
    pub pinned: bool,
    /// The answer to a replay is awaited before the client's bytes are sent.
    pub holding: bool,
    /// Its last sessions may have notified others, who need not have been told yet.
    pub stirred: bool,
    /// What a replay was answered, if by an error: code and message.
    pub replay_error: Option<(Arc<str>, Arc<str>)>,
    /// The error, as a message, that a statement could not be prepared again with; it is what the client's own message runs into.
    pub give_error: Option<Box<[u8]>>,
}

impl Backend {
    /// It knows these custom settings from now on, or may know them.
    pub fn note_customs<'n>(
        &mut self,
        names: impl Iterator<Item = &'n str>,
        settings: &mut Interner,
    ) {
        customs::add(&mut self.customs, names, settings);
    }
}

/// Who may have changed a backend in ways that its label does not show. Only a session's latest mark is good for that session: when it
/// has changed another backend since, what it left on this one is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The session.
    pub session: u64,
    /// Marks that it has made.
    pub count: u32,
}

impl Mark {
    /// Nobody knows what the backend holds.
    pub const NOBODY: Mark = Mark {
        session: 0,
        count: 0,
    };
}

/// What a database connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calling {
    /// To serve one session after the other.
    Pooled,
    /// It will belong to one client from start to end.
    Dedicated,
    /// To listen for all sessions of its database.
    Listener,
}

/// How far a database connection has come.
pub enum Stage {
    /// It logs in, or carries a cancel request.
    Login(Box<BackendLogin>),
    /// It serves.
    Ready,
    /// It belongs to one client and every byte passes.
    Relay,
    /// It listens for all sessions of its database.
    Listener(Box<Listener>),
}

/// Most statements kept prepared on one backend; the least recently prepared one is closed for a new one.
pub const PREPARED_ON_BACKEND_MAX: usize = 1000;

/// Whether a backend has a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It has it.
    There,
    /// It will have it when the Parse succeeds that was sent in this segment.
    Coming(Segment),
    /// It will not have it when the Close is done that was sent in this segment.
    Going(Segment),
    /// It has it, and is to be given it anew by a Close and a Parse that were sent in this segment.
    Renewed(Segment),
}

/// Whether the columns of a statement were looked at since a backend has prepared it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// They were not.
    Not,
    /// They are those that clients were told.
    AsTold,
    /// They are others.
    Others,
}

/// The statements that a backend has under names of ours. No step looks at more than a few of them.
#[derive(Debug, Default)]
pub struct PreparedOn {
    known: HashMap<Name, Known>,
    /// Those that are there, by their turns.
    there: BTreeMap<u64, Name>,
    /// How many are not going.
    staying: usize,
    /// Turns given so far.
    turns: u64,
}

/// What is known of one of them.
#[derive(Debug, Clone, Copy)]
struct Known {
    presence: Presence,
    seen: Seen,
    /// Its place in the order in which they were prepared.
    turn: u64,
}

impl PreparedOn {
    /// Whether it has this one; `None` when not.
    #[inline]
    pub fn presence(&self, name: &Name) -> Option<Presence> {
        self.known.get(name).map(|known| known.presence)
    }

    /// What is known of the columns of this one; `None` when it has not got it. What is under way is not looked at.
    #[inline]
    pub fn seen(&self, name: &Name) -> Option<Seen> {
        let known = self.known.get(name)?;
        match known.presence {
            Presence::There => Some(known.seen),
            Presence::Coming(_) | Presence::Renewed(_) => Some(Seen::AsTold),
            Presence::Going(_) => None,
        }
    }

    /// Its columns were looked at.
    pub fn see(&mut self, name: &Name, seen: Seen) {
        if let Some(known) = self.known.get_mut(name) {
            known.seen = seen;
        }
    }

    /// A Parse was sent. Returns one that must be closed to keep the number bounded, and is going.
    pub fn comes(&mut self, name: Name, segment: Segment) -> Option<Name> {
        let presence = match self.presence(&name) {
            Some(Presence::Going(_)) => Presence::Renewed(segment),
            _ => Presence::Coming(segment),
        };
        self.note(name, Some(presence));
        if self.staying <= PREPARED_ON_BACKEND_MAX {
            return None;
        }
        // What is still to be prepared may have to be undone.
        let (_, &oldest) = self.there.first_key_value()?;
        self.goes(oldest, segment);
        Some(oldest)
    }

    /// A Close was sent.
    pub fn goes(&mut self, name: Name, segment: Segment) {
        self.note(name, Some(Presence::Going(segment)));
    }

    /// It is prepared. If it was closed in the meantime, it is still going.
    pub fn has_come(&mut self, name: &Name) {
        if let Some(Presence::Coming(_) | Presence::Renewed(_)) = self.presence(name) {
            self.note(*name, Some(Presence::There));
        }
    }

    /// It could not be prepared.
    pub fn has_not_come(&mut self, name: &Name) {
        self.note(*name, None);
    }

    /// Something else than a Close of ours has taken it away, whatever its name.
    pub fn is_lost(&mut self, name: &[u8]) {
        if let Some(name) = Name::from_bytes(name) {
            self.note(name, None);
        }
    }

    /// It is closed.
    pub fn has_gone(&mut self, name: &Name) {
        if let Some(Presence::Going(_)) = self.presence(name) {
            self.note(*name, None);
        }
    }

    /// It could not be closed.
    pub fn has_stayed(&mut self, name: Name) {
        self.note(name, Some(Presence::There));
    }

    /// One is known to be like this from now on; `None` if the backend does not have it.
    fn note(&mut self, name: Name, presence: Option<Presence>) {
        let stays = |presence| !matches!(presence, Presence::Going(_));
        let before = self.known.remove(&name);
        let before = before.filter(|known| stays(known.presence));
        if let Some(before) = before {
            self.staying -= 1;
            self.there.remove(&before.turn);
        }
        let Some(presence) = presence else {
            return;
        };
        let turn = before.map_or(self.turns, |before| before.turn);
        self.turns = self.turns.max(turn + 1);
        let known = Known {
            presence,
            seen: before.map_or(Seen::Not, |before| before.seen),
            turn,
        };
        self.known.insert(name, known);
        self.staying += usize::from(stays(presence));
        if presence == Presence::There {
            self.there.insert(turn, name);
        }
    }

    /// Those that it has and that are not going, as far as nothing is under way.
    pub fn staying(&self) -> Vec<Name> {
        self.there.values().copied().collect()
    }

    /// It has none any more.
    pub fn clear(&mut self) {
        *self = PreparedOn::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statements::{Draft, Statements};
    use crate::tracking::Meaning;
    use std::hash::RandomState;

    fn names(count: u32) -> Vec<Name> {
        let statements = Statements::new([1; 32], RandomState::new(), Arc::default());
        let meaning = Meaning {
            names: 0,
            constants: 0,
        };
        let name = |text: String| {
            let text = text.as_bytes();
            let draft = Draft {
                text,
                ..Draft::default()
            };
            statements.name(&draft, meaning)
        };
        let texts = (0..count).map(|number| format!("select {number}"));
        texts.map(name).collect()
    }

    #[test]
    fn a_statement_is_there_when_it_has_come_and_until_it_has_gone() {
        let (mut on, name) = (PreparedOn::default(), names(1)[0]);
        assert_eq!(on.comes(name, Segment::FIRST), None);
        assert_eq!(on.presence(&name), Some(Presence::Coming(Segment::FIRST)));
        on.has_come(&name);
        on.goes(name, Segment::FIRST);
        assert_eq!(on.presence(&name), Some(Presence::Going(Segment::FIRST)));
        on.has_gone(&name);
        assert_eq!(on.presence(&name), None);
    }

    #[test]
    fn a_look_at_columns_is_good_until_the_statement_is_prepared_again() {
        let (mut on, name) = (PreparedOn::default(), names(1)[0]);
        on.see(&name, Seen::AsTold);
        assert_eq!(on.seen(&name), None, "it is not there");
        on.comes(name, Segment::FIRST);
        on.has_come(&name);
        assert_eq!(on.seen(&name), Some(Seen::Not));
        on.see(&name, Seen::Others);
        assert_eq!(on.seen(&name), Some(Seen::Others));
        on.goes(name, Segment::FIRST);
        assert_eq!(on.seen(&name), None);
        on.comes(name, Segment::FIRST);
        on.has_come(&name);
        assert_eq!(on.seen(&name), Some(Seen::Not));
    }

    #[test]
    fn what_is_closed_before_it_is_seen_to_come_is_gone() {
        let (mut on, name) = (PreparedOn::default(), names(1)[0]);
        on.comes(name, Segment::FIRST);
        on.goes(name, Segment::FIRST);
        on.has_come(&name);
        on.has_gone(&name);
        assert_eq!(on.presence(&name), None);
    }

    #[test]
    fn what_is_prepared_anew_is_not_gone_with_its_old_self_and_there_again_if_both_are_skipped() {
        let (mut on, name) = (PreparedOn::default(), names(1)[0]);
        on.has_stayed(name);
        on.goes(name, Segment::FIRST);
        on.comes(name, Segment::FIRST);
        assert_eq!(on.presence(&name), Some(Presence::Renewed(Segment::FIRST)));
        on.has_gone(&name);
        assert_eq!(on.presence(&name), Some(Presence::Renewed(Segment::FIRST)));
        on.has_not_come(&name);
        on.has_stayed(name);
        assert_eq!(on.presence(&name), Some(Presence::There));
    }

    #[test]
    fn the_oldest_that_is_there_makes_room_and_comes_back_if_its_close_is_skipped() {
        let names = names(PREPARED_ON_BACKEND_MAX as u32 + 2);
        let mut on = PreparedOn::default();
        on.comes(names[0], Segment::FIRST);
        for name in &names[1..PREPARED_ON_BACKEND_MAX] {
            on.has_stayed(*name);
        }
        let last = &names[PREPARED_ON_BACKEND_MAX..];
        assert_eq!(on.comes(last[0], Segment::FIRST), Some(names[1]));
        assert_eq!(on.comes(last[1], Segment::FIRST), Some(names[2]));
        on.has_not_come(&last[1]);
        on.has_stayed(names[2]);
        assert_eq!(on.presence(&names[2]), Some(Presence::There));
        assert_eq!(
            on.presence(&names[1]),
            Some(Presence::Going(Segment::FIRST))
        );
    }

    #[test]
    fn whatever_becomes_of_statements_no_more_are_noted_than_there_may_be() {
        let names = names(3 * PREPARED_ON_BACKEND_MAX as u32);
        let mut on = PreparedOn::default();
        for (number, name) in names.iter().enumerate() {
            if let Some(oldest) = on.comes(*name, Segment::FIRST) {
                on.has_gone(&oldest);
            }
            match number % 5 {
                0 => on.has_not_come(name),
                1 => on.is_lost(name.as_bytes()),
                _ => on.has_come(name),
            }
            on.has_come(&names[number / 2]);
        }
        assert_eq!(on.staying, PREPARED_ON_BACKEND_MAX);
        let noted = [on.known.len(), on.there.len()];
        assert_eq!(noted, [PREPARED_ON_BACKEND_MAX; 2]);
    }

    #[test]
    fn the_one_that_makes_room_is_found_without_a_look_at_those_under_way() {
        let names = names(3 * PREPARED_ON_BACKEND_MAX as u32);
        let mut on = PreparedOn::default();
        for name in &names {
            assert_eq!(on.comes(*name, Segment::FIRST), None);
        }
        // Only those that are there are looked at.
        assert!(on.there.is_empty());
        on.has_come(&names[7]);
        on.has_come(&names[5]);
        let again = names[0];
        assert_eq!(on.comes(again, Segment::FIRST), Some(names[5]));
    }

    #[test]
    fn a_backend_is_ready_to_move_between_workers() {
        fn is_send<T: Send>() {}
        is_send::<Backend>();
    }
}
