//! When a session starts and stops keeping its backend between transactions.
//!
//! A pin begins when the statement that may cause it is sent: whether it did is known only later, and until then nobody else may
//! have the backend. When the transaction has ended the server is asked (`probe.rs`): what is there no more, or never was, does not pin. What
//! is left then is told, by its first reason; it is asked for again behind statements that may have ended it.
//! A backend that is pinned is closed with its session.

use crate::backend::Backend;
use crate::login_cache::Work;
use crate::probe::{Asks, of_settings};
use crate::said::Said;
use crate::sequences::Sequences;
use crate::session::Session;
use forebay_core::orders::{Order, Orders};
use forebay_core::{PinReason, Pins};
use std::sync::Arc;

/// The session keeps its backend until it is known that it need not, because of what was `said`, where that is known. A filter takes
/// effect only then: see [`tell`].
pub fn pin(
    session: &mut Session,
    backend: &mut Backend,
    reason: PinReason,
    said: Option<Said<'_>>,
) {
    backend.had_temporary |= reason == PinReason::TemporaryObject;
    backend.exchange.asks().verify(reason);
    if session.pins.contains(reason) {
        return;
    }
    if session.pins.is_empty() {
        // Only the first reason is told: for others nobody pays.
        session.pin_said = said.map(|said| Box::new(said.shape()));
    }
    backend.pinned = true;
    session.pins.add(reason);
}

/// As [`pin`], whatever is filtered.
pub fn keep(
    session: &mut Session,
    backend: &mut Backend,
    reason: PinReason,
    said: Option<Said<'_>>,
) {
    pin(session, backend, reason, said);
    session.pins_kept.add(reason);
}

/// A transaction is over and there is nothing left to ask: says what pins, if that is news, but for what is filtered. Whatever pins has
/// the backend reset before another session gets it, so that a filter costs what its session expects, and nobody else.
pub fn tell(session: &mut Session, orders: &mut Orders<Work>) {
    let rules = Arc::clone(&session.rules);
    let kept = session.pins_kept;
    let stays = |reason| kept.contains(reason) || !rules.unpinned.contains(&reason);
    if session.pins.iter().any(|reason| !stays(reason)) {
        if hides_settings(session.pins) {
            // What its texts mean is not known any more: statements that it prepares from now on are nobody else's.
            session.tracker.lose();
        }
        session.pins.retain(stays);
    }
    match session.pin_told {
        Some(told) if session.pins.contains(told) => return,
        // It goes on for another reason.
        Some(_) if !session.pins.is_empty() => orders.push(Order::Unpin),
        _ => {}
    }
    if let Some(reason) = session.pins.iter().next() {
        session.pin_told = Some(reason);
        orders.push(Order::Pin(reason, session.pin_said.take()));
    }
}

/// The server was asked: whatever it has not, does not pin; what it has, does.
pub fn on_probe(
    session: &mut Session,
    backend: &mut Backend,
    (asks, held): (&Asks, Pins),
    settings_known: bool,
    orders: &mut Orders<Work>,
) {
    session.pins.retain(|reason| {
        let of_settings = !crate::probe::OBJECT_REASONS.contains(&reason);
        !asks.tells_of(reason)
            || if of_settings {
                !settings_known
            } else {
                held.contains(reason)
            }
    });
    held.iter().for_each(|reason| session.pins.add(reason));
    if session.pin_said.is_none() && session.pin_told.is_none() {
        session.pin_said = asks.said.clone();
    }
    end(session, backend, orders);
}

/// DISCARD ALL succeeded: what it discards no longer pins.
pub fn on_discard_all(session: &mut Session, backend: &mut Backend, orders: &mut Orders<Work>) {
    session.pins.retain(outlives_discard_all);
    (session.settings_unknown, session.is_doubted) = (false, false);
    session.sequences = Sequences::default();
    end(session, backend, orders);
}

