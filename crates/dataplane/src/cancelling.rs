//! Cancel requests on their way to a database.

use crate::connection::Role;
use crate::driver::Driver;
use crate::mailbox::{Asker, Ticket};
use crate::worker::Worker;
use forebay_core::engine::Engine;
use std::rc::Rc;

/// A request to cancel what a client has asked, which its backend is not yet at.
pub(crate) struct Postponed {
    backend: Ticket,
    /// Who must still have that backend.
    client: Option<Ticket>,
    asker: Option<Asker>,
}

impl<D: Driver, E: Engine> Worker<D, E> {
    /// What this backend does now is to be cancelled.
    pub(crate) fn dial_cancel(
        &mut self,
        backend: Ticket,
        victim: Option<Ticket>,
        asker: Option<Asker>,
    ) {
        let target = self.backends.get(backend);
        let state = target.and_then(|backend| backend.state.as_ref());
        if victim.is_some() && state.is_some_and(E::is_preparing) {
            let client = target.and_then(|target| target.client);
            return self.postponed.push(Postponed {
                backend,
                client,
                asker,
            });
        }
        let purpose = state.and_then(E::cancel);
        let Some(purpose) = purpose else {
            if let Some(asker) = asker {
                self.tell_cancelled(asker, true);
            }
            return;
        };
        let Some(target) = self.backends.get_mut(backend) else {
            return;
        };
        let victim = victim.is_some().then_some(target.ticket);
        if victim.is_some() {
            target.cancels += 1;
        }
        let pool = Rc::clone(&target.pool);
        let ticket = self.add_backend(&pool, Role::Cancel { victim, asker });
        self.purposes.insert(ticket, purpose);
        self.start_dial(ticket);
    }

    /// Cancel requests waited for what a backend did ahead of its client's messages, which may be done now.
    pub(crate) fn dial_postponed(&mut self) {
        for request in std::mem::take(&mut self.postponed) {
            let Postponed {
                backend,
                client,
                asker,
            } = request;
            let held = self.backends.get(backend);
            if held.is_some_and(|held| held.client == client) {
                // Postponed again, if it is too early.
                self.dial_cancel(backend, Some(backend), asker);
            } else if let Some(asker) = asker {
                self.tell_cancelled(asker, true);
            }
        }
    }

    /// A cancel request has been delivered, as far as can be known.
    pub(crate) fn on_cancel_done(&mut self, victim: Option<Ticket>, asker: Option<Asker>) {
        if let Some(ticket) = victim
            && self.backends.holds(ticket)
            && let Some(backend) = self.backends.get_mut(ticket)
        {
            backend.cancels -= 1;
            if backend.cancels == 0 && std::mem::take(&mut backend.release_deferred) {
                self.releasing.push(ticket);
            }
        }
        if let Some(asker) = asker {
            self.tell_cancelled(asker, true);
        }
    }
}
