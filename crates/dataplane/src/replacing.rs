//! A backend that does not suit the session which is to have it: closed, and another opened for that session in its place.
//!
//! To the pool it is one lease: the place stays taken, and nobody else's backend is touched for it. Should the other one not come about,
//! the session asks the pool again.

use crate::connection::{Client, Role};
use crate::driver::Driver;
use crate::mailbox::Ticket;
use crate::relay::{Side, Source};
use crate::worker::Worker;
use forebay_core::engine::Engine;
use forebay_core::event::EventKind;
use forebay_core::{CloseReason, Instant, Refusal};
use std::rc::Rc;
use std::time::Duration;

impl<D: Driver, E: Engine> Worker<D, E> {
    /// Whether the client may have this backend; `input` is what it has asked for, as far as that is not in its inbox.
    pub(crate) fn suits(&self, client: Ticket, backend: Ticket, input: &[u8]) -> bool {
        let state = self.backends.get(backend);
        let state = state.and_then(|backend| backend.state.as_ref());
        let (Some(client), Some(state)) = (self.clients.get(client), state) else {
            return true;
        };
        let kept = &client.inbox.bytes;
        let input = if kept.is_empty() { input } else { kept };
        E::suits(&client.session, state, input)
    }

    /// Closes the backend that the client was to have, and opens another for it.
    pub(crate) fn replace_backend(&mut self, client: Ticket, old: Ticket, since: Instant) {
        let Some(backend) = self.backends.get_mut(old) else {
            return;
        };
        let pool = Rc::clone(&backend.pool);
        pool.block.backends_unsuitable.add(1);
        if let Some(state) = backend.state.as_mut() {
            E::on_backend_closing(state, &mut self.orders);
            self.obey(Side::Backend(old), &Source::Bytes(&[]), 0);
        }
        let (reason, detail) = (CloseReason::Unsuitable, "".into());
        self.report_backend(old, EventKind::BackendClosed { reason, detail });
        self.drop_backend(old);
        let new = self.add_backend(&pool, Role::Replacing { client, since });
        let wait_max = self.clients.get(client).map(borrow_timeout);
        // With a timeout of zero it would never get one: a dial is what it waits for in any case.
        if let Some(wait_max) = wait_max.filter(|wait_max| !wait_max.is_zero())
            && let Some(backend) = self.backends.get_mut(new)
        {
            backend.dial_deadline = backend.dial_deadline.min(since + wait_max);
        }
        let jitter = self.jitter();
        let (now, keys) = (self.now, (old.backend_key(), new.backend_key()));
        self.pools.on_replaced(now, keys.0, keys.1, jitter);
        self.start_dial(new);
    }

    /// The backend that was opened in another's place is ready.
    pub(crate) fn on_replacement_ready(&mut self, client: Ticket, new: Ticket, since: Instant) {
        let waits = self
            .clients
            .get(client)
            .is_some_and(|client| client.phase.is_waiting());
        if waits {
            self.attach(client, new, since, &[]);
            self.feed_client_inbox(client);
        } else {
            self.releasing.push(new);
        }
    }

    /// The backend that was to be opened in another's place is not to be had, and is no longer there: its client asks the pool again, or
    /// has waited for long enough.
    pub(crate) fn on_replacement_failed(&mut self, client: Ticket, new: Ticket, since: Instant) {
        self.pools.on_closed(self.now, new.backend_key());
        let Some(waiting) = self.clients.get(client) else {
            return;
        };
        if self.now < since + borrow_timeout(waiting) {
            self.wait_again(client);
        } else {
            self.refuse_lease(client, &Refusal::BorrowTimeout);
        }
    }
}

/// How long a client waits for a backend.
fn borrow_timeout<E: Engine>(client: &Client<E>) -> Duration {
    let plan = client.endpoint.proxy.borrow();
    plan.proxy.target_group.limits.borrow_timeout
}
