//! When a session starts and stops keeping its backend between transactions.
//!
//! A pin begins when the statement that causes it is sent: whether it succeeds is known only later, and until then nobody else may
//! have the backend. The first reason is the one that is told; the pin ends when none is left. Only DISCARD ALL is known to end reasons;
//! other ends come with probes.
//! A backend that was pinned is closed with its session.

use crate::backend::Backend;
use crate::login_cache::Work;
use crate::said::Said;
use crate::session::Session;
use forebay_core::PinReason;
use forebay_core::orders::{Order, Orders};

/// The session keeps its backend from now on, because of what was `said`, where that is known; unless this reason is filtered. Whoever
/// orders a pin has the backend reset before another session gets it, so that a filter costs what its session expects, and nobody else.
pub fn pin(
    session: &mut Session,
    backend: &mut Backend,
    reason: PinReason,
    said: Option<Said<'_>>,
    orders: &mut Orders<Work>,
) {
    if session.pins.contains(reason) {
        return;
    }
    if !session.rules.unpinned.contains(&reason) {
        return keep(session, backend, reason, said, orders);
    }
    if let PinReason::SetConfig | PinReason::UntrackedSetting | PinReason::UnexplainedReport =
        reason
    {
        // What its texts mean is not known any more: statements that it prepares from now on are nobody else's.
        session.tracker.lose();
    }
}

/// As [`pin`], whatever is filtered.
pub fn keep(
    session: &mut Session,
    backend: &mut Backend,
    reason: PinReason,
    said: Option<Said<'_>>,
    orders: &mut Orders<Work>,
) {
    if session.pins.is_empty() {
        backend.pinned = true;
        // Only the first reason is told: for others nobody pays.
        orders.push(Order::Pin(reason, said.map(|said| Box::new(said.shape()))));
    }
    session.pins.add(reason);
}

/// DISCARD ALL succeeded: what it discards no longer pins.
pub fn on_discard_all(session: &mut Session, backend: &mut Backend, orders: &mut Orders<Work>) {
    if session.pins.is_empty() {
        return;
    }
    session.pins.retain(outlives_discard_all);
    if session.pins.is_empty() {
        backend.pinned = false;
        // A text that was not kept lives on this backend alone.
        session.unnamed.take_if(|unnamed| unnamed.is_unread);
        orders.push(Order::Unpin);
    }
}

/// Whether what pins outlives DISCARD ALL, or may have left something that does.
fn outlives_discard_all(reason: PinReason) -> bool {
    match reason {
        PinReason::TemporaryObject
        | PinReason::HoldableCursor
        | PinReason::AdvisoryLock
        | PinReason::Listen
        | PinReason::SqlPrepare
        | PinReason::SetConfig
        | PinReason::UntrackedSetting
        | PinReason::SequenceState
        | PinReason::UnexplainedReport => false,
        PinReason::LoadLibrary
        | PinReason::Seed
        | PinReason::ProcedureCall
        | PinReason::ReplicationState
        | PinReason::ReplicationConnection
        | PinReason::StartupParameter
        | PinReason::TaintingFunction => true,
    }
}

/// The reasons that a session has for keeping its backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pins(u16);

const _: () = assert!(PinReason::ALL.len() <= u16::BITS as usize);

impl Pins {
    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this is one of them.
    pub fn contains(self, reason: PinReason) -> bool {
        self.0 & 1 << reason as u16 != 0
    }

    /// One more.
    pub fn add(&mut self, reason: PinReason) {
        self.0 |= 1 << reason as u16;
    }

    /// Only those that `stays` is true of.
    pub fn retain(&mut self, stays: impl Fn(PinReason) -> bool) {
        for reason in PinReason::ALL.into_iter().filter(|reason| !stays(*reason)) {
            self.0 &= !(1 << reason as u16);
        }
    }
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
