//! Which statements a backend has under names that clients gave: those that PREPARE made, and those that SQL was to find.
//!
//! A name of a client's cannot be exchanged for one of ours in the text of `PREPARE` or `EXECUTE` without changing what errors say.
//! So the statement goes by its client's name, on whatever backend, and before another client names something alike it is taken
//! away. What stays behind of clients that are gone is bounded.

use crate::exchange::Segment;
use crate::statements::Name;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Most such statements kept on one backend; the one used longest ago is closed for a new one.
pub const PLAIN_NAMES_MAX: usize = 250;

/// What a name stands for that is only there to be taken.
pub const NOTHING: Name = Name::NONE;

/// What a backend has under names that clients gave.
#[derive(Debug, Default)]
pub struct PlainNames {
    known: HashMap<Arc<[u8]>, Known>,
    /// The same by their turns.
    turns: BTreeMap<u64, Arc<[u8]>>,
    /// How many stand for something.
    standing: usize,
    /// Turns given so far.
    given: u64,
}

/// What is known of one name.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// What it stands for; `None` when it is being taken away.
    of: Option<Name>,
    /// The segment of the message that makes it so.
    since: Segment,
    turn: u64,
}

impl PlainNames {
    /// What this name stands for; `None` for nothing.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<Name> {
        if self.known.is_empty() {
            return None;
        }
        self.known.get(name)?.of
    }

    /// The segment on which it depends what this name stands for.
    pub fn since(&self, name: &[u8]) -> Segment {
        self.known.get(name).map_or(Segment::DONE, |it| it.since)
    }

    /// A message was sent that makes a name stand for this, or for nothing. Returns what it stood for.
    pub fn becomes(&mut self, name: &[u8], of: Option<Name>, since: Segment) -> Option<Name> {
        let before = self.forget(name);
        let name: Arc<[u8]> = name.into();
        let turn = self.given;
        self.given += 1;
        self.turns.insert(turn, Arc::clone(&name));
        self.known.insert(name, Known { of, since, turn });
        self.standing += usize::from(of.is_some());
        before
    }

    fn forget(&mut self, name: &[u8]) -> Option<Name> {
        let known = self.known.remove(name)?;
        self.turns.remove(&known.turn);
        self.standing -= usize::from(known.of.is_some());
        known.of
    }

    /// A name stands for this, or for nothing, and nothing under way changes that.
    pub fn is(&mut self, name: &[u8], of: Option<Name>) {
        if of.is_some() {
            self.becomes(name, of, Segment::DONE);
        } else {
            self.forget(name);
        }
    }

    /// What was sent to make a name stand for something has been done.
    pub fn has_come(&mut self, name: &[u8]) {
        if let Some(known) = self.known.get_mut(name) {
            known.since = Segment::DONE;
        }
    }

    /// What was sent to take a name away has been done. It may have been given anew.
    pub fn has_gone(&mut self, name: &[u8]) {
        if self.get(name).is_none() {
            self.forget(name);
        }
    }

    /// A name is used.
    pub fn touch(&mut self, name: &[u8]) {
        if let Some(Known { of, since, .. }) = self.known.get(name).copied() {
            self.becomes(name, of, since);
        }
    }

    /// The turn that is given next.
    pub fn turn(&self) -> u64 {
        self.given
    }

    /// The name used longest ago, if `more` are too many and it was used before this turn.
    pub fn one_too_many(&self, more: usize, before: u64) -> Option<Arc<[u8]>> {
        if self.standing + more <= PLAIN_NAMES_MAX {
            return None;
        }
        let standing = |(_, name): &(&u64, &Arc<[u8]>)| self.get(name).is_some();
        let (_, oldest) = self.turns.range(..before).find(standing)?;
        Some(Arc::clone(oldest))
    }

    /// The names that stand for something, and for what.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<[u8]>, Name)> {
        let known = self.known.iter();
        known.filter_map(|(name, known)| Some((name, known.of?)))
    }

    /// Whether it depends on something under way what some name stands for.
    pub fn is_any(&self, in_doubt: impl Fn(Segment) -> bool) -> bool {
        self.known.values().any(|known| in_doubt(known.since))
    }

    /// No name stands for anything any more.
    pub fn clear(&mut self) {
        if self.given > 0 {
            *self = PlainNames::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u8) -> Option<Name> {
        Name::from_bytes(&[number; 25])
    }

    #[test]
    fn a_name_stands_for_what_was_sent_last_and_again_for_what_it_stood_for() {
        let mut names = PlainNames::default();
        assert_eq!(names.becomes(b"a", of(1), Segment::FIRST), None);
        assert_eq!(
            (names.get(b"a"), names.since(b"a")),
            (of(1), Segment::FIRST)
        );
        names.has_come(b"a");
        assert_eq!(names.since(b"a"), Segment::DONE);
        assert_eq!(names.becomes(b"a", None, Segment::FIRST), of(1));
        assert_eq!((names.get(b"a"), names.since(b"a")), (None, Segment::FIRST));
        names.is(b"a", of(1));
        assert_eq!((names.get(b"a"), names.since(b"a")), (of(1), Segment::DONE));
    }

    #[test]
    fn what_has_gone_is_forgotten_unless_it_was_given_anew() {
        let mut names = PlainNames::default();
        names.is(b"a", of(1));
        names.becomes(b"a", None, Segment::FIRST);
        names.becomes(b"a", of(2), Segment::FIRST);
        names.has_gone(b"a");
        assert_eq!(
            (names.get(b"a"), names.since(b"a")),
            (of(2), Segment::FIRST)
        );
        names.becomes(b"a", None, Segment::FIRST);
        names.has_gone(b"a");
        assert!(names.known.is_empty() && names.turns.is_empty() && names.standing == 0);
    }

    #[test]
    fn the_one_used_longest_ago_makes_room_but_none_that_is_used_now() {
        let mut names = PlainNames::default();
        let text = |number: usize| number.to_string().into_bytes();
        for number in 0..PLAIN_NAMES_MAX {
            assert_eq!(names.one_too_many(1, names.turn()), None);
            names.is(&text(number), of(1));
        }
        names.touch(b"0");
        let oldest = names.one_too_many(1, names.turn());
        assert_eq!(oldest.as_deref(), Some(b"1".as_slice()));
        names.becomes(b"1", None, Segment::FIRST);
        assert_eq!(names.one_too_many(1, names.turn()), None);
        let next = names.one_too_many(2, names.turn());
        assert_eq!(next.as_deref(), Some(b"2".as_slice()));
        assert_eq!(names.one_too_many(2, 0), None);
    }
}
