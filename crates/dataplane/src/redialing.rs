//! Logins that came to nothing and are worth another try: the target may not know the protocol version that was asked for, or the user's
//! other password.

use crate::connection::Role;
use crate::driver::Driver;
use crate::mailbox::Ticket;
use crate::worker::Worker;
use forebay_core::engine::Engine;
use forebay_core::{Refusal, TargetRefusal};
use std::rc::Rc;

impl<D: Driver, E: Engine> Worker<D, E> {
    /// The target may not know our newest protocol version, or the password: the same connection once more, with the oldest, or the other.
    /// To the pool, to the client that waits and in the counters it is one connection that is being opened. False if that cannot help.
    pub(crate) fn redial(&mut self, ticket: Ticket, refusal: &Refusal) -> bool {
        let Some(backend) = self.backends.get(ticket) else {
            return false;
        };
        let (pool, role) = (Rc::clone(&backend.pool), backend.role);
        let (number, dial_deadline) = (backend.number, backend.dial_deadline);
        let in_doubt = backend.state.as_ref().is_some_and(E::is_version_in_doubt);
        let has_other = pool.credential.borrow().previous.is_some();
        let tries_other = !backend.is_second_password && has_other && is_of_password(refusal);
        if !(in_doubt || tries_other) || self.now > dial_deadline {
            return false;
        }
        let redialed = backend.redialed || in_doubt;
        let is_second_password = backend.is_second_password || tries_other;
        let password = match tries_other {
            true => backend.password.other(),
            false => backend.password,
        };
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
            backend.redialed = redialed;
            backend.password = password;
            backend.is_second_password = is_second_password;
            backend.number = number;
            backend.dial_deadline = dial_deadline;
        }
        self.start_dial(ticket);
        true
    }
}

/// Whether the target refused who logs in.
fn is_of_password(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::TargetRefused {
            means: TargetRefusal::Credentials,
            ..
        }
    )
}
