//! Logins that came to nothing and are worth another try: the target may not know the protocol version that was asked for.

use crate::connection::Role;
use crate::driver::Driver;
use crate::mailbox::Ticket;
use crate::worker::Worker;
use forebay_core::engine::Engine;
use std::rc::Rc;

impl<D: Driver, E: Engine> Worker<D, E> {
    /// The target may not know our newest protocol version: the same connection once more, with the oldest. To the pool, to the client
    /// that waits and in the counters it is one connection that is being opened. False if that cannot help.
    pub(crate) fn redial(&mut self, ticket: Ticket) -> bool {
        let Some(backend) = self.backends.get(ticket) else {
            return false;
        };
        let (pool, role) = (Rc::clone(&backend.pool), backend.role);
        let (number, dial_deadline) = (backend.number, backend.dial_deadline);
        let in_doubt = backend.state.as_ref().is_some_and(E::is_version_in_doubt);
        if !in_doubt || self.now > dial_deadline {
            return false;
        }
        let purpose = self.purposes.remove(&ticket);
        self.drop_backend(ticket);
        let before = ticket;
        let ticket = self.add_backend(&pool, role);
        self.on_listener_moved(before, ticket);
        if let Role::Replacing { .. } = role {
            let (jitter, keys) = (self.jitter(), (before.backend_key(), ticket.backend_key()));
            self.pools.on_replaced(self.now, keys.0, keys.1, jitter);
        }
        if let Some(purpose) = purpose {
            self.purposes.insert(ticket, purpose);
        }
        if let Some(backend) = self.backends.get_mut(ticket) {
            backend.redialed = true;
            backend.number = number;
            backend.dial_deadline = dial_deadline;
        }
        self.start_dial(ticket);
        true
    }
}
