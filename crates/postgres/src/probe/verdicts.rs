//! What was learned of statements whose text does not tell what they do: whether one like it was ever seen to leave something behind.
//!
//! The first times, such a statement is followed by a probe. When it never left anything it is followed by one less and less often; once
//! it has, always. What is learned holds until somebody is seen to change functions, triggers or tables there.

use super::NAMES_ASKED_MAX;
use crate::sql::Fingerprint;
use std::collections::HashMap;

/// Statements that are remembered; beyond it everything is learned anew.
const VERDICTS_MAX: usize = 16 * 1024;

/// So often a statement is followed by a probe before it is trusted.
const TRIALS: u32 = 8;

/// Scopes whose functions' words are remembered.
const SCOPES_MAX: usize = 1024;

/// Verdicts of one worker.
#[derive(Debug, Default)]
pub struct Verdicts {
    known: HashMap<(u64, Fingerprint), Verdict>,
    mentioned: HashMap<u64, Mentioned>,
    /// Most programs never ask.
    any_asked_about: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Verdict {
    runs: u32,
    /// Runs behind which the server was asked, and has answered.
    trials: u32,
    leaves: bool,
    /// A later transaction asked for values of sequences that it had made.
    asked_about: bool,
}

/// What functions of a scope speak of.
#[derive(Debug)]
struct Mentioned {
    names: Box<[Box<str>]>,
    /// Which functions these are.
    code: Option<Box<str>>,
}

impl Verdicts {
    /// A statement is run; whether to look what it did. `scope`: whose functions it may call, and in which state.
    pub fn asks(&mut self, scope: u64, fingerprint: Fingerprint) -> bool {
        if self.known.len() >= VERDICTS_MAX && !self.known.contains_key(&(scope, fingerprint)) {
            self.known.clear();
        }
        let verdict = self.known.entry((scope, fingerprint)).or_default();
        verdict.runs = verdict.runs.saturating_add(1);
        verdict.leaves || verdict.trials < TRIALS || verdict.runs.is_power_of_two()
    }

    /// Whether what functions speak of is looked up anew behind this statement: they may have been changed where nobody here sees it.
    pub fn looks_up(&self, scope: u64, fingerprint: Fingerprint) -> bool {
        let verdict = self.known.get(&(scope, fingerprint));
        verdict.is_none_or(|verdict| verdict.runs.is_power_of_two())
    }

    /// Values of sequences that it made were asked for in vain, because its backend was not kept.
    pub fn was_asked_about(&mut self, scope: u64, fingerprint: Fingerprint) {
        if let Some(verdict) = self.known.get_mut(&(scope, fingerprint)) {
            verdict.asked_about = true;
            self.any_asked_about = true;
        }
    }

    /// Whether that has happened behind a statement like this.
    pub fn is_asked_about(&self, scope: u64, fingerprint: Fingerprint) -> bool {
        self.any_asked_about
            && self
                .known
                .get(&(scope, fingerprint))
                .is_some_and(|verdict| verdict.asked_about)
    }

    /// It was looked.
    pub fn learn(&mut self, scope: u64, fingerprint: Fingerprint, left_something: bool) {
        if let Some(verdict) = self.known.get_mut(&(scope, fingerprint)) {
            verdict.leaves |= left_something;
            verdict.trials = verdict.trials.saturating_add(1);
        }
    }

    /// Names of settings that functions of this scope speak of, once they were asked for. Of more than are asked for one by one, none is
    /// remembered: what functions speak of is then looked up each time.
    pub fn mentioned(&self, scope: u64) -> Option<&[Box<str>]> {
        let known = self.mentioned.get(&scope)?;
        (known.names.len() <= NAMES_ASKED_MAX).then_some(&*known.names)
    }

    /// Which functions it is known of what they speak of, all of which are asked for.
    pub fn code(&self, scope: u64) -> Option<&str> {
        self.mentioned(scope)?;
        self.mentioned.get(&scope)?.code.as_deref()
    }

