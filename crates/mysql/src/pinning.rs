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
    let is_for_next = session.pins.iter().eq([PinReason::OneShotSetting]);
    let is_followed = backend.exchange.in_transaction() || !session.one_shot_waits;
    session.one_shot_waits = is_for_next;
    if is_for_next && is_followed && session.pin_told.is_none() {
        // What is for the next transaction is nearly always followed by it: the backend is kept without a word until anything else is.
        backend.pinned = false;
        return;
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
