//! Encrypted bytes on their way in: one step for clients and backends, whatever it brings (handshake, plaintext, an end, an error).

use crate::connection::{Backend, Client, Places};
use crate::driver::{Driver, Handle};
use crate::relay::{Side, Source};
use crate::tls::{Filter, Progress, TlsError};
use crate::worker::Worker;
use forebay_core::engine::{Engine, TlsFacts};

impl<D: Driver, E: Engine> Worker<D, E> {
    /// Encrypted bytes of a client or a backend.
    pub(crate) fn tls_bytes(&mut self, side: Side, bytes: &[u8]) {
        // Taken out for their memory: feeding and sending need the worker whole. Whatever happens, they are put back.
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        self.wire.clear();
        if let Some((handle, filter)) = filter_of(&mut self.clients, &mut self.backends, side) {
            let result = filter.on_wire(bytes, &mut plain, &mut self.wire);
            self.driver.send_copy(handle, &self.wire);
            match result {
                Ok(progress) => self.on_tls_progress(side, progress, &plain),
                Err(error) => self.on_tls_failed(side, &error),
            }
        }
        self.plain = plain;
    }

    fn on_tls_progress(&mut self, side: Side, progress: Progress, plain: &[u8]) {
        if let Some(facts) = &progress.handshake_done {
            self.on_secured(side, facts);
        }
        if !plain.is_empty() {
            match side {
                Side::Client(ticket) => self.feed_client(ticket, &Source::Bytes(plain)),
                Side::Backend(ticket) => self.feed_backend(ticket, &Source::Bytes(plain)),
            }
        }
        if progress.peer_closed {
            match side {
                Side::Client(ticket) => self.on_client_ended(ticket),
                Side::Backend(ticket) => self.on_backend_ended(ticket, None),
            }
        }
    }

    /// The handshake is complete.
    fn on_secured(&mut self, side: Side, facts: &TlsFacts) {
        match side {
            Side::Client(ticket) => {
                let Some(client) = self.clients.get_mut(ticket) else {
                    return;
                };
                E::on_client_tls(&mut client.session, facts, &mut self.orders);
                client.secured = true;
                client.endpoint.block.client_connections_tls.add(1);
            }
            Side::Backend(ticket) => {
                let Some(backend) = self.backends.get_mut(ticket) else {
                    return;
                };
                if let Some(state) = backend.state.as_mut() {
                    E::on_backend_tls(state, facts, &mut self.orders);
                }
                backend.secured = true;
                let block = &backend.pool.block;
                block.database_connections_with_tls.add(1);
            }
        }
        self.obey(side, &Source::Bytes(&[]), 0);
    }

    fn on_tls_failed(&mut self, side: Side, error: &TlsError) {
        match side {
            Side::Client(ticket) => self.on_client_tls_failed(ticket, error),
            Side::Backend(ticket) => self.on_backend_tls_failed(ticket, error),
        }
    }
}

/// The TLS of a connection, and the connection.
fn filter_of<'w, E: Engine>(
    clients: &'w mut Places<Client<E>>,
    backends: &'w mut Places<Backend<E>>,
    side: Side,
) -> Option<(Handle, &'w mut Filter)> {
    match side {
        Side::Client(ticket) => {
            let client = clients.get_mut(ticket)?;
            Some((client.handle, client.tls.as_mut()?))
        }
        Side::Backend(ticket) => {
            let backend = backends.get_mut(ticket)?;
            Some((backend.handle?, backend.tls.as_mut()?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::driver::epoll::Epoll;
    use crate::mailbox::{Mailbox, Ticket};
    use crate::worker::Crew;
    use forebay_core::engine::Household;
    use forebay_core::event::EventSink;
    use forebay_core::snapshot::EngineFamily;
    use forebay_postgres::Postgres;
    use std::sync::Arc;

    fn worker() -> Worker<Epoll, Postgres> {
        let driver = Epoll::new(Clock::new()).expect("the system has a poller");
        let crew = Crew {
            engine: EngineFamily::Postgres,
            number: 0,
            mailboxes: vec![Arc::new(Mailbox::new(driver.waker()))],
            workshop: None,
            registry: Arc::default(),
            events: EventSink::null(),
            numbers: Arc::default(),
            clients: Arc::default(),
            household: Household {
                secret: [0; 32],
                hasher: std::hash::RandomState::new(),
                schema_version: Arc::default(),
            },
            random: Box::new(|bytes| bytes.fill(0)),
        };
        Worker::new(driver, crew)
    }

    #[test]
    fn the_buffers_for_decryption_outlive_connections_that_are_gone() {
        let mut worker = worker();
        worker.plain.reserve(1000);
        worker.wire.reserve(1000);
        let nobody = Ticket::from_bits(0);
        for gone in [Side::Client(nobody), Side::Backend(nobody)] {
            worker.tls_bytes(gone, b"late");
            let kept = (worker.plain.capacity(), worker.wire.capacity());
            assert!(kept.0 >= 1000 && kept.1 >= 1000, "{gone:?}: {kept:?}");
        }
    }
}
