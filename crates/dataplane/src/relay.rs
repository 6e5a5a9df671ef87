//! Shows bytes to the engine and does what it orders with them: the only place where client bytes move.
//!
//! Forwarded bytes stay in the buffer they were received into. With TLS on the way out they are encrypted from there, with TLS on
//! the way in they come from the filter's plaintext.

use crate::buffer::{Chunk, Slice};
use crate::connection::{Backend, Client, Phase};
use crate::driver::{Driver, Handle, UNSENT_HIGH};
use crate::tls::Filter;
use crate::worker::Worker;
use crate::workshop::Job;
use forebay_core::engine::Engine;
use forebay_core::event::EventKind;
use forebay_core::orders::Order;
use forebay_core::{CloseReason, Refusal};
use std::sync::Arc;

/// Input that is shown to an engine.
pub(crate) enum Source<'a> {
    /// As it was received.
    Received(&'a Slice),
    /// Decrypted, or kept from before.
    Bytes(&'a [u8]),
}

impl Source<'_> {
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Source::Received(slice) => slice,
            Source::Bytes(bytes) => bytes,
        }
    }
}

/// Which connection orders are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client(u32),
    Backend(u32),
}

/// What orders left behind.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Bytes consumed from the front.
    pub(crate) consumed: usize,
    /// Bytes wanted before the rest is shown again.
    pub(crate) need: usize,
    /// The rest belongs to TLS.
    pub(crate) starts_tls: bool,
}

