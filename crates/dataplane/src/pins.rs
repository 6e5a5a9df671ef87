//! Sessions that keep their backend: since when, and because of which statement; told to the log and counted by reason.

use crate::connection::{Backend, Client};
use crate::driver::Driver;
use crate::mailbox::Ticket;
use crate::reporting::Subject;
use crate::worker::Worker;
use forebay_core::engine::Engine;
use forebay_core::event::EventKind;
use forebay_core::{Instant, PinReason, StatementShape};
use std::sync::Arc;

/// A pin that lasts.
#[derive(Debug)]
pub struct Pin {
    /// Why it began.
    pub reason: PinReason,
    /// When.
    pub since: Instant,
    /// The statement that did it, where it is known.
    pub statement: Option<Arc<StatementShape>>,
}

impl<D: Driver, E: Engine> Worker<D, E> {
    /// The session keeps its backend.
    pub(crate) fn on_pin(
        &mut self,
        client: Ticket,
        backend: Ticket,
        reason: PinReason,
        statement: Option<Box<StatementShape>>,
    ) {
        let now = self.now;
        let Some((client, backend)) = self.ends(client, backend) else {
            return;
        };
        if client.pin.is_some() {
            return;
        }
        let statement: Option<Arc<StatementShape>> = statement.map(Arc::from);
        client.pin = Some(Box::new(Pin {
            reason,
            since: now,
            statement: statement.clone(),
        }));
        let block = &client.endpoint.block;
        block.pins[reason as usize].add(1);
        block.pins_current[reason as usize].add(1);
        backend.pinned().add(1);
        let about = Subject::both(client, backend);
        let kind = EventKind::SessionPinned {
            reason,
            statement,
            user: Arc::clone(&backend.pool.key.user),
            database: Arc::clone(&backend.pool.key.database),
        };
        self.report(about, kind);
    }

    /// The pin's cause ended.
    pub(crate) fn on_unpin(&mut self, client: Ticket, backend: Ticket) {
        self.end_pin(client, backend, true);
    }

    /// A session that has a pin has it no longer: it goes on without, or has lost its backend.
    pub(crate) fn end_pin(&mut self, client: Ticket, backend: Ticket, goes_on: bool) {
        let now = self.now;
        let Some((client, backend)) = self.ends(client, backend) else {
            return;
        };
        if let Some(pin) = client.pin.take() {
            let about = Subject::both(client, backend);
            let kind = close_pin(*pin, now, client, backend, goes_on);
            self.report(about, kind);
        }
    }

    /// A session ends; its pin, if it has one, ends with it. Whether it had one.
    pub(crate) fn end_last_pin(&mut self, client: &mut Client<E>, backend: Ticket) -> bool {
        let Some(pin) = client.pin.take() else {
            return false;
        };
        if let Some(backend) = self.backends.get(backend) {
            let about = Subject::both(client, backend);
            let kind = close_pin(*pin, self.now, client, backend, false);
            self.report(about, kind);
        }
        true
    }

    /// A client and its backend.
    fn ends(&mut self, client: Ticket, backend: Ticket) -> Option<(&mut Client<E>, &Backend<E>)> {
        Some((self.clients.get_mut(client)?, self.backends.get(backend)?))
    }
}

/// Counts the end of a pin, and says what the log is told.
fn close_pin<E: Engine>(
    pin: Pin,
    now: Instant,
    client: &Client<E>,
    backend: &Backend<E>,
    goes_on: bool,
) -> EventKind {
    let (block, reason) = (&client.endpoint.block, pin.reason as usize);
    let lasted = now.since(pin.since);
    let micros = now.micros_since(pin.since);
    block.unpins.add(u64::from(goes_on));
    block.pins_ended[reason].add(1);
    block.pins_current[reason].sub(1);
    block.pinned_micros[reason].add(micros);
    block.pin_duration.record(micros);
    backend.pinned().sub(1);
    EventKind::SessionUnpinned {
        reason: pin.reason,
        statement: pin.statement,
        user: Arc::clone(&backend.pool.key.user),
        database: Arc::clone(&backend.pool.key.database),
        lasted,
        goes_on,
    }
}
