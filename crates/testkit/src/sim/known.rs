//! What the proxy is known not to do as PostgreSQL does, taken out of programs so that a run can be strict about the rest.
//!
//! Each entry is a promise still open; when it is kept, the entry goes.

use crate::model::Named;
use crate::model::client::{Act, Message, Program, Step};
use std::collections::{BTreeMap, BTreeSet};

/// Rewrites a program so that it avoids what is known.
pub(super) fn avoid(program: &mut Program) {
    for episode in &mut program.episodes {
        end_queries_with_reset(&mut episode.steps);
        bind_what_fits(&mut episode.steps);
        take_no_name_twice(&mut episode.steps);
        end_segments_with_reset(&mut episode.steps);
    }
}

/// Brings back what the client's startup message set, which the backend never heard of: the proxy sets it again at the boundary,
/// so statements behind it in the same segment see the server's defaults.
fn resets(act: &Act) -> bool {
    matches!(act, Act::Reset(_) | Act::ResetAll)
        || matches!(act, Act::Discard(what) if *what == "ALL")
}

/// In a Query, nothing comes behind a RESET.
fn end_queries_with_reset(steps: &mut [Step]) {
    for step in steps {
        if let Step::Send(Message::Query(acts))
        | Step::Vanish {
            message: Message::Query(acts),
            ..
        } = step
            && let Some(at) = acts.iter().position(resets)
        {
            acts.truncate(at + 1);
        }
    }
}

/// In the extended protocol, a Sync comes behind the execution of a RESET.
fn end_segments_with_reset(steps: &mut Vec<Step>) {
    let mut statements = BTreeMap::new();
    let mut portals = BTreeMap::new();
    let mut at = 0;
    while at < steps.len() {
        let mut ends = false;
        if let Step::Send(message) = &steps[at] {
            match message {
                Message::Parse { name, act } => {
                    statements.insert(*name, act.as_ref().is_some_and(resets));
                }
                Message::Bind {
                    portal, statement, ..
                } => {
                    portals.insert(*portal, statements.get(statement) == Some(&true));
                }
                Message::Execute { portal, .. } => ends = portals.get(portal) == Some(&true),
                _ => {}
            }
        }
        at += 1;
        if ends {
            steps.insert(at, Step::Send(Message::Sync));
            at += 1;
        }
    }
}

/// In a failed transaction the name of a statement that this backend has not cannot be shown to be taken: the error is that of the
/// transaction, where the server would complain about the text, or about the name of a statement that is allowed there.
fn take_no_name_twice(steps: &mut [Step]) {
    let told = |act: &Act| {
        matches!(
            act,
            Act::Nonsense | Act::Commit { .. } | Act::Rollback { .. } | Act::RollbackTo(_)
        )
    };
    let mut taken = BTreeSet::new();
    for step in steps {
        if let Step::Send(Message::Parse { name, act }) = step
            && !name.is_empty()
            && !taken.insert(*name)
            && act.as_ref().is_none_or(told)
        {
            *name = "";
        }
    }
}

/// In a failed transaction a statement cannot be prepared again on another backend: the error is that of the transaction, where the
/// server would first complain about a wrong number of parameters, or describe a statement without a result all the same.
fn bind_what_fits(steps: &mut Vec<Step>) {
    steps.retain(|step| {
        !matches!(step, Step::Send(Message::Describe { what: Named::Statement, name }) if !name.is_empty())
    });
    let mut counts: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for step in steps.iter() {
        if let Step::Send(Message::Parse { name, act }) = step {
            let count = act.as_ref().map_or(0, Act::parameters);
            counts.entry(name).or_default().insert(count);
        }
    }
    steps.retain(|step| match step {
        Step::Send(Message::Bind {
            statement, params, ..
        }) if !statement.is_empty() => counts
            .get(statement)
            .is_none_or(|counts| counts.iter().all(|count| *count == params.len())),
        _ => true,
    });
}
