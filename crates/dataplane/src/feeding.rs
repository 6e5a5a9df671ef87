//! Shows the engine what was received, as far as it wants it, and keeps the rest.
//!
//! An engine holds no bytes: what it did not consume waits in the connection's inbox until there is enough of it, a lease, or an end
//! of its pause. Clients and backends go the same way; they differ in what is asked before and after.

use crate::buffer::Slice;
use crate::connection::{Client, Inbox, Phase};
use crate::driver::{Driver, UNSENT_HIGH};
use crate::mailbox::Ticket;
use crate::relay::{Side, Source};
use crate::worker::Worker;
use forebay_core::engine::Engine;

/// Bytes kept for a connection whose input is not shown for the time being; beyond that it is not received from.
const INBOX_HIGH: usize = 64 * 1024;

impl<D: Driver, E: Engine> Worker<D, E> {
    // --- The sockets ---

    /// Bytes from a client's socket.
    pub(crate) fn on_client_received(&mut self, ticket: Ticket, bytes: Slice) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        if client.phase != Phase::Login {
            client.active_at = now;
            client.asked_at.get_or_insert(now);
        }
        if client.tls.is_some() {
            return self.tls_bytes(Side::Client(ticket), &bytes);
        }
        self.feed_client(ticket, &Source::Received(&bytes));
    }

    /// Bytes from a backend's socket.
    pub(crate) fn on_backend_received(&mut self, ticket: Ticket, bytes: Slice) {
        let Some(backend) = self.backends.get_mut(ticket) else {
            return;
        };
        if backend.tls.is_some() {
            return self.tls_bytes(Side::Backend(ticket), &bytes);
        }
        self.feed_backend(ticket, &Source::Received(&bytes));
    }

    // --- In clear ---

    /// Bytes of a client, in clear.
    pub(crate) fn feed_client(&mut self, ticket: Ticket, source: &Source<'_>) {
        if let Some(client) = self.clients.get(ticket)
            && client.frames.is_some()
        {
            return self.read_frames(ticket, source.bytes());
        }
        self.feed_client_messages(ticket, source);
    }

    /// Bytes of a client, out of their frames.
    pub(crate) fn feed_client_messages(&mut self, ticket: Ticket, source: &Source<'_>) {
        if let Some(client) = self.clients.get(ticket) {
            let received = source.bytes().len() as u64;
            client.endpoint.block.bytes_received.add(received);
        }
        self.feed(Side::Client(ticket), source);
        self.bound_client_inbox(ticket);
    }

    /// Shows what was kept of a client, if it is enough.
    pub(crate) fn feed_client_inbox(&mut self, ticket: Ticket) {
        self.feed_inbox(Side::Client(ticket));
        self.bound_client_inbox(ticket);
        if self.is_framed(ticket) {
            self.read_frames(ticket, &[]);
        }
    }

    /// Bytes of a backend, in clear.
    pub(crate) fn feed_backend(&mut self, ticket: Ticket, source: &Source<'_>) {
        self.feed(Side::Backend(ticket), source);
        self.bound_backend_inbox(ticket);
        if !self.postponed.is_empty() {
            self.dial_postponed();
        }
        self.count_transaction(ticket);
        self.finish_releases();
        self.feed_held_client(ticket);
    }

    fn inbox(&mut self, side: Side) -> Option<&mut Inbox> {
        match side {
            Side::Client(ticket) => self.clients.get_mut(ticket).map(|client| &mut client.inbox),
            Side::Backend(ticket) => self
                .backends
                .get_mut(ticket)
                .map(|backend| &mut backend.inbox),
        }
    }

    /// Shows what has come, behind what was kept, and keeps the rest.
    fn feed(&mut self, side: Side, source: &Source<'_>) {
        let Some(inbox) = self.inbox(side) else {
            return;
        };
        if !inbox.bytes.is_empty() {
            inbox.bytes.extend_from_slice(source.bytes());
            return self.feed_inbox(side);
        }
        let consumed = self.show(side, source);
        let rest = &source.bytes()[consumed..];
        if !rest.is_empty()
            && let Some(inbox) = self.inbox(side)
        {
            inbox.bytes.extend_from_slice(rest);
        }
    }

    /// Shows what was kept, if it is enough.
    fn feed_inbox(&mut self, side: Side) {
        let Some(inbox) = self.inbox(side) else {
            return;
        };
        if inbox.bytes.is_empty() || inbox.bytes.len() < inbox.need {
            return;
        }
        let mut bytes = std::mem::take(&mut inbox.bytes);
        let consumed = self.show(side, &Source::Bytes(&bytes));
        if consumed < bytes.len()
            && let Some(inbox) = self.inbox(side)
        {
            bytes.drain(..consumed);
            // What TLS or a lease brought meanwhile comes behind.
            bytes.append(&mut inbox.bytes);
            inbox.bytes = bytes;
        }
    }

    /// Shows bytes to the engine. Returns how many were consumed: all of them if the connection is gone.
    fn show(&mut self, side: Side, source: &Source<'_>) -> usize {
        match side {
            Side::Client(ticket) => self.show_client(ticket, source),
            Side::Backend(ticket) => self.show_backend(ticket, source),
        }
    }

    /// Shows a client's bytes to the engine until it has had enough of them. Returns how many were consumed.
    fn show_client(&mut self, ticket: Ticket, source: &Source<'_>) -> usize {
        let mut at = 0;
        loop {
            let Some(client) = self.clients.get_mut(ticket) else {
                return source.bytes().len();
            };
            let listening = matches!(client.phase, Phase::Login | Phase::Ready) && !client.paused;
            let rest = &source.bytes()[at..];
            if rest.is_empty() || !listening {
                return at;
            }
            client.inbox.need = 0;
            let logs_in = client.phase == Phase::Login;
            let backend = client.lease.and_then(|lease| self.backends.get_mut(lease));
            let backend = backend.and_then(|backend| backend.state.as_mut());
            E::on_client_bytes(
                &mut self.shared,
                &mut client.session,
                backend,
                self.now,
                rest,
                &mut self.orders,
            );
            let outcome = self.obey(Side::Client(ticket), source, at);
            let progress = outcome.consumed > at;
            at = outcome.consumed;
            if !self.clients.holds(ticket) {
                return source.bytes().len();
            }
            if outcome.starts_tls {
                self.start_client_tls(ticket, &source.bytes()[at..]);
                return source.bytes().len();
            }
            let leased = self.try_lease_now(ticket, &source.bytes()[at..]);
            self.finish_releases();
            if logs_in && self.is_framed(ticket) {
                self.read_frames(ticket, &source.bytes()[at..]);
                return source.bytes().len();
            }
            let Some(client) = self.clients.get_mut(ticket) else {
                return source.bytes().len();
            };
            if outcome.need > 0 {
                client.inbox.need = outcome.need;
                return at;
            }
            if !progress && !leased {
                return at;
            }
        }
    }

    /// Shows a backend's bytes to the engine. Returns how many were consumed.
    fn show_backend(&mut self, ticket: Ticket, source: &Source<'_>) -> usize {
        let mut at = 0;
        loop {
            let Some(backend) = self.backends.get_mut(ticket) else {
                return source.bytes().len();
            };
            let rest = &source.bytes()[at..];
            if rest.is_empty() {
                return at;
            }
            backend.inbox.need = 0;
            let Some(state) = backend.state.as_mut() else {
                return at;
            };
            let client = backend
                .client
                .and_then(|client| self.clients.get_mut(client));
            let session = client.map(|client| &mut client.session);
            E::on_backend_bytes(
                &mut self.shared,
                state,
                session,
                self.now,
                rest,
                &mut self.orders,
            );
            let outcome = self.obey(Side::Backend(ticket), source, at);
            let progress = outcome.consumed > at;
            at = outcome.consumed;
            if !self.backends.holds(ticket) {
                return source.bytes().len();
            }
            if outcome.starts_tls {
                self.start_backend_tls(ticket, &source.bytes()[at..]);
                return source.bytes().len();
            }
            if outcome.need > 0 {
                if let Some(backend) = self.backends.get_mut(ticket) {
                    backend.inbox.need = outcome.need;
                }
                return at;
            }
            if !progress {
                return at;
            }
        }
    }

    // --- Afterwards ---

    /// A client that sends more than can be shown is not received from until that changes.
    pub(crate) fn bound_client_inbox(&mut self, ticket: Ticket) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        if client.inbox.bytes.is_empty() && client.lease.is_none() && client.phase == Phase::Ready {
            // What it asked was answered without a backend: the next request is not as old as this.
            client.asked_at = None;
        }
        let bound = INBOX_HIGH.max(client.inbox.need);
        let full = client.inbox.bytes.len() >= bound;
        if full && !client.throttled {
            client.throttled = true;
            self.driver.receive(client.handle, false);
        } else if !full && client.throttled {
            self.on_client_relaxed_maybe(ticket);
        }
    }

    /// The same for a backend whose answers must wait for something.
    fn bound_backend_inbox(&mut self, ticket: Ticket) {
        let Some(backend) = self.backends.get_mut(ticket) else {
            return;
        };
        let full = backend.inbox.bytes.len() >= INBOX_HIGH.max(backend.inbox.need);
        if full == backend.throttled {
            return;
        }
        if full {
            backend.throttled = true;
            if let Some(handle) = backend.handle {
                self.driver.receive(handle, false);
            }
            return;
        }
        let client = backend.client.and_then(|client| self.clients.get(client));
        let unsent = client.map_or(0, |client| self.driver.unsent(client.handle));
        if unsent <= UNSENT_HIGH {
            Self::receive_again(&mut self.driver, backend);
        }
    }

    /// The answer to a replay may have made the client's input welcome again.
    fn feed_held_client(&mut self, ticket: Ticket) {
        let client = self.backends.get(ticket).and_then(|backend| backend.client);
        if let Some(client) = client
            && self
                .clients
                .get(client)
                .is_some_and(|client| !client.paused && !client.inbox.bytes.is_empty())
        {
            self.feed_client_inbox(client);
        }
    }

    /// Keeps the gauge of open transactions.
    pub(crate) fn count_transaction(&mut self, ticket: Ticket) {
        let Some(backend) = self.backends.get_mut(ticket) else {
            return;
        };
        let open = backend.state.as_ref().is_some_and(E::in_transaction);
        if open != backend.transaction_since.is_some() {
            backend.transaction_since = open.then_some(self.now);
            let gauge = &backend
                .pool
                .block
                .database_connections_currently_in_transaction;
            if open { gauge.add(1) } else { gauge.sub(1) }
        }
    }

    /// Whether this client may be closed without loss.
    pub(crate) fn is_idle(&self, client: &Client<E>) -> bool {
        let backend = client.lease.and_then(|lease| self.backends.get(lease));
        let state = backend.and_then(|backend| backend.state.as_ref());
        client.phase == Phase::Ready
            && client.inbox.bytes.is_empty()
            && client
                .frames
                .as_ref()
                .is_none_or(|frames| frames.is_empty())
            && E::is_idle(&client.session, state)
    }
}
