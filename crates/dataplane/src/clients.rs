//! Clients from accept to close.

use crate::connection::{Client, Inbox, Phase, client_token, peer_text};
use crate::driver::{Driver, Handle};
use crate::mailbox::{Asker, Letter, Ticket};
use crate::process_number;
use crate::relay::{Side, Source};
use crate::reporting::Subject;
use crate::tls::{Filter, TlsError};
use crate::worker::Worker;
use forebay_core::engine::{ClientFacts, Engine, Farewell};
use forebay_core::event::EventKind;
use forebay_core::orders::{Admission, CancelKey, Order};
use forebay_core::{CloseReason, Refusal};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl<D: Driver, E: Engine> Worker<D, E> {
    /// A client connected.
    pub(crate) fn on_accepted(&mut self, listener: u32, handle: Handle) {
        let Some(endpoint) = self.endpoints.get(&listener).cloned() else {
            return self.driver.close(handle, false);
        };
        endpoint.block.client_connections_received.add(1);
        let plan = Arc::clone(&endpoint.proxy.borrow());
        let proxy = Arc::clone(&plan.proxy);
        let mut entropy = [0; 64];
        (self.crew.random)(&mut entropy);
        let number = self.next_number();
        let (worker, workers) = (self.crew.number, self.crew.mailboxes.len());
        let (shared, now) = (&mut self.shared, self.now);
        let (target, orders) = (plan.target.health.said(), &mut self.orders);
        let place = self.clients.insert(|ticket| {
            let process = process_number::of(worker, workers, ticket);
            Client {
                ticket,
                handle,
                session: E::session(
                    shared,
                    ClientFacts {
                        proxy,
                        process,
                        session: number,
                        target,
                        entropy,
                    },
                    orders,
                ),
                tls: None,
                secured: false,
                frames: None,
                inbox: Inbox::default(),
                endpoint,
                pool: None,
                lease: None,
                phase: Phase::Login,
                paused: false,
                throttled: false,
                number,
                active_at: now,
                asked_at: None,
                pin: None,
                idle_limit: None,
                dedicated: None,
                hub: None,
                channels: BTreeSet::new(),
            }
        });
        self.crew.clients.fetch_add(1, Ordering::Relaxed);
        // Counted before the bound is looked at, so that a client too many is counted in and out like any other.
        plan.gate.enter();
        let Some(client) = self.clients.get(place) else {
            return;
        };
        client.endpoint.block.client_connections.add(1);
        client.endpoint.block.client_connections_in_setup.add(1);
        self.driver.set_token(handle, client_token(client.ticket));
        self.driver.receive(handle, true);
        self.obey(Side::Client(place), &Source::Bytes(&[]), 0);
    }

    /// The client has proven who it is.
    pub(crate) fn admit(&mut self, ticket: Ticket, admission: Admission) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        let plan = Arc::clone(&client.endpoint.proxy.borrow());
        let proxy = &plan.proxy;
        let mut admission = admission;
        client.dedicated = admission.dedicated.take();
        if self.draining {
            return self.refuse_client(ticket, &Refusal::ShuttingDown);
        }
        if plan.gate.clients() > proxy.clients_max {
            client.endpoint.block.throttled.add(1);
            return self.refuse_client(
                ticket,
                &Refusal::TooManyClients {
                    max: proxy.clients_max,
                },
            );
        }
        let second = self.now.as_nanos() / 1_000_000_000;
        if !plan.gate.admit(second, proxy.connect_rate_max) {
            client.endpoint.block.throttled.add(1);
            return self.refuse_client(
                ticket,
                &Refusal::ConnectRate {
                    max: proxy.connect_rate_max,
                },
            );
        }
        let pool = match self.pool_scope(ticket, &admission) {
            Ok(pool) => pool,
            Err(refusal) => return self.refuse_client(ticket, &refusal),
        };
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        client.pool = Some(Rc::clone(&pool));
        let block = &client.endpoint.block;
        block
            .client_connections_with_previous_password
            .add(u64::from(admission.is_previous));
        E::on_pool(
            &mut self.shared,
            &mut client.session,
            pool.number,
            &mut self.orders,
        );
        self.obey(Side::Client(ticket), &Source::Bytes(&[]), 0);
        if self.clients.holds(ticket) {
            self.try_lease_now(ticket, &[]);
        }
    }

    /// The client's login is complete.
    pub(crate) fn on_client_ready(&mut self, ticket: Ticket) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        client.enter(Phase::Ready);
        client.paused = false;
        client.active_at = now;
        let block = &client.endpoint.block;
        block.client_connections_setup_succeeded.add(1);
        if !self.crew.events.wants_details() {
            return;
        }
        let Some(pool) = &client.pool else { return };
        let kind = EventKind::ClientReady {
            user: Arc::clone(&pool.key.user),
            database: Arc::clone(&pool.key.database),
            peer: peer_text(self.driver.peer(client.handle)),
            tls: client.secured,
        };
        let about = Subject::client(client);
        self.report(about, kind);
    }

    /// From here on the client speaks TLS; `rest` already belongs to it.
    pub(crate) fn start_client_tls(&mut self, ticket: Ticket, rest: &[u8]) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        let plan = Arc::clone(&client.endpoint.proxy.borrow());
        let filter = plan.tls.as_ref().map(Filter::server);
        match filter {
            Some(Ok(filter)) if client.tls.is_none() => {
                client.tls = Some(Box::new(filter));
                if !rest.is_empty() {
                    self.tls_bytes(Side::Client(ticket), rest);
                }
            }
            Some(Err(error)) => self.on_client_tls_failed(ticket, &error),
            _ => self.close_client(ticket, CloseReason::Tls),
        }
    }

    /// TLS with a client came to nothing.
    pub(crate) fn on_client_tls_failed(&mut self, ticket: Ticket, error: &TlsError) {
        let Some(client) = self.clients.get(ticket) else {
            return;
        };
        if client.phase == Phase::Login {
            client
                .endpoint
                .block
                .client_connections_setup_failed_auth
                .add(1);
        }
        let refusal = Refusal::ProtocolViolation("TLS failed");
        self.report_refused(ticket, refusal, error.to_string().into());
        self.close_client_after_sending(ticket, CloseReason::Tls);
    }

    /// A client's slow work is done.
    pub(crate) fn on_client_work(&mut self, ticket: Ticket, done: E::Done) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        E::on_client_work(
            &mut self.shared,
            &mut client.session,
            done,
            &mut self.orders,
        );
        self.obey(Side::Client(ticket), &Source::Bytes(&[]), 0);
        self.feed_client_inbox(ticket);
    }

    /// The client closed its side, or its connection failed.
    pub(crate) fn on_client_ended(&mut self, ticket: Ticket) {
        let Some(client) = self.clients.get(ticket) else {
            return;
        };
        let quiet = self.is_idle(client) || client.phase == Phase::Login;
        self.close_client(
            ticket,
            if quiet {
                CloseReason::ClientGone
            } else {
                CloseReason::ClientGoneMidway
            },
        );
    }

    /// Tells a client no, and closes it.
    pub(crate) fn refuse_client(&mut self, ticket: Ticket, refusal: &Refusal) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        let block = &client.endpoint.block;
        block.refusals[refusal.number()].add(1);
        if client.phase.is_in_setup() && refusal.is_authentication() {
            block.client_connections_setup_failed_auth.add(1);
        }
        E::on_refused(&mut client.session, refusal, &mut self.orders);
        let detail = match refusal {
            Refusal::TargetUnreachable { detail } | Refusal::TargetAuthentication { detail } => {
                Arc::clone(detail)
            }
            _ => "".into(),
        };
        self.report_refused(ticket, refusal.clone(), detail);
        // Only the client hears it: orders about a backend end here.
        let (list, made) = self.orders.take();
        for order in &list {
            match order {
                Order::ToClient(range) => {
                    self.send_to_client(ticket, &Source::Bytes(&made), (range.start, range.end));
                }
                Order::Answer => self.begin_answer(ticket),
                _ => {}
            }
        }
        self.orders.reuse(list, made);
        self.close_client_after_sending(ticket, CloseReason::Refused);
    }

    /// Closes a client when what is queued for it has left.
    pub(crate) fn close_client_after_sending(&mut self, ticket: Ticket, reason: CloseReason) {
        self.end_client(ticket, reason, true);
    }

    /// Closes a client.
    pub(crate) fn close_client(&mut self, ticket: Ticket, reason: CloseReason) {
        self.end_client(ticket, reason, false);
    }

    fn end_client(&mut self, ticket: Ticket, reason: CloseReason, after_sending: bool) {
        let Some(mut client) = self.clients.remove(ticket) else {
            return;
        };
        self.crew.clients.fetch_sub(1, Ordering::Relaxed);
        let plan = Arc::clone(&client.endpoint.proxy.borrow());
        plan.gate.leave();
        let block = Arc::clone(&client.endpoint.block);
        block.client_connections.sub(1);
        block.client_connections_closed.add(1);
        if let Some(filter) = client.tls.as_mut() {
            block.client_connections_tls.sub(u64::from(client.secured));
            self.wire.clear();
            filter.close_notify(&mut self.wire);
            self.driver.send_copy(client.handle, &self.wire);
        }
        client.count_out();
        self.forget_silence(ticket, &client);
        self.forget_subscriptions(&client);
        if client.phase.is_waiting() {
            self.pools.withdraw(self.now, ticket.client_key());
        }
        // One that said goodbye behind its last request still reads the answer.
        let unread = reason == CloseReason::ClientQuit && self.driver.unsent(client.handle) > 0;
        self.driver.close(client.handle, after_sending || unread);
        if let Some(backend) = client.lease {
            let pinned = self.end_last_pin(&mut client, backend);
            self.part_from_vanished(backend, pinned);
        }
        if self.crew.events.wants_details() {
            self.report(Subject::client(&client), EventKind::ClientClosed { reason });
        }
    }

    /// The client of this backend is gone: makes it clean, or closes it.
    fn part_from_vanished(&mut self, ticket: Ticket, pinned: bool) {
        self.forget_lease(ticket);
        let Some(backend) = self.backends.get_mut(ticket) else {
            return;
        };
        backend.leased_at = self.now;
        let Some(state) = backend.state.as_mut() else {
            return;
        };
        match E::on_client_gone(state, &mut self.orders) {
            Farewell::Clean => self.releasing.push(ticket),
            Farewell::Cleaning => {
                // `Release` follows with the answer; `sweep_backend` bounds the wait.
                self.obey(Side::Backend(ticket), &Source::Bytes(&[]), 0);
            }
            Farewell::Close if pinned => self.close_backend(ticket, CloseReason::WasPinned, ""),
            Farewell::Close => self.close_backend(ticket, CloseReason::ClientGoneMidway, ""),
            Farewell::CancelAndClose => {
                self.dial_cancel(ticket, None, None);
                self.close_backend(ticket, CloseReason::ClientGoneMidway, "");
            }
        }
    }

    /// A client asks to cancel another: whoever has that one is asked.
    pub(crate) fn ask_cancel(&mut self, ticket: Ticket, key: CancelKey) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        let ready = client.phase == Phase::Ready;
        client.enter(Phase::Cancelling { ready });
        let asker = Asker {
            worker: self.crew.number,
            ticket: client.ticket,
            listener: client.endpoint.listener,
        };
        let worker = process_number::worker_of(key.process, self.crew.mailboxes.len());
        if worker == usize::from(self.crew.number) {
            return self.on_cancel(&key, asker);
        }
        match self.crew.mailboxes.get(worker) {
            Some(mailbox) => mailbox.send(Letter::Cancel { key, asker }),
            None => self.cancel_missed(asker),
        }
    }

    /// There is nothing to cancel; counted where the asker came in, which may have gone meanwhile.
    fn cancel_missed(&mut self, asker: Asker) {
        if let Some(endpoint) = self.endpoints.get(&asker.listener) {
            endpoint.block.cancels_unmatched.add(1);
        }
        self.tell_cancelled(asker, false);
    }

    /// One of our clients is to be cancelled.
    pub(crate) fn on_cancel(&mut self, key: &CancelKey, asker: Asker) {
        let place = process_number::place_of(key.process);
        let victim = self
            .clients
            .ticket_at(place)
            .and_then(|ticket| self.clients.get(ticket))
            .filter(|client| E::cancels(&client.session, key));
        let Some(victim) = victim else {
            return self.cancel_missed(asker);
        };
        let delivered = &victim.endpoint.block.cancels_delivered;
        if key.ends {
            delivered.add(1);
            let victim = victim.ticket;
            // What runs for it is cancelled with it.
            self.close_client(victim, CloseReason::Killed);
            return self.tell_cancelled(asker, true);
        }
        match (victim.phase, victim.lease) {
            (Phase::Waiting { .. }, _) => {
                delivered.add(1);
                let waiting = victim.ticket;
                self.cancel_waiting(waiting);
                self.tell_cancelled(asker, true);
            }
            (_, Some(backend)) => {
                delivered.add(1);
                self.dial_cancel(backend, Some(backend), Some(asker));
            }
            _ => self.cancel_missed(asker),
        }
    }

    /// What was asked for is done, or nobody of ours was `found` to do it to.
    pub(crate) fn tell_cancelled(&mut self, asker: Asker, found: bool) {
        if asker.worker == self.crew.number {
            self.on_cancelled(asker.ticket, found);
        } else {
            self.mailbox(asker.worker)
                .send(Letter::Cancelled(asker.ticket, found));
        }
    }

    /// A cancellation that one of our clients asked for is done.
    pub(crate) fn on_cancelled(&mut self, ticket: Ticket, found: bool) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        let Phase::Cancelling { ready } = client.phase else {
            return;
        };
        client.enter(if ready { Phase::Ready } else { Phase::Login });
        let backend = client.lease.and_then(|lease| self.backends.get_mut(lease));
        let backend = backend.and_then(|backend| backend.state.as_mut());
        E::on_cancelled(&mut client.session, backend, found, &mut self.orders);
        self.obey(Side::Client(ticket), &Source::Bytes(&[]), 0);
        self.finish_releases();
        self.feed_client_inbox(ticket);
    }

    /// Timeouts of a client.
    pub(crate) fn sweep_client(&mut self, ticket: Ticket) {
        let Some(client) = self.clients.get(ticket) else {
            return;
        };
        let proxy = Arc::clone(&client.endpoint.proxy.borrow().proxy);
        let quiet = self.now.since(client.active_at);
        if matches!(client.phase, Phase::Login | Phase::Cancelling { .. }) {
            if quiet > proxy.login_timeout {
                self.refuse_client(ticket, &Refusal::LoginTimeout);
            }
        } else if client.phase == Phase::Ready {
            let idle = self.is_idle(client);
            // Pauses inside a transaction count too: its last request was answered.
            let pausing = idle || client.asked_at.is_none() && client.inbox.bytes.is_empty();
            let worn = client.tls.as_ref().is_some_and(|tls| tls.is_worn());
            if idle && worn {
                self.refuse_client(ticket, &Refusal::TlsKeysWorn);
            } else if self.draining && idle {
                self.refuse_client(ticket, &Refusal::ShuttingDown);
            } else if pausing && quiet > proxy.idle_client_timeout {
                self.refuse_client(ticket, &Refusal::IdleClientTimeout);
            }
        }
    }
}
