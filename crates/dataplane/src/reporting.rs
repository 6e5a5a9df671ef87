//! What a worker tells the log: events, with the names and numbers of whom they are about.

use crate::connection::{Backend, Client, peer_text};
use crate::driver::Driver;
use crate::mailbox::Ticket;
use crate::worker::Worker;
use forebay_core::Refusal;
use forebay_core::engine::Engine;
use forebay_core::event::{Event, EventKind};
use std::sync::Arc;

/// Whom an event is about; what does not apply is absent.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    proxy: Option<Arc<str>>,
    endpoint: Option<Arc<str>>,
    client: Option<u64>,
    backend: Option<u64>,
}

impl Subject {
    /// The worker itself.
    pub(crate) fn worker() -> Subject {
        Subject::default()
    }

    /// A client.
    pub(crate) fn client<E: Engine>(client: &Client<E>) -> Subject {
        Subject {
            proxy: Some(Arc::clone(&client.endpoint.proxy.borrow().proxy.name)),
            endpoint: Some(Arc::clone(&client.endpoint.name)),
            client: Some(client.number),
            backend: None,
        }
    }

    /// A backend.
    pub(crate) fn backend<E: Engine>(backend: &Backend<E>) -> Subject {
        Subject {
            proxy: Some(Arc::clone(&backend.pool.target.borrow().proxy)),
            backend: Some(backend.number),
            ..Subject::default()
        }
    }

    /// A client and its backend.
    pub(crate) fn both<E: Engine>(client: &Client<E>, backend: &Backend<E>) -> Subject {
        Subject {
            backend: Some(backend.number),
            ..Subject::client(client)
        }
    }
}

impl<D: Driver, E: Engine> Worker<D, E> {
    /// Reports an event.
    pub(crate) fn report(&self, about: Subject, kind: EventKind) {
        self.crew.events.send(Event {
            worker: self.crew.number,
            proxy: about.proxy,
            endpoint: about.endpoint,
            client: about.client,
            backend: about.backend,
            kind,
        });
    }

    /// Reports that a client was told no; `detail` is what the log keeps beyond what the client reads.
    pub(crate) fn report_refused(&self, ticket: Ticket, refusal: Refusal, detail: Arc<str>) {
        let Some(client) = self.clients.get(ticket) else {
            return;
        };
        let peer = peer_text(self.driver.peer(client.handle));
        let kind = EventKind::ClientRefused {
            refusal,
            peer,
            detail,
        };
        self.report(Subject::client(client), kind);
    }

    /// Reports about a backend.
    pub(crate) fn report_backend(&self, ticket: Ticket, kind: EventKind) {
        if let Some(backend) = self.backends.get(ticket) {
            self.report(Subject::backend(backend), kind);
        }
    }
}
