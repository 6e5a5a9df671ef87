//! Bytes on their way out, and who is not received from while a peer takes too few of them.

use crate::buffer::Chunk;
use crate::connection::Backend;
use crate::driver::{Driver, Handle, UNSENT_HIGH};
use crate::mailbox::Ticket;
use crate::relay::Source;
use crate::tls::Filter;
use crate::worker::Worker;
use forebay_core::CloseReason;
use forebay_core::engine::Engine;
use forebay_core::framing::UNFRAMED_BYTES_MAX;

impl<D: Driver, E: Engine> Worker<D, E> {
    /// Sends bytes on one connection. False if its TLS encrypts no more.
    fn send(
        driver: &mut D,
        wire: &mut Vec<u8>,
        (handle, tls): (Handle, Option<&mut Box<Filter>>),
        source: &Source<'_>,
        (start, end): (usize, usize),
    ) -> bool {
        if start == end {
            return true;
        }
        match (tls, source) {
            (None, Source::Received(slice)) => {
                driver.send(handle, Chunk::Received(slice.part(start, end)));
            }
            (None, Source::Bytes(bytes)) => driver.send_copy(handle, &bytes[start..end]),
            (Some(filter), source) => {
                wire.clear();
                let encrypted = filter.on_plain(&source.bytes()[start..end], wire);
                driver.send_copy(handle, wire);
                return encrypted.is_ok();
            }
        }
        true
    }

    /// Sends part of `source` to a client.
    pub(crate) fn send_to_client(
        &mut self,
        ticket: Ticket,
        source: &Source<'_>,
        range: (usize, usize),
    ) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        client
            .endpoint
            .block
            .bytes_sent
            .add((range.1 - range.0) as u64);
        let (handle, lease) = (client.handle, client.lease);
        let sent = match &mut client.frames {
            None => {
                let to = (handle, client.tls.as_mut());
                Self::send(&mut self.driver, &mut self.wire, to, source, range)
            }
            Some(frames) => {
                let mut pieces = source.bytes()[range.0..range.1].chunks(UNFRAMED_BYTES_MAX);
                pieces.all(|piece| {
                    self.framed.clear();
                    frames.framing.write(piece, &mut self.framed);
                    let to = (handle, client.tls.as_mut());
                    let source = Source::Bytes(&self.framed);
                    let range = (0, self.framed.len());
                    Self::send(&mut self.driver, &mut self.wire, to, &source, range)
                })
            }
        };
        if !sent {
            return self.close_client(ticket, CloseReason::Tls);
        }
        if self.driver.unsent(handle) > UNSENT_HIGH {
            self.throttle_both(ticket, lease);
        }
    }

    /// The client takes too little: neither it nor its backend is received from, since both cause more to be sent to it.
    fn throttle_both(&mut self, client: Ticket, lease: Option<Ticket>) {
        if let Some(backend) = lease.and_then(|lease| self.backends.get_mut(lease))
            && !backend.throttled
            && let Some(handle) = backend.handle
        {
            backend.throttled = true;
            self.driver.receive(handle, false);
        }
        self.throttle_client(client);
    }

    /// Does not receive from a client for the time being.
    fn throttle_client(&mut self, ticket: Ticket) {
        if let Some(client) = self.clients.get_mut(ticket)
            && !client.throttled
        {
            client.throttled = true;
            self.driver.receive(client.handle, false);
        }
    }

    /// Sends part of `source` to a backend.
    pub(crate) fn send_to_backend(
        &mut self,
        ticket: Ticket,
        source: &Source<'_>,
        range: (usize, usize),
    ) {
        let Some(backend) = self.backends.get_mut(ticket) else {
            return;
        };
        let Some(handle) = backend.handle else { return };
        let client = backend.client;
        let to = (handle, backend.tls.as_mut());
        if !Self::send(&mut self.driver, &mut self.wire, to, source, range) {
            return self.close_backend(ticket, CloseReason::Tls, "its TLS encrypts no more");
        }
        if self.driver.unsent(handle) > UNSENT_HIGH
            && let Some(client) = client
        {
            self.throttle_client(client);
        }
    }

    /// The client has taken what was unsent.
    pub(crate) fn on_client_relaxed(&mut self, ticket: Ticket) {
        let lease = self.clients.get(ticket).and_then(|client| client.lease);
        if let Some(backend) = lease.and_then(|lease| self.backends.get_mut(lease)) {
            Self::receive_again(&mut self.driver, backend);
        }
        self.on_client_relaxed_maybe(ticket);
        self.deliver(ticket);
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
    pub(crate) fn on_backend_relaxed(&mut self, ticket: Ticket) {
        if let Some(client) = self.backends.get(ticket).and_then(|backend| backend.client) {
            self.on_client_relaxed_maybe(client);
        }
    }

    /// Receives from a throttled client again, if it and its backend take more.
    pub(crate) fn on_client_relaxed_maybe(&mut self, ticket: Ticket) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        let backend = client.lease.and_then(|lease| self.backends.get(lease));
        let handle = backend.and_then(|backend| backend.handle);
        let ends = [Some(client.handle), handle].into_iter().flatten();
        let full = ends
            .map(|handle| self.driver.unsent(handle))
            .any(|unsent| unsent > UNSENT_HIGH);
        if !client.throttled || full {
            return;
        }
        client.throttled = false;
        let handle = client.handle;
        if client.frames.is_some() && !self.read_on(ticket) {
            return;
        }
        self.driver.receive(handle, true);
    }
}
