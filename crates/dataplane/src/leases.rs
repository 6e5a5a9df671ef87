//! Where sessions and backends meet and part, as the pools order.

use crate::connection::{NOBODYS, Phase, Role};
use crate::driver::Driver;
use crate::mailbox::{Letter, Parcel, Ticket};
use crate::plan::ProxyPlan;
use crate::relay::{Side, Source};
use crate::reporting::Subject;
use crate::scope::PoolScope;
use crate::worker::Worker;
use forebay_core::engine::Engine;
use forebay_core::event::EventKind;
use forebay_core::orders::Admission;
use forebay_core::{CloseReason, Instant, Refusal};
use forebay_pool::{BackendKey, History, Order as PoolOrder, PoolId, PoolKey};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

impl<D: Driver, E: Engine> Worker<D, E> {
    /// Does what the pools ordered, until they have nothing more to say.
    pub(crate) fn settle(&mut self) {
        self.finish_releases();
        loop {
            let order = self
                .pool_orders
                .pop_front()
                .or_else(|| self.pools.next_order());
            if let Some(order) = order {
                self.obey_pools(order);
            } else if let Some(ticket) = self.refeed.pop() {
                if self.clients.holds(ticket) {
                    self.feed_client_inbox(ticket);
                }
            } else if !self.read_own_letter() {
                return;
            }
            self.finish_releases();
        }
    }

    fn obey_pools(&mut self, order: PoolOrder) {
        match order {
            PoolOrder::Lease {
                client,
                backend,
                waited_since,
            } => {
                let client = client.into();
                self.attach(client, backend.into(), waited_since, &[]);
                self.feed_client_inbox(client);
            }
            PoolOrder::Dial { pool } => self.dial(pool),
            PoolOrder::Close { backend, reason } => self.close_backend(backend.into(), reason, ""),
            PoolOrder::Refuse { client, refusal } => self.refuse_lease(client.into(), &refusal),
            PoolOrder::Move {
                backend,
                to_worker,
                history,
            } => self.begin_move(backend.into(), to_worker, history),
            PoolOrder::WakeOthers => self.wake_others(),
        }
    }

    /// The scope of a pool, made at first use.
    pub(crate) fn pool_scope(
        &mut self,
        client: Ticket,
        wanted: &Admission,
    ) -> Result<Rc<PoolScope>, Refusal> {
        let gone = || Refusal::TargetUnreachable {
            detail: "its proxy is no longer configured".into(),
        };
        let client = self.clients.get(client).ok_or_else(gone)?;
        let proxy = Arc::clone(&client.endpoint.proxy.borrow());
        self.pool_scope_of(&proxy, wanted)
    }

    /// The scope of a pool of this proxy's, made at first use.
    pub(crate) fn pool_scope_of(
        &mut self,
        proxy: &ProxyPlan,
        wanted: &Admission,
    ) -> Result<Rc<PoolScope>, Refusal> {
        let gone = || Refusal::TargetUnreachable {
            detail: "its proxy is no longer configured".into(),
        };
        let target = self.targets.get(&proxy.target.id).ok_or_else(gone)?;
        let target = Rc::clone(target);
        let user = &wanted.user;
        let key = PoolKey {
            target: proxy.target.id,
            user: user.as_str().into(),
            database: wanted.database.as_str().into(),
            handshake: wanted.handshake,
        };
        if let Some(scope) = self.pool_scopes.get(&key) {
            return Ok(Rc::clone(scope));
        }
        let credential = proxy.proxy.credential(user);
        let credential = credential.ok_or_else(|| Refusal::NoCredentials { user: user.clone() })?;
        let credential = RefCell::new(Arc::clone(credential));
        let id = self.pools.pool(self.now, &key).ok_or_else(gone)?;
        let scope = Rc::new(PoolScope {
            key: key.clone(),
            id: Cell::new(id),
            credential,
            password: Cell::default(),
            block: Arc::clone(&target.block),
            target: RefCell::new(target),
            number: self.next_number(),
            init_query: RefCell::new(Arc::clone(&proxy.proxy.target_group.limits.init_query)),
            retired: Cell::new(false),
        });
        self.pool_scopes.insert(key, Rc::clone(&scope));
        self.pools_by_id.insert(id, Rc::clone(&scope));
        Ok(scope)
    }