/// DISCARD SEQUENCES succeeded: there are no values left that only this backend remembers.
pub fn on_discard_sequences(
    session: &mut Session,
    backend: &mut Backend,
    orders: &mut Orders<Work>,
) {
    session.sequences = Sequences::default();
    session
        .pins
        .retain(|reason| reason != PinReason::SequenceState);
    end(session, backend, orders);
}

/// A transaction is over in which nothing was asked about the values of sequences that an earlier one made, nor were others made.
pub fn on_sequences_unasked(
    session: &mut Session,
    backend: &mut Backend,
    orders: &mut Orders<Work>,
) {
    if !session.sequences.asked && session.pins.contains(PinReason::SequenceState) {
        session
            .pins
            .retain(|reason| reason != PinReason::SequenceState);
        end(session, backend, orders);
    }
}

/// The last reason may have gone.
fn end(session: &mut Session, backend: &mut Backend, orders: &mut Orders<Work>) {
    backend.pinned = !session.pins.is_empty();
    if !session.pins.is_empty() {
        return;
    }
    session.pins_kept = Pins::default();
    session.pin_said = None;
    // A text that was not kept lives on this backend alone.
    session.unnamed.take_if(|unnamed| unnamed.is_unread);
    if session.pin_told.take().is_some() {
        orders.push(Order::Unpin);
    }
}

/// Whether a statement with this tag may end what pins: a temporary object that is dropped or whose transaction ended, a cursor that is
/// closed, a lock that is released, a name that is given up.
pub fn may_end(tag: &[u8]) -> bool {
    [
        &b"SELECT"[..],
        b"DROP",
        b"DISCARD",
        b"CLOSE",
        b"DEALLOCATE",
        b"UNLISTEN",
        b"COMMIT",
        b"ROLLBACK",
        b"DO",
        b"CALL",
        b"RESET",
        b"ALTER",
    ]
    .iter()
    .any(|word| tag.starts_with(word))
}

/// Whether what pins outlives DISCARD ALL, or may have left something that does.
pub fn outlives_discard_all(reason: PinReason) -> bool {
    match reason {
        PinReason::TemporaryObject
        | PinReason::HoldableCursor
        | PinReason::AdvisoryLock
        | PinReason::Listen
        | PinReason::SqlPrepare
        | PinReason::SetConfig
        | PinReason::UntrackedSetting
        | PinReason::SequenceState
        | PinReason::LongStatement
        | PinReason::UnexplainedReport => false,
        PinReason::LoadLibrary
        | PinReason::Seed
        | PinReason::ProcedureCall
        | PinReason::ReplicationState
        | PinReason::ReplicationConnection
        | PinReason::StartupParameter
        | PinReason::TaintingFunction => true,
        // MySQL's alone.
        PinReason::UserVariable
        | PinReason::NamedLock
        | PinReason::TableLock
        | PinReason::Handler
        | PinReason::Cursor
        | PinReason::OneShotSetting
        | PinReason::LeftBehind => true,
    }
}

/// Whether it is not known which settings there are.
pub fn hides_settings(pins: Pins) -> bool {
    pins.iter().any(of_settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_outlives_discard_all_keeps_the_backend_whatever_came_before_it() {
        let mut pins = Pins::default();
        pins.add(PinReason::TemporaryObject);
        pins.add(PinReason::LoadLibrary);
        pins.retain(outlives_discard_all);
        assert!(!pins.is_empty() && !pins.contains(PinReason::TemporaryObject));
        assert!(pins.contains(PinReason::LoadLibrary));
    }

    #[test]
    fn no_reason_is_taken_for_another() {
        for reason in PinReason::ALL {
            let mut pins = Pins::default();
            pins.add(reason);
            let found = PinReason::ALL
                .into_iter()
                .filter(|other| pins.contains(*other));
            assert_eq!(found.collect::<Vec<_>>(), [reason]);
        }
    }
}
