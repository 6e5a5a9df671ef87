//! Bytes on their way out, and who is not received from while a peer takes too few of them.

use crate::buffer::Chunk;
use crate::connection::Backend;
use crate::driver::{Driver, Handle, UNSENT_HIGH};
use crate::mailbox::Ticket;
use crate::relay::Source;
use crate::tls::Filter;
use crate::worker::Worker;
use forebay_core::engine::Engine;

impl<D: Driver, E: Engine> Worker<D, E> {
    /// Sends bytes on one connection.
    fn send(
        driver: &mut D,
        wire: &mut Vec<u8>,
        (handle, tls): (Handle, Option<&mut Box<Filter>>),
        source: &Source<'_>,
        (start, end): (usize, usize),
    ) {
        if start == end {
            return;
        }
        match (tls, source) {
            (None, Source::Received(slice)) => {
                driver.send(handle, Chunk::Received(slice.part(start, end)));
            }
            (None, Source::Bytes(bytes)) => driver.send_copy(handle, &bytes[start..end]),
            (Some(filter), source) => {
                wire.clear();
                // An error means that TLS is over; the connection's end follows.
                let _ = filter.on_plain(&source.bytes()[start..end], wire);
                driver.send_copy(handle, wire);
            }
        }
    }

    /// Sends part of `source` to a client.
    pub(crate) fn send_to_client(
        &mut self,
        index: Ticket,
        source: &Source<'_>,
        range: (usize, usize),
    ) {
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        client
            .endpoint
            .block
            .bytes_sent
            .add((range.1 - range.0) as u64);
        let to = (client.handle, client.tls.as_mut());
        Self::send(&mut self.driver, &mut self.wire, to, source, range);
        let Some(lease) = client.lease else { return };
        if self.driver.unsent(client.handle) > UNSENT_HIGH
            && let Some(backend) = self.backends.get_mut(lease)
            && !backend.throttled
            && let Some(handle) = backend.handle
        {
            backend.throttled = true;
            self.driver.receive(handle, false);
        }
    }

    /// Sends part of `source` to a backend.
    pub(crate) fn send_to_backend(
        &mut self,
        index: Ticket,
        source: &Source<'_>,
        range: (usize, usize),
    ) {
        let Some(backend) = self.backends.get_mut(index) else {
            return;
        };
        let Some(handle) = backend.handle else { return };
        let to = (handle, backend.tls.as_mut());
        Self::send(&mut self.driver, &mut self.wire, to, source, range);
        let Some(client) = backend.client else { return };
        if self.driver.unsent(handle) > UNSENT_HIGH
            && let Some(client) = self.clients.get_mut(client)
            && !client.throttled
        {
            client.throttled = true;
            self.driver.receive(client.handle, false);
        }
    }

    /// The client has taken what was unsent.
    pub(crate) fn on_client_relaxed(&mut self, index: Ticket) {
        let lease = self.clients.get(index).and_then(|client| client.lease);
        if let Some(backend) = lease.and_then(|lease| self.backends.get_mut(lease)) {
            Self::receive_again(&mut self.driver, backend);
        }
    }

    /// Receives from a throttled backend again.
    pub(crate) fn receive_again(driver: &mut D, backend: &mut Backend<E>) {
        if std::mem::take(&mut backend.throttled)
            && let Some(handle) = backend.handle
        {
            driver.receive(handle, true);
        }
    }

    /// The backend has taken what was unsent.
    pub(crate) fn on_backend_relaxed(&mut self, index: Ticket) {
        if let Some(client) = self.backends.get(index).and_then(|backend| backend.client) {
            self.on_client_relaxed_maybe(client);
        }
    }

    /// Receives from a throttled client again, if its backend takes more.
    pub(crate) fn on_client_relaxed_maybe(&mut self, index: Ticket) {
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        let backend = client.lease.and_then(|lease| self.backends.get(lease));
        let handle = backend.and_then(|backend| backend.handle);
        let full = handle.is_some_and(|handle| self.driver.unsent(handle) > UNSENT_HIGH);
        if client.throttled && !full {
            client.throttled = false;
            self.driver.receive(client.handle, true);
        }
    }
}