    /// Forgets pools that were dropped for disuse and that no client knows.
    pub(crate) fn forget_pools(&mut self) {
        let pools = &self.pools;
        let used = |scope: &Rc<PoolScope>, known: usize| {
            Rc::strong_count(scope) > known || pools.stats(scope.id.get()).is_some()
        };
        self.pool_scopes.retain(|_, scope| used(scope, 2));
        self.pools_by_id.retain(|_, scope| used(scope, 1));
    }

    /// The session needs a backend; `input` is what it has asked for, as far as that is not in its inbox.
    pub(crate) fn request_lease(&mut self, ticket: Ticket, input: &[u8]) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        let Some(mut pool) = client.pool.clone() else {
            return;
        };
        let ready = client.phase == Phase::Ready;
        if self.draining && ready {
            // Nothing of its next transaction has been done.
            return self.refuse_client(ticket, &Refusal::ShuttingDown);
        }
        client.enter(Phase::Waiting { ready });
        if let Some(parameters) = client.dedicated.take() {
            return self.dial_for(ticket, &pool, parameters);
        }
        if pool.retired.get() {
            match self.pool_scope(ticket, &pool.wanted()) {
                Ok(scope) => pool = scope,
                Err(refusal) => return self.refuse_client(ticket, &refusal),
            }
            if let Some(client) = self.clients.get_mut(ticket) {
                client.pool = Some(Rc::clone(&pool));
            }
        }
        self.join_queue(ticket, &pool, input);
    }

    /// Asks the pool for a backend.
    fn join_queue(&mut self, ticket: Ticket, pool: &Rc<PoolScope>, input: &[u8]) {
        let Some(client) = self.clients.get(ticket) else {
            return;
        };
        let kept = &client.inbox.bytes;
        let input = if kept.is_empty() { input } else { kept };
        let label = E::session_label(&client.session);
        let (session, backends) = (&client.session, &self.backends);
        let suits = |backend: BackendKey| {
            let state = backends.get(backend.into());
            let state = state.and_then(|backend| backend.state.as_ref());
            state.is_none_or(|state| E::prefers(session, state, input))
        };
        if self
            .pools
            .request_suiting(self.now, pool.id.get(), ticket.client_key(), label, suits)
            .is_err()
        {
            // It was dropped for disuse: make it again.
            let Some(id) = self.pools.pool(self.now, &pool.key) else {
                let detail = "the target is not configured".into();
                return self.refuse_client(ticket, &Refusal::TargetUnreachable { detail });
            };
            self.rename_pool(pool, id);
            let asked = self.pools.request(self.now, id, ticket.client_key(), label);
            debug_assert!(asked.is_ok(), "the pool was just made");
        }
    }

    /// If the client was given a backend at once, attaches it without the detour over the queue of orders. `input` is what it has
    /// asked for, as far as that is not in its inbox.
    pub(crate) fn try_lease_now(&mut self, ticket: Ticket, input: &[u8]) -> bool {
        if !self
            .clients
            .get(ticket)
            .is_some_and(|client| matches!(client.phase, Phase::Waiting { .. }))
        {
            return false;
        }
        while let Some(order) = self.pools.next_order() {
            if let PoolOrder::Lease {
                client,
                backend,
                waited_since,
            } = order
                && client == ticket.client_key()
            {
                return self.attach(ticket, backend.into(), waited_since, input);
            }
            self.pool_orders.push_back(order);
        }
        false
    }

    /// The client has the backend from now on, if it suits: whether it does.
    pub(crate) fn attach(
        &mut self,
        client_ticket: Ticket,
        backend_ticket: Ticket,
        waited_since: Instant,
        input: &[u8],
    ) -> bool {
        let now = self.now;
        let usable = self.backends.get(backend_ticket).is_some_and(|backend| {
            matches!(backend.role, Role::Pooled | Role::Dedicated) && backend.client.is_none()
        });
        if usable && !self.suits(client_ticket, backend_ticket, input) {
            self.replace_backend(client_ticket, backend_ticket, waited_since);
            return false;
        }
        let Some(backend) = self.backends.get_mut(backend_ticket).filter(|_| usable) else {
            self.wait_again(client_ticket);
            return false;
        };
        let Some(client) = self.clients.get_mut(client_ticket) else {
            // Its client went while the order was under way.
            self.releasing.push(backend_ticket);
            return false;
        };
        debug_assert!(
            backend.client.is_none() && client.lease.is_none(),
            "nobody is leased twice"
        );
        client.enter(match client.phase {
            Phase::Waiting { ready: false } => Phase::Login,
            _ => Phase::Ready,
        });
        let block = &client.endpoint.block;
        block
            .database_connections_borrow_latency
            .record(now.micros_since(waited_since));
        backend
            .pool
            .block
            .database_connections_currently_borrowed
            .add(1);
        client.lease = Some(backend_ticket);
        client.paused = false;
        // What it waited for was the backend: from here on its own silence counts.
        client.active_at = now;
        backend.client = Some(client_ticket);
        backend.leased_at = now;
        let Some(state) = backend.state.as_mut() else {
            return true;
        };
        E::on_leased(
            &mut self.shared,
            &mut client.session,
            state,
            now,
            &mut self.orders,
        );
        self.obey(Side::Client(client_ticket), &Source::Bytes(&[]), 0);
        self.finish_releases();
        true
    }

    /// The backend died between the pool's decision and now: its client, if it still waits, asks for another.
    pub(crate) fn wait_again(&mut self, ticket: Ticket) {
        let Some(client) = self.clients.get(ticket) else {
            return;
        };
        if let (Phase::Waiting { .. }, Some(pool)) = (client.phase, client.pool.clone()) {
            self.join_queue(ticket, &pool, &[]);
        }
    }

    /// Session and backend part, whatever the reason.
    pub(crate) fn forget_lease(&mut self, backend_ticket: Ticket) {
        let Some(backend) = self.backends.get_mut(backend_ticket) else {
            return;
        };
        let Some(client_ticket) = backend.client.take() else {
            return;
        };
        let block = Arc::clone(&backend.pool.block);
        block.database_connections_currently_borrowed.sub(1);
        if backend.throttled {
            Self::receive_again(&mut self.driver, backend);
        }
        let Some(client) = self.clients.get_mut(client_ticket) else {
            return;
        };
        client.lease = None;
        client.asked_at = None;
        if !client.inbox.bytes.is_empty() {
            self.refeed.push(client.ticket);
        }
        self.end_pin(client_ticket, backend_ticket, false);
        let Some(client) = self.clients.get_mut(client_ticket) else {
            return;
        };
        if client.throttled {
            self.on_client_relaxed_maybe(client_ticket);
        }
    }

    /// The engine says that the backend may serve another session.
    pub(crate) fn release(&mut self, backend_ticket: Ticket) {
        self.forget_lease(backend_ticket);
        self.releasing.push(backend_ticket);
    }

    /// Gives released backends to the pools, once their clean state is proven.
    pub(crate) fn finish_releases(&mut self) {
        while let Some(ticket) = self.releasing.pop() {
            let Some(backend) = self.backends.get_mut(ticket) else {
                continue;
            };
            let clean = backend.client.is_none()
                && backend.inbox.bytes.is_empty()
                && backend.state.as_ref().is_some_and(E::is_clean);
            if !clean {
                backend.pool.block.backends_not_clean.add(1);
                self.close_backend(ticket, CloseReason::NotClean, "");
            } else if let Some((reason, why)) = backend.unusable() {
                self.close_backend(ticket, reason, why);
            } else if backend.cancels > 0 {
                // A signal that is still on its way must not hit the next session.
                backend.release_deferred = true;
            } else {
                let label = backend.state.as_ref().map_or(0, E::backend_label);
                self.count_transaction(ticket);
                self.pools
                    .on_released(self.now, ticket.backend_key(), label);
            }
        }
    }

    /// The pool will not serve the client.
    pub(crate) fn refuse_lease(&mut self, ticket: Ticket, refusal: &Refusal) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        let Phase::Waiting { ready } = client.phase else {
            return;
        };
        match refusal {
            Refusal::BorrowTimeout => client.endpoint.block.borrow_timeouts.add(1),
            Refusal::QueueFull { .. } => client.endpoint.block.throttled.add(1),
            _ => {}
        }
        client.enter(if ready { Phase::Ready } else { Phase::Login });
        let bytes = std::mem::take(&mut client.inbox.bytes);
        let stays =
            ready && E::on_lease_refused(&mut client.session, refusal, &bytes, &mut self.orders);
        if !stays {
            return self.refuse_client(ticket, refusal);
        }
        client.endpoint.block.refusals[refusal.number()].add(1);
        self.report_refused(ticket, refusal.clone(), "the session goes on".into());
        let outcome = self.obey(Side::Client(ticket), &Source::Bytes(&bytes), 0);
        if let Some(client) = self.clients.get_mut(ticket) {
            client.asked_at = None;
            client.inbox.bytes = bytes[outcome.consumed..].to_vec();
            self.feed_client_inbox(ticket);
        }
    }

    /// A waiting client is told that it was cancelled.
    pub(crate) fn cancel_waiting(&mut self, ticket: Ticket) {
        let Some(client) = self.clients.get(ticket) else {
            return;
        };
        // Half a request is not cancelled, as the database would not: asked beforehand, because withdrawing cannot be undone.
        let whole = E::has_whole_request(&client.session, &client.inbox.bytes);
        if whole && self.pools.withdraw(self.now, ticket.client_key()) {
            self.refuse_lease(ticket, &Refusal::Cancelled);
        }
    }

    /// An idle backend goes to a worker whose clients have waited longer.
    fn begin_move(&mut self, ticket: Ticket, to_worker: u16, history: History) {
        let Some(backend) = self.backends.get_mut(ticket) else {
            return;
        };
        backend.leaving = Some((to_worker, history));
        if let Some(handle) = backend.handle {
            self.driver.detach(handle);
        }
    }

    /// Nothing of the leaving backend is in flight any more.
    pub(crate) fn on_detached(&mut self, ticket: Ticket, socket: crate::driver::Socket) {
        let Some(backend) = self.backends.remove(ticket) else {
            return;
        };
        let about = Subject::backend(&backend);
        let (Some((to_worker, history)), Some(state)) = (backend.leaving, backend.state) else {
            return;
        };
        let whole = backend.inbox.bytes.is_empty();
        let block = &backend.pool.block;
        block.backends_moved.add(u64::from(whole));
        block.database_connections.sub(1);
        if backend.tls.is_some() {
            block.database_connections_with_tls.sub(1);
        }
        if !whole {
            // Half a message stays here, and without it nobody can read on.
            self.pools.on_closed(self.now, ticket.backend_key());
            let (reason, detail) = (CloseReason::NotClean, "it spoke while it moved".into());
            return self.report(about, EventKind::BackendClosed { reason, detail });
        }
        self.pools.on_moved(self.now, ticket.backend_key());
        let parcel = Parcel {
            pool: backend.pool.key.clone(),
            socket,
            tls: backend.tls,
            state,
            history,
            number: backend.number,
        };
        self.mailbox(to_worker)
            .send(Letter::Parcel(Box::new(parcel)));
        self.report(about, EventKind::BackendMoved { to: to_worker });
    }

    /// A backend arrives from another worker.
    pub(crate) fn on_parcel(&mut self, parcel: Parcel<E>) {
        let scope = self.pool_scopes.get(&parcel.pool).cloned();
        let pool = self.pools.pool(self.now, &parcel.pool);
        let (Some(scope), Some(id)) = (scope, pool) else {
            // The target was removed meanwhile. Its place in the budget is gone with the target: should that come again, it comes
            // with a new one (`Planner`).
            let handle = self.driver.attach(parcel.socket, NOBODYS);
            return self.driver.close(handle, false);
        };
        self.rename_pool(&scope, id);
        let Parcel {
            socket,
            tls,
            mut state,
            history,
            number,
            ..
        } = parcel;
        E::on_backend_moved_in(&mut self.shared, &mut state);
        let history = History {
            label: E::backend_label(&state),
            ..history
        };
        let ticket = self.add_backend(&scope, Role::Pooled);
        let Some(backend) = self.backends.get_mut(ticket) else {
            return;
        };
        let handle = self
            .driver
            .attach(socket, crate::connection::backend_token(backend.ticket));
        let block = &scope.block;
        block.database_connections.add(1);
        if tls.is_some() {
            block.database_connections_with_tls.add(1);
        }
        backend.handle = Some(handle);
        backend.state = Some(state);
        backend.secured = tls.is_some();
        backend.tls = tls;
        backend.number = number;
        self.driver.receive(handle, true);
        if self
            .pools
            .on_adopted(self.now, id, ticket.backend_key(), history)
            .is_err()
        {
            self.close_backend(ticket, CloseReason::Reconfigured, "");
        }
    }

    /// A pool that was dropped for disuse has a new name.
    fn rename_pool(&mut self, scope: &Rc<PoolScope>, id: PoolId) {
        if scope.id.get() != id {
            self.pools_by_id.remove(&scope.id.get());
            scope.id.set(id);
            self.pools_by_id.insert(id, Rc::clone(scope));
        }
    }
}
