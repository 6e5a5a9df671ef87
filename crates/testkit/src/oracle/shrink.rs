//! Makes a program that differs smaller: steps are left out for as long as something still differs.
//!
//! Delta debugging in its plain form (Zeller 1999): ever smaller runs of steps are tried, then parts of long texts.

use super::mysql::program as mysql;
use super::program::{Act, Extended, Program, Step};

/// Most attempts; each one plays a program.
const ATTEMPTS_MAX: usize = 400;

/// A program, as far as it can be made smaller.
pub trait Shrinks: Clone {
    /// One of its steps.
    type Step: Clone;

    /// Its steps.
    fn steps(&mut self) -> &mut Vec<Self::Step>;

    /// The step without one of its parts, while it has more than one.
    fn without(step: &Self::Step, part: usize) -> Option<Self::Step>;
}

impl Shrinks for Program {
    type Step = Step;

    fn steps(&mut self) -> &mut Vec<Step> {
        &mut self.steps
    }

    fn without(step: &Step, part: usize) -> Option<Step> {
        let act = without(&step.act, part)?;
        Some(Step { who: step.who, act })
    }
}

impl Shrinks for mysql::Program {
    type Step = mysql::Step;

    fn steps(&mut self) -> &mut Vec<mysql::Step> {
        &mut self.steps
    }

    fn without(step: &mysql::Step, part: usize) -> Option<mysql::Step> {
        let act = step.act.without(part)?;
        Some(mysql::Step { who: step.who, act })
    }
}

/// The smallest program found for which `differs` still holds; it must hold for `program` itself.
pub fn shrink<P: Shrinks>(program: &P, mut differs: impl FnMut(&P) -> bool) -> P {
    let mut best = program.clone();
    let mut left = ATTEMPTS_MAX;
    let mut try_it = |candidate: P, best: &mut P| {
        if left == 0 {
            return false;
        }
        left -= 1;
        let holds = differs(&candidate);
        if holds {
            *best = candidate;
        }
        holds
    };
    let mut length = best.steps().len().div_ceil(2);
    while length > 0 {
        let mut at = 0;
        let mut smaller = false;
        while at < best.steps().len() {
            let mut candidate = best.clone();
            let end = (at + length).min(candidate.steps().len());
            candidate.steps().drain(at..end);
            if try_it(candidate, &mut best) {
                smaller = true;
            } else {
                at += length;
            }
        }
        if length > 1 || !smaller {
            length /= 2;
        }
    }
    for at in 0..best.steps().len() {
        let mut part = 0;
        while let Some(step) = P::without(&best.steps()[at], part) {
            let mut candidate = best.clone();
            candidate.steps()[at] = step;
            if !try_it(candidate, &mut best) {
                part += 1;
            }
        }
    }
    best
}

/// The act without one of its parts, while it has more than one.
fn without(act: &Act, part: usize) -> Option<Act> {
    match act {
        Act::Query(sql) => {
            let mut parts: Vec<&str> = sql.split("; ").collect();
            (parts.len() > 1 && part < parts.len()).then(|| {
                parts.remove(part);
                Act::Query(parts.join("; "))
            })
        }
        Act::Open(parameters) => (part < parameters.len()).then(|| {
            let mut fewer = parameters.clone();
            fewer.remove(part);
            Act::Open(fewer)
        }),
        Act::Extended(messages) => {
            // What ends the step must stay, or nobody knows how many replies to wait for.
            let ends = |message: &Extended| matches!(message, Extended::Sync | Extended::Flush);
            let last = messages.len().saturating_sub(1);
            (part < last).then(|| {
                let mut fewer = messages.clone();
                fewer.remove(part);
                debug_assert!(
                    fewer.last().is_some_and(ends),
                    "a step ends by Sync or Flush"
                );
                Act::Extended(fewer)
            })
        }
        Act::Close | Act::CopyIn { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::program::Who;
    use super::*;

    fn program(texts: &[&str]) -> Program {
        let step = |text: &&str| Step {
            who: Who::Client(0),
            act: Act::query(*text),
        };
        Program {
            steps: texts.iter().map(step).collect(),
        }
    }

    #[test]
    fn what_does_not_matter_is_left_out() {
        let long = program(&["a", "b", "one; two; three", "c", "d", "last", "e"]);
        let needs = |program: &Program, word: &str| {
            let holds = |step: &Step| step.act.to_string().contains(word);
            program.steps.iter().any(holds)
        };
        let small = shrink(&long, |program| {
            needs(program, "two") && needs(program, "last")
        });
        assert_eq!(small, program(&["two", "last"]));
    }
}