/// Bytes kept for a connection whose input is not shown for the time being; beyond that it is not received from.
pub(crate) const INBOX_HIGH: usize = 64 * 1024;

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
        index: u32,
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
        index: u32,
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

    /// The client at the end of this side.
    fn client_of(&self, side: Side) -> Option<u32> {
        match side {
            Side::Client(index) => Some(index),
            Side::Backend(index) => self.backends.get(index)?.client,
        }
    }

    /// The backend at the end of this side.
    fn backend_of(&self, side: Side) -> Option<u32> {
        match side {
            Side::Client(index) => self.clients.get(index)?.lease,
            Side::Backend(index) => Some(index),
        }
    }

    /// Does what the engine ordered about `source`, of which everything before `at` is consumed already.
    pub(crate) fn obey(&mut self, side: Side, source: &Source<'_>, at: usize) -> Outcome {
        let (mut list, made) = self.orders.take();
        let mut outcome = Outcome {
            consumed: at,
            ..Outcome::default()
        };
        // The ends are fixed at the start: a release or a close in between must not turn bytes to anybody else.
        let (client, backend) = (self.client_of(side), self.backend_of(side));
        let ours = Source::Bytes(&made);
        for order in list.drain(..) {
            match order {
                Order::Forward(len) => {
                    let range = (outcome.consumed, outcome.consumed + len);
                    outcome.consumed = range.1;
                    match (side, client, backend) {
                        (Side::Client(_), _, Some(backend)) => {
                            self.send_to_backend(backend, source, range)
                        }
                        (Side::Backend(_), Some(client), _) => {
                            self.send_to_client(client, source, range)
                        }
                        _ => {}
                    }
                }
                Order::Swallow(len) => outcome.consumed += len,
                Order::ToClient(made) => {
                    if let Some(client) = client {
                        self.send_to_client(client, &ours, (made.start, made.end));
                    }
                }
                Order::ToBackend(made) => {
                    if let Some(backend) = backend {
                        self.send_to_backend(backend, &ours, (made.start, made.end));
                    }
                }
                Order::Need(len) => outcome.need = len,
                Order::StartTls => outcome.starts_tls = true,
                Order::Answered { since } => self.on_answered(client, backend, since),
                Order::Release => {
                    if let Some(backend) = backend {
                        self.release(backend);
                    }
                }
                Order::Lease => {
                    if let Some(client) = client {
                        self.request_lease(client);
                    }
                }
                Order::Requests(count) => self.on_requests(client, count),
                order => self.obey_rare(side, (client, backend), order),
            }
        }
        self.orders.reuse(list, made);
        outcome
    }

    /// Orders that are not given for every request.
    fn obey_rare(
        &mut self,
        side: Side,
        (client, backend): (Option<u32>, Option<u32>),
        order: Order<E::Work>,
    ) {
        match (order, client, backend) {
            (Order::Pause, Some(client), _) => self.pause(client, true),
            (Order::Resume, Some(client), _) => self.pause(client, false),
            (Order::Work(work), ..) => self.leave_work(side, work),
            (Order::Admit(admission), Some(client), _) => self.admit(client, *admission),
            (Order::Pin(reason), Some(client), Some(backend)) => {
                self.on_pin(client, backend, reason)
            }
            (Order::Unpin, Some(client), Some(backend)) => self.on_unpin(client, backend),
            (Order::ClientReady, Some(client), _) => self.on_client_ready(client),
            (
                Order::BackendReady {
                    connections_usable,
                    connections_max,
                },
                _,
                Some(backend),
            ) => {
                self.on_backend_ready(backend, connections_usable, connections_max);
            }
            (Order::BackendFailed(refusal), _, Some(backend)) => {
                self.on_backend_failed(backend, &refusal)
            }
            (Order::Cancel(key), Some(client), _) => self.ask_cancel(client, *key),
            (Order::Replayed, _, Some(backend)) => {
                if let Some(backend) = self.backends.get(backend) {
                    backend.pool.target.block.settings_replayed.add(1);
                }
            }
            (Order::Reprepared, _, Some(backend)) => {
                if let Some(backend) = self.backends.get(backend) {
                    backend.pool.target.block.statements_reprepared.add(1);
                }
            }
            (Order::Refuse(refusal), Some(client), _) => self.refuse_client(client, &refusal),
            (Order::Close(reason), ..) => match side {
                Side::Client(client) => self.close_client(client, reason),
                Side::Backend(backend) => self.close_backend(backend, reason, ""),
            },
            (Order::CloseBoth(reason), client, backend) => {
                if let Some(backend) = backend {
                    self.forget_lease(backend);
                    self.close_backend(backend, reason, "the database ended the session");
                }
                if let Some(client) = client {
                    self.close_client_after_sending(client, CloseReason::BackendGone);
                }
            }
            (Order::Bug(what), client, backend) => self.on_bug(client, backend, what),
            _ => {}
        }
    }

    /// "Cannot happen" happened: nobody knows what these connections hold.
    pub(crate) fn on_bug(&mut self, client: Option<u32>, backend: Option<u32>, what: &'static str) {
        let incident = self.next_number();
        self.block.bugs.add(1);
        let numbers = (
            client
                .and_then(|index| self.clients.get(index))
                .map(|client| client.number),
            backend
                .and_then(|index| self.backends.get(index))
                .map(|backend| backend.number),
        );
        self.report(
            None,
            numbers.0,
            numbers.1,
            EventKind::Bug { incident, what },
        );
        if let Some(backend) = backend {
            self.forget_lease(backend);
            self.close_backend(backend, CloseReason::Bug, what);
        }
        if let Some(client) = client {
            self.refuse_client(client, &Refusal::Bug { incident });
        }
    }

    fn leave_work(&mut self, side: Side, work: E::Work) {
        let job = match side {
            Side::Client(index) => match self.clients.get(index) {
                Some(client) => Job::Client(client.ticket, work),
                None => return,
            },
            Side::Backend(index) => match self.backends.get(index) {
                Some(backend) => Job::Backend(backend.ticket, work),
                None => return,
            },
        };
        if !self.leave_job(job) {
            let refusal = Refusal::ConnectRate { max: 0 };
            match side {
                Side::Client(index) => self.refuse_client(index, &refusal),
                Side::Backend(index) => self.on_backend_failed(index, &refusal),
            }
        }
    }

    /// Shows a client's bytes to the engine until it has had enough of them. Returns how many were consumed.
    fn show_client(&mut self, index: u32, source: &Source<'_>) -> usize {
        let mut at = 0;
        loop {
            let Some(client) = self.clients.get_mut(index) else {
                return source.bytes().len();
            };
            let listening = matches!(client.phase, Phase::Login | Phase::Ready) && !client.paused;
            let rest = &source.bytes()[at..];
            if rest.is_empty() || !listening {
                return at;
            }
            client.inbox.need = 0;
            let ticket = client.ticket;
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
            let outcome = self.obey(Side::Client(index), source, at);
            let progress = outcome.consumed > at;
            at = outcome.consumed;
            if !self.clients.holds(ticket) {
                return source.bytes().len();
            }
            if outcome.starts_tls {
                self.start_client_tls(index, &source.bytes()[at..]);
                return source.bytes().len();
            }
            let leased = self.try_lease_now(index);
            self.finish_releases();
            let Some(client) = self.clients.get_mut(index) else {
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

    /// Bytes of a client, in clear.
    pub(crate) fn feed_client(&mut self, index: u32, source: &Source<'_>) {
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        if !client.inbox.bytes.is_empty() {
            client.inbox.bytes.extend_from_slice(source.bytes());
            return self.feed_client_inbox(index);
        }
        let consumed = self.show_client(index, source);
        if let Some(client) = self.clients.get_mut(index) {
            client
                .inbox
                .bytes
                .extend_from_slice(&source.bytes()[consumed..]);
            self.bound_client_inbox(index);
        }
    }

    /// Shows what was kept, if it is enough.
    pub(crate) fn feed_client_inbox(&mut self, index: u32) {
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        if !client.inbox.bytes.is_empty() && client.inbox.bytes.len() >= client.inbox.need {
            let mut bytes = std::mem::take(&mut client.inbox.bytes);
            let consumed = self.show_client(index, &Source::Bytes(&bytes));
            if let Some(client) = self.clients.get_mut(index)
                && consumed < bytes.len()
            {
                bytes.drain(..consumed);
                // What TLS or a lease brought meanwhile comes behind.
                bytes.append(&mut client.inbox.bytes);
                client.inbox.bytes = bytes;
            }
        }
        self.bound_client_inbox(index);
    }

    /// A client that sends more than can be shown is not received from until that changes.
    fn bound_client_inbox(&mut self, index: u32) {
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        let bound = INBOX_HIGH.max(client.inbox.need);
        let full = client.inbox.bytes.len() >= bound;
        if full && !client.throttled {
            client.throttled = true;
            self.driver.receive(client.handle, false);
        } else if !full && client.throttled {
            self.on_client_relaxed_maybe(index);
        }
    }

    /// Receives from a throttled client again, if its backend takes more.
    pub(crate) fn on_client_relaxed_maybe(&mut self, index: u32) {
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

    /// Shows a backend's bytes to the engine. Returns how many were consumed.
    fn show_backend(&mut self, index: u32, source: &Source<'_>) -> usize {
        let mut at = 0;
        loop {
            let Some(backend) = self.backends.get_mut(index) else {
                return source.bytes().len();
            };
            let rest = &source.bytes()[at..];
            if rest.is_empty() {
                return at;
            }
            backend.inbox.need = 0;
            let ticket = backend.ticket;
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
            let outcome = self.obey(Side::Backend(index), source, at);
            let progress = outcome.consumed > at;
            at = outcome.consumed;
            if !self.backends.holds(ticket) {
                return source.bytes().len();
            }
            if outcome.starts_tls {
                self.start_backend_tls(index, &source.bytes()[at..]);
                return source.bytes().len();
            }
            if outcome.need > 0 {
                if let Some(backend) = self.backends.get_mut(index) {
                    backend.inbox.need = outcome.need;
                }
                return at;
            }
            if !progress {
                return at;
            }
        }
    }

    /// Bytes of a backend, in clear.
    pub(crate) fn feed_backend(&mut self, index: u32, source: &Source<'_>) {
        let Some(backend) = self.backends.get_mut(index) else {
            return;
        };
        if backend.inbox.bytes.is_empty() {
            let consumed = self.show_backend(index, source);
            if let Some(backend) = self.backends.get_mut(index)
                && consumed < source.bytes().len()
            {
                backend
                    .inbox
                    .bytes
                    .extend_from_slice(&source.bytes()[consumed..]);
            }
        } else {
            backend.inbox.bytes.extend_from_slice(source.bytes());
            if backend.inbox.bytes.len() >= backend.inbox.need {
                let mut bytes = std::mem::take(&mut backend.inbox.bytes);
                let consumed = self.show_backend(index, &Source::Bytes(&bytes));
                if let Some(backend) = self.backends.get_mut(index)
                    && consumed < bytes.len()
                {
                    bytes.drain(..consumed);
                    bytes.append(&mut backend.inbox.bytes);
                    backend.inbox.bytes = bytes;
                }
            }
        }
        self.count_transaction(index);
        self.finish_releases();
        self.feed_held_client(index);
    }

    /// The answer to a replay may have made the client's input welcome again.
    fn feed_held_client(&mut self, index: u32) {
        let client = self.backends.get(index).and_then(|backend| backend.client);
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
    pub(crate) fn count_transaction(&mut self, index: u32) {
        let Some(backend) = self.backends.get_mut(index) else {
            return;
        };
        let open = backend.state.as_ref().is_some_and(E::in_transaction);
        if open != backend.in_transaction {
            backend.in_transaction = open;
            let gauge = &backend
                .pool
                .target
                .block
                .database_connections_currently_in_transaction;
            if open { gauge.add(1) } else { gauge.sub(1) }
        }
    }

    fn on_answered(
        &mut self,
        client: Option<u32>,
        backend: Option<u32>,
        since: forebay_core::Instant,
    ) {
        let now = self.now;
        let Some(client) = client.and_then(|index| self.clients.get_mut(index)) else {
            return;
        };
        let asked = client
            .asked_at
            .take()
            .map_or(since, |asked| asked.min(since));
        client.active_at = now;
        let leased = backend.and_then(|index| self.backends.get(index));
        let database =
            now.micros_since(leased.map_or(since, |backend| backend.leased_at.max(since)));
        client
            .endpoint
            .block
            .query_response_latency
            .record(now.micros_since(asked));
        client
            .endpoint
            .block
            .query_database_response_latency
            .record(database);
        if let Some(backend) = leased {
            backend
                .pool
                .target
                .block
                .query_database_response_latency
                .record(database);
        }
    }

    fn on_requests(&mut self, client: Option<u32>, count: u32) {
        let Some(client) = client.and_then(|index| self.clients.get(index)) else {
            return;
        };
        let block = &client.endpoint.block;
        let requests = if client.tls.is_some() {
            &block.query_requests_tls
        } else {
            &block.query_requests_no_tls
        };
        requests.add(u64::from(count));
    }

    fn pause(&mut self, index: u32, paused: bool) {
        if let Some(client) = self.clients.get_mut(index) {
            client.paused = paused;
        }
    }

    /// Bytes from a client's socket.
    pub(crate) fn on_client_received(&mut self, index: u32, bytes: Slice) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        client.endpoint.block.bytes_received.add(bytes.len() as u64);
        if client.phase != Phase::Login {
            client.active_at = now;
            client.asked_at.get_or_insert(now);
        }
        if client.tls.is_some() {
            return self.client_tls_bytes(index, &bytes);
        }
        self.feed_client(index, &Source::Received(&bytes));
    }

    /// Encrypted bytes from a client.
    pub(crate) fn client_tls_bytes(&mut self, index: u32, bytes: &[u8]) {
        let (mut plain, mut wire) = (
            std::mem::take(&mut self.plain),
            std::mem::take(&mut self.wire),
        );
        plain.clear();
        wire.clear();
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        let Some(filter) = client.tls.as_mut() else {
            return;
        };
        let result = filter.on_wire(bytes, &mut plain, &mut wire);
        self.driver.send_copy(client.handle, &wire);
        self.wire = wire;
        match result {
            Ok(progress) => {
                if let Some(facts) = progress.handshake_done {
                    E::on_client_tls(&mut client.session, &facts, &mut self.orders);
                    client.secured = true;
                    client.endpoint.block.client_connections_tls.add(1);
                    self.obey(Side::Client(index), &Source::Bytes(&[]), 0);
                }
                if !plain.is_empty() {
                    self.feed_client(index, &Source::Bytes(&plain));
                }
                if progress.peer_closed {
                    self.on_client_ended(index);
                }
            }
            Err(error) => self.on_client_tls_failed(index, &error),
        }
        self.plain = plain;
    }

    /// Bytes from a backend's socket.
    pub(crate) fn on_backend_received(&mut self, index: u32, bytes: Slice) {
        let Some(backend) = self.backends.get_mut(index) else {
            return;
        };
        if backend.tls.is_some() {
            return self.backend_tls_bytes(index, &bytes);
        }
        self.feed_backend(index, &Source::Received(&bytes));
    }

    /// Encrypted bytes from a backend.
    pub(crate) fn backend_tls_bytes(&mut self, index: u32, bytes: &[u8]) {
        let (mut plain, mut wire) = (
            std::mem::take(&mut self.plain),
            std::mem::take(&mut self.wire),
        );
        plain.clear();
        wire.clear();
        let Some(backend) = self.backends.get_mut(index) else {
            return;
        };
        let (Some(filter), Some(handle)) = (backend.tls.as_mut(), backend.handle) else {
            return;
        };
        let result = filter.on_wire(bytes, &mut plain, &mut wire);
        self.driver.send_copy(handle, &wire);
        self.wire = wire;
        match result {
            Ok(progress) => {
                if let Some(facts) = progress.handshake_done {
                    if let Some(state) = backend.state.as_mut() {
                        E::on_backend_tls(state, &facts, &mut self.orders);
                    }
                    backend.secured = true;
                    backend
                        .pool
                        .target
                        .block
                        .database_connections_with_tls
                        .add(1);
                    self.obey(Side::Backend(index), &Source::Bytes(&[]), 0);
                }
                if !plain.is_empty() {
                    self.feed_backend(index, &Source::Bytes(&plain));
                }
                if progress.peer_closed {
                    self.on_backend_ended(index, None);
                }
            }
            Err(error) => {
                let refusal = Refusal::TargetUnreachable {
                    detail: Arc::from(error.to_string()),
                };
                self.on_backend_failed(index, &refusal);
            }
        }
        self.plain = plain;
    }

    /// The client has taken what was unsent.
    pub(crate) fn on_client_relaxed(&mut self, index: u32) {
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
    pub(crate) fn on_backend_relaxed(&mut self, index: u32) {
        if let Some(client) = self.backends.get(index).and_then(|backend| backend.client) {
            self.on_client_relaxed_maybe(client);
        }
    }

    /// Whether this client may be closed without loss.
    pub(crate) fn is_idle(&self, client: &Client<E>) -> bool {
        let backend = client.lease.and_then(|lease| self.backends.get(lease));
        let state = backend.and_then(|backend| backend.state.as_ref());
        client.phase == Phase::Ready
            && client.inbox.bytes.is_empty()
            && E::is_idle(&client.session, state)
    }
}
