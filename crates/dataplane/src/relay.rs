//! Does what the engine orders about the bytes it was shown: the only place where it is decided which bytes go where.
//!
//! `feeding.rs` shows them (behind `decrypting.rs`, where there is TLS, and `unframing.rs`, where there are frames), `sending.rs` sends what is forwarded. Forwarded bytes stay in
//! the buffer they were received into. With TLS on the way out they are encrypted from there, with TLS on the way in they come from
//! the filter's plaintext.

use crate::buffer::Slice;
use crate::driver::Driver;
use crate::mailbox::Ticket;
use crate::reporting::Subject;
use crate::worker::Worker;
use crate::workshop::Job;
use forebay_core::engine::Engine;
use forebay_core::event::EventKind;
use forebay_core::orders::Order;
use forebay_core::{CloseReason, Refusal};

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
    Client(Ticket),
    Backend(Ticket),
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

impl<D: Driver, E: Engine> Worker<D, E> {
    /// The client at the end of this side.
    fn client_of(&self, side: Side) -> Option<Ticket> {
        match side {
            Side::Client(ticket) => Some(ticket),
            Side::Backend(ticket) => self.backends.get(ticket)?.client,
        }
    }

    /// The backend at the end of this side.
    fn backend_of(&self, side: Side) -> Option<Ticket> {
        match side {
            Side::Client(ticket) => self.clients.get(ticket)?.lease,
            Side::Backend(ticket) => Some(ticket),
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
                        let consumed = outcome.consumed.min(source.bytes().len());
                        self.request_lease(client, &source.bytes()[consumed..]);
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
        (client, backend): (Option<Ticket>, Option<Ticket>),
        order: Order<E::Work>,
    ) {
        match (order, client, backend) {
            (Order::Pause, Some(client), _) => self.pause(client, true),
            (Order::Resume, Some(client), _) => self.pause(client, false),
            (Order::Work(work), ..) => self.leave_work(side, work),
            (Order::Admit(admission), Some(client), _) => self.admit(client, *admission),
            (Order::Pin(reason, statement), Some(client), Some(backend)) => {
                self.on_pin(client, backend, reason, statement)
            }
            (Order::Unpin, Some(client), Some(backend)) => self.on_unpin(client, backend),
            (Order::Answer, Some(client), _) => self.begin_answer(client),
            (Order::Frame(framing), Some(client), _) => self.start_frames(client, framing),
            (Order::IdleLimit(limit), Some(client), _) => self.on_idle_limit(client, limit),
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
            (Order::Learn, Some(client), _) => self.learn(client),
            (Order::Remember(said), _, Some(backend)) => self.remember(backend, said),
            (Order::Replayed, _, Some(backend)) => {
                if let Some(backend) = self.backends.get(backend) {
                    backend.pool.block.settings_replayed.add(1);
                }
            }
            (Order::Probed, _, Some(backend)) => {
                if let Some(backend) = self.backends.get(backend) {
                    backend.pool.block.sessions_probed.add(1);
                }
            }
            (Order::Reprepared, _, Some(backend)) => {
                if let Some(backend) = self.backends.get(backend) {
                    backend.pool.block.statements_reprepared.add(1);
                }
            }
            (Order::Subscribe { number, channels }, Some(client), _) => {
                self.subscribe(client, number, channels);
            }
            (Order::Unsubscribe(channels), Some(client), _) => self.unsubscribe(client, &channels),
            (Order::Notified(count), Some(client), _) => {
                if let Some(client) = self.clients.get(client) {
                    let delivered = &client.endpoint.block.notifications_delivered;
                    delivered.add(count.into());
                }
            }
            (Order::Heard(told), _, Some(backend)) => self.on_heard(backend, &told),
            (Order::RoundDone(result), _, Some(backend)) => {
                self.on_round_done(
                    backend,
                    result.as_ref().copied().map_err(|refusal| &**refusal),
                );
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
    pub(crate) fn on_bug(
        &mut self,
        client: Option<Ticket>,
        backend: Option<Ticket>,
        what: &'static str,
    ) {
        let incident = self.next_number();
        self.block.bugs.add(1);
        let ends = (
            client.and_then(|ticket| self.clients.get(ticket)),
            backend.and_then(|ticket| self.backends.get(ticket)),
        );
        let about = match ends {
            (Some(client), Some(backend)) => Subject::both(client, backend),
            (Some(client), None) => Subject::client(client),
            (None, Some(backend)) => Subject::backend(backend),
            (None, None) => Subject::worker(),
        };
        self.report(about, EventKind::Bug { incident, what });
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
            Side::Client(ticket) => match self.clients.get(ticket) {
                Some(client) => Job::Client(client.ticket, work),
                None => return,
            },
            Side::Backend(ticket) => match self.backends.get(ticket) {
                Some(backend) => Job::Backend(backend.ticket, work),
                None => return,
            },
        };
        if !self.leave_job(job) {
            let refusal = Refusal::TooManyLogins;
            match side {
                Side::Client(ticket) => self.refuse_client(ticket, &refusal),
                Side::Backend(ticket) => self.on_backend_failed(ticket, &refusal),
            }
        }
    }

    fn on_answered(
        &mut self,
        client: Option<Ticket>,
        backend: Option<Ticket>,
        since: forebay_core::Instant,
    ) {
        let now = self.now;
        let Some(client) = client.and_then(|ticket| self.clients.get_mut(ticket)) else {
            return;
        };
        let asked = client
            .asked_at
            .take()
            .map_or(since, |asked| asked.min(since));
        client.active_at = now;
        let leased = backend.and_then(|ticket| self.backends.get(ticket));
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
                .block
                .query_database_response_latency
                .record(database);
        }
    }

    fn on_requests(&mut self, client: Option<Ticket>, count: u32) {
        let Some(client) = client.and_then(|ticket| self.clients.get(ticket)) else {
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

    fn pause(&mut self, ticket: Ticket, paused: bool) {
        if let Some(client) = self.clients.get_mut(ticket) {
            client.paused = paused;
        }
    }
}