    /// They were asked for, and are those of this code.
    pub fn note_mentioned(&mut self, scope: u64, names: Vec<Box<str>>, code: Option<Box<str>>) {
        if self.mentioned.len() >= SCOPES_MAX {
            self.mentioned.clear();
        }
        let names = names.into();
        self.mentioned.insert(scope, Mentioned { names, code });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Fingerprint = Fingerprint(1);

    #[test]
    fn what_never_leaves_anything_is_looked_after_less_and_less_often() {
        let mut verdicts = Verdicts::default();
        let asked: Vec<_> = (1..=40)
            .filter(|_| {
                let asks = verdicts.asks(7, ONE);
                verdicts.learn(7, ONE, false);
                asks
            })
            .collect();
        assert_eq!(asked, [1, 2, 3, 4, 5, 6, 7, 8, 16, 32]);
    }

    #[test]
    fn a_run_that_nobody_heard_of_is_no_trial() {
        let mut verdicts = Verdicts::default();
        let unheard = 4 * TRIALS;
        assert!((0..unheard).all(|_| verdicts.asks(7, ONE)));
        for _ in 0..TRIALS {
            assert!(verdicts.asks(7, ONE));
            verdicts.learn(7, ONE, false);
        }
        assert!(!verdicts.asks(7, ONE));
    }

    #[test]
    fn more_names_than_are_asked_for_one_by_one_are_looked_up_each_time() {
        let mut verdicts = Verdicts::default();
        let names = |count: usize| (0..count).map(|n| format!("a.b{n}").into()).collect();
        verdicts.note_mentioned(7, names(NAMES_ASKED_MAX), Some("1 7".into()));
        assert!(verdicts.mentioned(7).is_some() && verdicts.code(7) == Some("1 7"));
        verdicts.note_mentioned(7, names(NAMES_ASKED_MAX + 1), Some("2 15".into()));
        assert!(verdicts.mentioned(7).is_none() && verdicts.code(7).is_none());
    }

    #[test]
    fn what_left_something_once_is_looked_after_always_in_its_own_scope() {
        let mut verdicts = Verdicts::default();
        verdicts.asks(7, ONE);
        verdicts.learn(7, ONE, true);
        assert!((0..100).all(|_| verdicts.asks(7, ONE)));
        let asks_elsewhere = |_: &i32| {
            let asks = verdicts.asks(8, ONE);
            verdicts.learn(8, ONE, false);
            asks
        };
        let elsewhere = (0..100).filter(asks_elsewhere).count();
        assert!(elsewhere < 20, "{elsewhere}");
    }

    #[test]
    fn what_functions_speak_of_is_looked_up_again_now_and_then() {
        let mut verdicts = Verdicts::default();
        let looked: Vec<_> = (1..=20)
            .filter(|_| verdicts.asks(7, ONE) && verdicts.looks_up(7, ONE))
            .collect();
        assert_eq!(looked, [1, 2, 4, 8, 16]);
    }

    #[test]
    fn what_was_asked_about_is_remembered_in_its_own_scope() {
        let mut verdicts = Verdicts::default();
        verdicts.was_asked_about(7, ONE);
        assert!(!verdicts.is_asked_about(7, ONE), "it never ran");
        verdicts.asks(7, ONE);
        verdicts.asks(8, ONE);
        verdicts.was_asked_about(7, ONE);
        assert!(verdicts.is_asked_about(7, ONE) && !verdicts.is_asked_about(8, ONE));
    }

    #[test]
    fn no_more_statements_are_remembered_than_there_may_be() {
        let mut verdicts = Verdicts::default();
        for number in 0..3 * VERDICTS_MAX as u64 {
            verdicts.asks(1, Fingerprint(number));
        }
        assert!(verdicts.known.len() <= VERDICTS_MAX);
    }
}
