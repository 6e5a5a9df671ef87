//! When a session starts and stops keeping its backend between transactions.
//!
//! A pin begins when the statement that causes it has succeeded, and ends when its cause ends: MySQL does what it is told at once, and takes
//! nothing of it back with a transaction. What a connection may hold that nothing tells of (a lock taken in a function) is not pinned: the
//! backend is suspect, and made new before another session has it. A backend that is pinned is closed with its session.

use crate::backend::Backend;
use crate::login_cache::Work;
use crate::session::Session;
use forebay_core::orders::{Order, Orders};
use forebay_core::{PinReason, StatementShape};

/// The reasons that a session has for keeping its backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pins(u32);

const _: () = assert!(PinReason::ALL.len() <= u32::BITS as usize);

impl Pins {
    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this is one of them.
    pub fn contains(self, reason: PinReason) -> bool {
        self.0 & 1 << reason as u16 != 0
    }

    /// All of them, in the order of their declaration.
    pub fn iter(self) -> impl Iterator<Item = PinReason> {
        PinReason::ALL
            .into_iter()
            .filter(move |&reason| self.contains(reason))
    }

    /// One more.
    pub fn add(&mut self, reason: PinReason) {
        self.0 |= 1 << reason as u16;
    }

    /// One less.
    pub fn remove(&mut self, reason: PinReason) {
        self.0 &= !(1 << reason as u16);
    }
}

/// The session keeps its backend for this reason, because of that statement, where it is known.
pub fn pin(
    session: &mut Session,
    backend: &mut Backend,
    reason: PinReason,
    shape: impl FnOnce() -> Option<Box<StatementShape>>,
) {
    if session.pins.is_empty() {
        // Only the first reason is told: for others nobody pays.
        session.pin_said = shape();
    }
    session.pins.add(reason);
    backend.pinned = true;
    session.suspect(backend);
}

/// As [`pin`], where nothing is left on the backend that another session could notice.
pub fn keep(session: &mut Session, backend: &mut Backend, reason: PinReason) {
    session.pins.add(reason);
    backend.pinned = true;
}

/// A cause ended.
pub fn unpin(session: &mut Session, reason: PinReason) {
    session.pins.remove(reason);
}

/// A statement is over: says what pins, if that is news, but for what is filtered.
pub fn tell(session: &mut Session, backend: &mut Backend, orders: &mut Orders<Work>) {
    for reason in session.rules.unpinned.iter() {
        session.pins.remove(*reason);
    }
    match session.pin_told {
        Some(told) if session.pins.contains(told) => return,
        Some(_) => orders.push(Order::Unpin),
        None => {}
    }
    session.pin_told = session.pins.iter().next();
    backend.pinned = session.pin_told.is_some();
    if let Some(reason) = session.pin_told {
        orders.push(Order::Pin(reason, session.pin_said.take()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_a_set_of_reasons() {
        let mut pins = Pins::default();
        assert!(pins.is_empty());
        pins.add(PinReason::NamedLock);
        pins.add(PinReason::TemporaryObject);
        assert!(pins.contains(PinReason::NamedLock));
        let all: Vec<_> = pins.iter().collect();
        assert_eq!(all, [PinReason::TemporaryObject, PinReason::NamedLock]);
        pins.remove(PinReason::NamedLock);
        pins.remove(PinReason::TemporaryObject);
        assert!(pins.is_empty());
    }
}
