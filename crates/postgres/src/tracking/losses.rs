//! What a RESET took away on the backend, where the client's baseline is to be instead, and whether a rollback may take it away again.
//!
//! A value is set again behind the segment of its RESET, and by then other frames of the transaction may be open: a rollback to a
//! savepoint that stands between the two takes the value that was set again and leaves the RESET. So each loss is known with the number
//! of frames in which it happened, and in which it was made good; 0 is what was committed. What a client sets behind its RESET makes it good as
//! well; what SET LOCAL sets hides it, until the transaction ends.

use std::collections::BTreeMap;

/// Losses that are not made good for certain.
#[derive(Debug, Default)]
pub(super) struct Losses(BTreeMap<Box<str>, Vec<Loss>>);

/// One loss, with numbers of frames.
#[derive(Debug)]
struct Loss {
    /// Where it happened.
    at: usize,
    /// Where it was made good.
    again: Option<usize>,
    /// Where something was set that hides it.
    hidden: Option<usize>,
}

impl Loss {
    fn is_due(&self) -> bool {
        self.again.is_none() && self.hidden.is_none()
    }

    /// Whether a rollback brings it back.
    fn is_open(&self) -> bool {
        self.again.is_none_or(|again| again > self.at)
    }
}

impl Losses {
    /// This is lost in the frame of this number.
    pub(super) fn lose(&mut self, name: &str, at: usize) {
        let loss = Loss {
            at,
            again: None,
            hidden: None,
        };
        match self.0.get_mut(name) {
            None => drop(self.0.insert(name.into(), vec![loss])),
            Some(known) => {
                known.retain(|known| known.at < at);
                known.push(loss);
            }
        }
    }

    /// The client has set it in the frame of this number.
    pub(super) fn is_set(&mut self, name: &str, frame: usize) {
        let Some(known) = self.0.get_mut(name) else {
            return;
        };
        for loss in known.iter_mut() {
            loss.again.get_or_insert(frame);
        }
        self.sweep();
    }

    /// The client has set it for its transaction, in the frame of this number.
    pub(super) fn is_hidden(&mut self, name: &str, frame: usize) {
        for loss in self.0.get_mut(name).into_iter().flatten() {
            loss.hidden.get_or_insert(frame);
        }
    }

    /// What is to be set again.
    pub(super) fn due(&self) -> impl Iterator<Item = &Box<str>> {
        let is_due = |known: &[Loss]| known.iter().any(Loss::is_due);
        let due = self.0.iter().filter(move |(_, known)| is_due(known));
        due.map(|(name, _)| name)
    }

    /// What is to be set again now, in the frame of this number.
    pub(super) fn take_due(&mut self, frame: usize) -> Vec<Box<str>> {
        let due = self.due().cloned().collect();
        let losses = self.0.values_mut().flatten();
        for loss in losses.filter(|loss| loss.is_due()) {
            loss.again = Some(frame);
        }
        self.sweep();
        due
    }

    /// The transaction is committed.
    pub(super) fn on_commit(&mut self) {
        for loss in self.0.values_mut().flatten() {
            loss.at = 0;
            loss.again = loss.again.map(|_| 0);
            loss.hidden = None;
        }
        self.sweep();
    }

    /// The frame of this number and those above it never were: 1 for the whole transaction.
    pub(super) fn on_rollback(&mut self, frame: usize) {
        let stays = |at: &usize| *at < frame;
        for known in self.0.values_mut() {
            known.retain(|loss| stays(&loss.at));
            for loss in known {
                loss.again = loss.again.filter(stays);
                loss.hidden = loss.hidden.filter(stays);
            }
        }
        self.sweep();
    }

    /// The frames above the one of this number are one with it.
    pub(super) fn on_release(&mut self, frame: usize) {
        for loss in self.0.values_mut().flatten() {
            loss.at = loss.at.min(frame);
            loss.again = loss.again.map(|again| again.min(frame));
            loss.hidden = loss.hidden.map(|hidden| hidden.min(frame));
        }
        self.sweep();
    }

