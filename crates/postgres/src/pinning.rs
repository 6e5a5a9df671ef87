//! When a session starts and stops keeping its backend between transactions.
//!
//! A pin begins when the statement that causes it is sent: whether it succeeds is known only later, and until then nobody else may
//! have the backend. The first reason stays the reason. Only DISCARD ALL is known to end one; other ends come with probes.
//! A backend that was pinned is closed with its session.

use crate::backend::Backend;
use crate::login_cache::Work;
use crate::session::Session;
use forebay_core::PinReason;
use forebay_core::orders::{Order, Orders};

/// The session keeps its backend from now on.
pub fn pin(
    session: &mut Session,
    backend: &mut Backend,
    reason: PinReason,
    orders: &mut Orders<Work>,
) {
    if session.pin.is_none() {
        session.pin = Some(reason);
        backend.pinned = true;
        orders.push(Order::Pin(reason));
    }
}

/// DISCARD ALL succeeded: what it discards no longer pins.
pub fn on_discard_all(session: &mut Session, backend: &mut Backend, orders: &mut Orders<Work>) {
    let Some(reason) = session.pin else { return };
    let ended = match reason {
        PinReason::TemporaryObject
        | PinReason::HoldableCursor
        | PinReason::AdvisoryLock
        | PinReason::Listen
        | PinReason::SqlPrepare
        | PinReason::SetConfig
        | PinReason::UntrackedSetting
        | PinReason::SequenceState
        | PinReason::UnexplainedReport => true,
        // These outlive DISCARD ALL, or may have left something that does.
        PinReason::LoadLibrary
        | PinReason::Seed
        | PinReason::ProcedureCall
        | PinReason::ReplicationState
        | PinReason::ReplicationConnection
        | PinReason::StartupParameter => false,
    };
    if ended {
        session.pin = None;
        backend.pinned = false;
        orders.push(Order::Unpin);
    }
}
