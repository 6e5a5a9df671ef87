//! What the proxy is known not to do as PostgreSQL does, taken out of programs so that a run can be strict about the rest.
//!
//! Each entry is a promise still open; when it is kept, the entry goes.

use crate::model::client::{Act, Message, Program, Step};
use std::collections::BTreeMap;

/// Rewrites a program so that it avoids what is known.
pub(super) fn avoid(program: &mut Program) {
    for episode in &mut program.episodes {
        end_queries_with_reset(&mut episode.steps);
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