    /// The server was asked: of these names it has a value that was set.
    pub(super) fn are_known(&mut self, is_set: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| !is_set(name));
    }

    /// Whether this is still to be set again, whatever the case of its letters.
    pub(super) fn is_due(&self, name: &[u8]) -> bool {
        self.of(name).any(Loss::is_due)
    }

    /// Whether this is lost, whatever the case of its letters, if the frame of this number never was.
    pub(super) fn is_lost_without(&self, name: &[u8], frame: usize) -> bool {
        let made_good = |loss: &Loss| loss.again.is_some_and(|again| again < frame);
        self.of(name)
            .any(|loss| loss.at < frame && !made_good(loss))
    }

    /// Whether there is anything that a rollback, or the end of the transaction, decides on.
    pub(super) fn is_any_open(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether something is lost, or may be once more, that was committed.
    pub(super) fn is_any_committed(&self) -> bool {
        self.0.values().flatten().any(|loss| loss.at == 0)
    }

    fn of(&self, name: &[u8]) -> impl Iterator<Item = &Loss> {
        let known = self.0.iter();
        known
            .filter(move |(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
            .flat_map(|(_, losses)| losses)
    }

    fn sweep(&mut self) {
        self.0.retain(|_, known| {
            known.retain(Loss::is_open);
            !known.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(losses: &mut Losses, frame: usize) -> Vec<String> {
        let due = losses.take_due(frame);
        due.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn what_is_made_good_where_it_was_lost_is_good() {
        let mut losses = Losses::default();
        losses.lose("a", 1);
        assert!(losses.is_due(b"A"));
        assert_eq!(due(&mut losses, 1), ["a"]);
        assert!(!losses.is_any_open());
    }

    #[test]
    fn what_is_made_good_behind_a_savepoint_is_lost_again_with_it() {
        let mut losses = Losses::default();
        losses.lose("a", 1);
        assert_eq!(due(&mut losses, 3), ["a"]);
        assert!(!losses.is_due(b"a"));
        assert!(losses.is_lost_without(b"A", 2) && losses.is_lost_without(b"a", 3));
        assert!(!losses.is_lost_without(b"a", 1), "it was in that frame");
        losses.on_rollback(2);
        assert_eq!(due(&mut losses, 2), ["a"]);
        losses.on_release(1);
        assert!(!losses.is_any_open());
    }

    #[test]
    fn what_is_rolled_back_was_never_lost_and_what_is_committed_is_for_good() {
        let mut losses = Losses::default();
        losses.lose("a", 2);
        losses.on_rollback(2);
        assert!(!losses.is_any_open());
        losses.lose("a", 2);
        losses.on_commit();
        losses.on_rollback(1);
        assert!(losses.is_any_committed());
        assert_eq!(due(&mut losses, 1), ["a"]);
        losses.on_rollback(1);
        assert_eq!(due(&mut losses, 0), ["a"]);
        assert!(!losses.is_any_open());
    }

    #[test]
    fn a_loss_in_a_frame_above_leaves_the_one_below() {
        let mut losses = Losses::default();
        losses.lose("a", 0);
        assert_eq!(due(&mut losses, 1), ["a"]);
        losses.lose("a", 1);
        assert_eq!(due(&mut losses, 1), ["a"]);
        losses.on_rollback(1);
        assert_eq!(due(&mut losses, 0), ["a"]);
    }

    #[test]
    fn what_is_set_for_the_transaction_hides_a_loss_until_its_end() {
        let mut losses = Losses::default();
        losses.lose("a", 1);
        losses.is_hidden("a", 2);
        assert!(due(&mut losses, 2).is_empty() && !losses.is_due(b"a"));
        losses.on_rollback(2);
        assert_eq!(due(&mut losses, 1), ["a"]);
        losses.lose("a", 1);
        losses.is_hidden("a", 1);
        losses.on_commit();
        assert_eq!(due(&mut losses, 0), ["a"]);
    }

    #[test]
    fn what_the_client_sets_is_good_unless_it_is_rolled_back() {
        let mut losses = Losses::default();
        losses.lose("a", 1);
        losses.is_set("a", 2);
        assert!(due(&mut losses, 2).is_empty());
        losses.on_rollback(2);
        assert_eq!(due(&mut losses, 1), ["a"]);
    }
}
