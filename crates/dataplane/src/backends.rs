//! Database connections from dial to close.

use crate::connection::{Backend, Inbox, Role, backend_token};
use crate::driver::Driver;
use crate::mailbox::{Asker, Ticket};
use crate::relay::{Side, Source};
use crate::scope::PoolScope;
use crate::tls::{Filter, TlsError};
use crate::worker::Worker;
use crate::workshop::Job;
use forebay_core::engine::{BackendFacts, Engine, Purpose, StartupParameters};
use forebay_core::event::EventKind;
use forebay_core::metrics::Availability;
use forebay_core::{CloseReason, Refusal};
use forebay_pool::PoolId;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Time a database has from the first packet to the end of our login.
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);
/// Time a database has to roll back what a vanished client left open.
const CLEANING_TIMEOUT: Duration = Duration::from_secs(10);

/// A request to cancel what a client has asked, which its backend is not yet at.
pub(crate) struct Postponed {
    backend: Ticket,
    /// Who must still have that backend.
    client: Option<Ticket>,
    asker: Option<Asker>,
}

impl<D: Driver, E: Engine> Worker<D, E> {
    /// A place for a new database connection.
    pub(crate) fn add_backend(&mut self, pool: &Rc<PoolScope>, role: Role) -> Ticket {
        let (number, now) = (self.next_number(), self.now);
        self.backends.insert(|ticket| Backend {
            ticket,
            handle: None,
            state: None,
            tls: None,
            secured: false,
            inbox: Inbox::default(),
            role,
            pool: Rc::clone(pool),
            client: None,
            leased_at: now,
            throttled: false,
            number,
            dial_deadline: now + DIAL_TIMEOUT,
            addresses: Vec::new(),
            redialed: false,
            cancels: 0,
            release_deferred: false,
            in_transaction: false,
            unfit: None,
            leaving: None,
        })
    }

    /// The pool wants one more backend.
    pub(crate) fn dial(&mut self, pool: PoolId) {
        let Some(scope) = self.pools_by_id.get(&pool).cloned() else {
            let refusal = Refusal::TargetUnreachable {
                detail: "the pool has no target".into(),
            };
            return self.dial_came_to_nothing(pool, &refusal);
        };
        let ticket = self.add_backend(&scope, Role::Dialing(pool));
        self.start_dial(ticket);
    }

    /// A client wants a backend of its own.
    pub(crate) fn dial_for(
        &mut self,
        client: Ticket,
        pool: &Rc<PoolScope>,
        parameters: StartupParameters,
    ) {
        let ticket = self.add_backend(pool, Role::DialingFor(client));
        self.purposes.insert(ticket, Purpose::Dedicated(parameters));
        self.start_dial(ticket);
    }

    /// What this backend does now is to be cancelled.
    pub(crate) fn dial_cancel(
        &mut self,
        backend: Ticket,
        victim: Option<Ticket>,
        asker: Option<Asker>,
    ) {
        let target = self.backends.get(backend);
        let state = target.and_then(|backend| backend.state.as_ref());
        if victim.is_some() && state.is_some_and(E::is_preparing) {
            let client = target.and_then(|target| target.client);
            return self.postponed.push(Postponed {
                backend,
                client,
                asker,
            });
        }
        let purpose = state.and_then(E::cancel);
        let Some(purpose) = purpose else {
            if let Some(asker) = asker {
                self.tell_cancelled(asker);
            }
            return;
        };
        let Some(target) = self.backends.get_mut(backend) else {
            return;
        };
        let victim = victim.is_some().then_some(target.ticket);
        if victim.is_some() {
            target.cancels += 1;
        }
        let pool = Rc::clone(&target.pool);
        let ticket = self.add_backend(&pool, Role::Cancel { victim, asker });
        self.purposes.insert(ticket, purpose);
        self.start_dial(ticket);
    }

    /// Cancel requests waited for what a backend did ahead of its client's messages, which may be done now.
    pub(crate) fn dial_postponed(&mut self) {
        for request in std::mem::take(&mut self.postponed) {
            let Postponed {
                backend,
                client,
                asker,
            } = request;
            let held = self.backends.get(backend);
            if held.is_some_and(|held| held.client == client) {
                // Postponed again, if it is too early.
                self.dial_cancel(backend, Some(backend), asker);
            } else if let Some(asker) = asker {
                self.tell_cancelled(asker);
            }
        }
    }

    pub(crate) fn start_dial(&mut self, ticket: Ticket) {
        let Some(backend) = self.backends.get(ticket) else {
            return;
        };
        let target = backend.pool.target();
        if !matches!(backend.role, Role::Cancel { .. }) && !backend.redialed {
            target.block.database_connection_requests.add(1);
            if target.plan.tls.is_some() {
                target.block.database_connection_requests_with_tls.add(1);
            }
        }
        let (host, port) = (&target.plan.target.host, target.plan.target.port);
        if let Ok(address) = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
        {
            return self.on_resolved(ticket, Ok(vec![SocketAddr::new(address, port)]));
        }
        let job = Job::Resolve(backend.ticket, Arc::clone(host), port);
        if !self.leave_job(job) {
            let refusal = Refusal::TargetUnreachable {
                detail: "too many names are being resolved".into(),
            };
            self.on_backend_failed(ticket, &refusal);
        }
    }

    /// The target's addresses are known.
    pub(crate) fn on_resolved(&mut self, ticket: Ticket, result: io::Result<Vec<SocketAddr>>) {
        let Some(backend) = self.backends.get_mut(ticket) else {
            return;
        };
        match result {
            Ok(mut addresses) if !addresses.is_empty() => {
                addresses.reverse();
                backend.addresses = addresses;
                self.try_next_address(ticket, "no address");
            }
            Ok(_) => self.dial_failed(ticket, "the name has no address"),
            Err(error) => {
                self.dial_failed(ticket, &format!("the name cannot be resolved: {error}"))
            }
        }
    }

    fn try_next_address(&mut self, ticket: Ticket, why: &str) {
        let Some(backend) = self.backends.get_mut(ticket) else {
            return;
        };
        let Some(address) = backend.addresses.pop() else {
            return self.dial_failed(ticket, why);
        };
        match self.driver.connect(address, backend_token(backend.ticket)) {
            Ok(handle) => backend.handle = Some(handle),
            Err(error) => self.try_next_address(ticket, &error.to_string()),
        }
    }

    fn dial_failed(&mut self, ticket: Ticket, why: &str) {
        self.on_backend_failed(ticket, &Refusal::TargetUnreachable { detail: why.into() });
    }

    /// A connection to the target was made, or not.
    pub(crate) fn on_connected(&mut self, ticket: Ticket, result: io::Result<()>) {
        let Some(backend) = self.backends.get_mut(ticket) else {
            return;
        };
        let Some(handle) = backend.handle else { return };
        if let Err(error) = result {
            backend.handle = None;
            self.driver.close(handle, false);
            return self.try_next_address(ticket, &error.to_string());
        }
        let pool = Rc::clone(&backend.pool);
        let oldest_version = backend.redialed || pool.target().plan.health.takes_oldest_version();
        let purpose = self.purposes.get(&ticket).cloned();
        let mut entropy = [0; 32];
        (self.crew.random)(&mut entropy);
        let facts = BackendFacts {
            credential: Arc::clone(&pool.credential.borrow()),
            database: Arc::clone(&pool.key.database),
            tls: pool.target().plan.target.tls.mode,
            init_query: Arc::clone(&pool.init_query.borrow()),
            purpose: purpose.unwrap_or(Purpose::Pooled),
            oldest_version,
            entropy,
        };
        let state = E::backend(&mut self.shared, facts, &mut self.orders);
        if let Some(backend) = self.backends.get_mut(ticket) {
            backend.state = Some(state);
        }
        self.driver.receive(handle, true);
        self.obey(Side::Backend(ticket), &Source::Bytes(&[]), 0);
    }

    /// From here on the backend speaks TLS; `rest` already belongs to it.
    pub(crate) fn start_backend_tls(&mut self, ticket: Ticket, rest: &[u8]) {
        let Some(backend) = self.backends.get_mut(ticket) else {
            return;
        };
        let target = backend.pool.target();
        let filter = target.plan.tls.as_ref().map(Filter::client);
        match (filter, backend.handle) {
            (Some(Ok(mut filter)), Some(handle)) if backend.tls.is_none() => {
                self.wire.clear();
                filter.start(&mut self.wire);
                self.driver.send_copy(handle, &self.wire);
                backend.tls = Some(Box::new(filter));
                if !rest.is_empty() {
                    self.tls_bytes(Side::Backend(ticket), rest);
                }
            }
            (Some(Err(error)), _) => self.on_backend_tls_failed(ticket, &error),
            _ => self.dial_failed(ticket, "TLS is not configured"),
        }
    }

    /// The backend's TLS broke.
    pub(crate) fn on_backend_tls_failed(&mut self, ticket: Ticket, error: &TlsError) {
        let role = self.backends.get(ticket).map(|backend| backend.role);
        let why = error.to_string();
        match role {
            Some(Role::Pooled | Role::Dedicated) => {
                self.close_backend(ticket, CloseReason::Tls, &why);
            }
            Some(_) => {
                let detail = why.into();
                self.on_backend_failed(ticket, &Refusal::TargetAuthentication { detail });
            }
            None => {}
        }
    }

    /// A backend's slow work is done.
    pub(crate) fn on_backend_work(&mut self, ticket: Ticket, done: E::Done) {
        let Some(state) = self
            .backends
            .get_mut(ticket)
            .and_then(|backend| backend.state.as_mut())
        else {
            return;
        };
        E::on_backend_work(&mut self.shared, state, done, &mut self.orders);
        self.obey(Side::Backend(ticket), &Source::Bytes(&[]), 0);
        self.feed_backend(ticket, &Source::Bytes(&[]));
    }

    /// The backend's login is complete.
    pub(crate) fn on_backend_ready(&mut self, ticket: Ticket, usable: u32, max: u32) {
        let Some(backend) = self.backends.get_mut(ticket) else {
            return;
        };
        let scope = Rc::clone(&backend.pool);
        let target = scope.target();
        let block = &scope.block;
        block.database_connections_setup_succeeded.add(1);
        block.database_connections.add(1);
        let health = &target.plan.health;
        health.set_availability(Availability::Up);
        let tls = backend.secured;
        if std::mem::take(&mut backend.redialed) {
            health.on_oldest_version();
        }
        self.purposes.remove(&ticket);
        match backend.role {
            Role::Dialing(pool) => {
                backend.role = Role::Pooled;
                let label = backend.state.as_ref().map_or(0, E::backend_label);
                let jitter = self.jitter();
                self.pools.on_limits(self.now, scope.key.target, usable);
                self.pools
                    .on_dialed(self.now, pool, ticket.backend_key(), label, jitter);
            }
            Role::DialingFor(client) => {
                backend.role = Role::Dedicated;
                if self.clients.holds(client) {
                    self.attach(client, ticket, self.now);
                } else {
                    return self.close_backend(ticket, CloseReason::ClientGone, "");
                }
            }
            Role::Pooled | Role::Dedicated | Role::Cancel { .. } => {}
        }
        target.show();
        let name = &target.plan.name;
        if usable > 0 && health.on_connections_max(max) {
            let kind = EventKind::LimitsRead {
                target: Arc::clone(name),
                max_connections: max,
                usable: target.plan.budget.max(),
            };
            self.report_backend(ticket, kind);
        }
        let kind = EventKind::BackendReady {
            target: Arc::clone(name),
            user: Arc::clone(&scope.key.user),
            database: Arc::clone(&scope.key.database),
            tls,
        };
        self.report_backend(ticket, kind);
    }

    /// The backend that was being set up cannot be used.
    pub(crate) fn on_backend_failed(&mut self, ticket: Ticket, refusal: &Refusal) {
        if self.redial(ticket) {
            return;
        }
        let Some(backend) = self.backends.get(ticket) else {
            return;
        };
        let scope = Rc::clone(&backend.pool);
        let role = backend.role;
        if matches!(role, Role::Pooled | Role::Dedicated) {
            // It may serve a client, who must be told.
            return self.close_backend(ticket, CloseReason::SetupFailed, refusal.as_str());
        }
        let own = refused_settings(role, refusal);
        let refusal = own.as_ref().unwrap_or(refusal);
        let target = scope.target();
        if !matches!(role, Role::Cancel { .. }) {
            target.block.database_connections_setup_failed.add(1);
        }
        if !matches!(role, Role::Cancel { .. }) && own.is_none() {
            target.plan.health.set_availability(shows(refusal));
            target.show();
            let kind = EventKind::BackendFailed {
                target: Arc::clone(&target.plan.name),
                user: Arc::clone(&scope.key.user),
                database: Arc::clone(&scope.key.database),
                refusal: refusal.clone(),
            };
            self.report_backend(ticket, kind);
        }
        self.drop_backend(ticket);
        match role {
            Role::Dialing(pool) => self.dial_came_to_nothing(pool, refusal),
            Role::DialingFor(client) if self.clients.holds(client) => {
                self.refuse_client(client, refusal)
            }
            Role::Cancel { victim, asker } => self.on_cancel_done(victim, asker),
            Role::DialingFor(_) | Role::Pooled | Role::Dedicated => {}
        }
    }

    /// Tells the pool that what it ordered is not to be had.
    fn dial_came_to_nothing(&mut self, pool: PoolId, refusal: &Refusal) {
        let jitter = self.jitter();
        match refusal {
            Refusal::TargetRefused { code, .. } if **code == *"53300" => {
                self.pools.on_dial_crowded(self.now, pool, jitter);
            }
            refusal => self.pools.on_dial_failed(self.now, pool, refusal, jitter),
        }
    }

    /// The backend closed its connection, or it failed.
    pub(crate) fn on_backend_ended(&mut self, ticket: Ticket, error: Option<&io::Error>) {
        let Some(backend) = self.backends.get(ticket) else {
            return;
        };
        match backend.role {
            Role::Dialing(_) | Role::DialingFor(_) => {
                let why = error.map_or_else(
                    || "the database closed the connection during login".to_owned(),
                    ToString::to_string,
                );
                self.dial_failed(ticket, &why);
            }
            Role::Cancel { victim, asker } => {
                self.drop_backend(ticket);
                self.on_cancel_done(victim, asker);
            }
            Role::Pooled | Role::Dedicated => {
                let why = error.map(ToString::to_string).unwrap_or_default();
                self.close_backend(ticket, CloseReason::BackendGone, &why);
            }
        }
    }

    /// A cancel request has been delivered, as far as can be known.
    fn on_cancel_done(&mut self, victim: Option<Ticket>, asker: Option<Asker>) {
        if let Some(ticket) = victim
            && self.backends.holds(ticket)
            && let Some(backend) = self.backends.get_mut(ticket)
        {
            backend.cancels -= 1;
            if backend.cancels == 0 && std::mem::take(&mut backend.release_deferred) {
                self.releasing.push(ticket);
            }
        }
        if let Some(asker) = asker {
            self.tell_cancelled(asker);
        }
    }

    /// Closes a backend; a client that it served is told.
    pub(crate) fn close_backend(&mut self, ticket: Ticket, reason: CloseReason, detail: &str) {
        let Some(backend) = self.backends.get_mut(ticket) else {
            return;
        };
        let client = backend.client;
        if client.is_some() {
            self.forget_lease(ticket);
        }
        let Some(backend) = self.backends.get_mut(ticket) else {
            return;
        };
        if let Some(state) = backend.state.as_mut()
            && reason != CloseReason::BackendGone
        {
            E::on_backend_closing(state, &mut self.orders);
            self.obey(Side::Backend(ticket), &Source::Bytes(&[]), 0);
        }
        let Some(backend) = self.backends.get(ticket) else {
            return;
        };
        let role = backend.role;
        if matches!(role, Role::Dialing(_) | Role::DialingFor(_)) {
            let block = &backend.pool.target().block;
            block.database_connections_setup_failed.add(1);
        }
        let detail = detail.into();
        self.report_backend(ticket, EventKind::BackendClosed { reason, detail });
        self.drop_backend(ticket);
        match role {
            Role::Pooled => self.pools.on_closed(self.now, ticket.backend_key()),
            Role::Dialing(pool) => {
                let refusal = Refusal::TargetUnreachable {
                    detail: "the dial was given up".into(),
                };
                self.dial_came_to_nothing(pool, &refusal);
            }
            Role::Cancel { victim, asker } => self.on_cancel_done(victim, asker),
            Role::DialingFor(client) => self.refuse_client(client, &Refusal::BackendLost),
            Role::Dedicated => {}
        }
        if let Some(client) = client {
            self.refuse_client(client, &Refusal::BackendLost);
        }
    }

    /// The database has not answered in time.
    fn on_dial_timeout(&mut self, ticket: Ticket) {
        let now = self.now;
        let Some(backend) = self.backends.get_mut(ticket) else {
            return;
        };
        if backend.state.is_none() && !backend.addresses.is_empty() {
            // Nothing listens there, or the way there swallows packets: the name has another address.
            backend.dial_deadline = now + DIAL_TIMEOUT;
            if let Some(handle) = backend.handle.take() {
                self.driver.close(handle, false);
            }
            return self.try_next_address(ticket, "timed out");
        }
        if let Role::Cancel {
            victim: Some(victim),
            ..
        } = backend.role
            && backend.state.is_some()
            && let Some(victim) = self.backends.get_mut(victim)
        {
            // The request was sent and may be read at any time: what it would hit must not be the next session's.
            victim.unfit = Some(CloseReason::NotClean);
        }
        self.dial_failed(ticket, "timed out");
    }

    /// Closes the pooled backends of these pools as soon as nobody uses them.
    pub(crate) fn renew_backends(&mut self, mut concerned: impl FnMut(&PoolScope) -> bool) {
        for ticket in self.backends.tickets() {
            if let Some(backend) = self.backends.get_mut(ticket)
                && !matches!(backend.role, Role::Cancel { .. } | Role::Dedicated)
                && concerned(&backend.pool)
            {
                backend.unfit = Some(CloseReason::Reconfigured);
                self.sweep_backend(ticket);
            }
        }
    }

    /// Takes a backend out of its place and closes its connection.
    pub(crate) fn drop_backend(&mut self, ticket: Ticket) {
        let Some(mut backend) = self.backends.remove(ticket) else {
            return;
        };
        self.purposes.remove(&ticket);
        if !self.postponed.is_empty() {
            self.dial_postponed();
        }
        let block = &backend.pool.block;
        if matches!(backend.role, Role::Pooled | Role::Dedicated) {
            block.database_connections.sub(1);
        }
        if std::mem::take(&mut backend.in_transaction) {
            block.database_connections_currently_in_transaction.sub(1);
        }
        if let Some(filter) = backend.tls.as_mut() {
            block
                .database_connections_with_tls
                .sub(u64::from(backend.secured));
            if let Some(handle) = backend.handle {
                self.wire.clear();
                filter.close_notify(&mut self.wire);
                self.driver.send_copy(handle, &self.wire);
            }
        }
        if let Some(handle) = backend.handle {
            self.driver.close(handle, true);
        }
    }

    /// Timeouts of a backend.
    pub(crate) fn sweep_backend(&mut self, ticket: Ticket) {
        let Some(backend) = self.backends.get(ticket) else {
            return;
        };
        match backend.role {
            Role::Dialing(_) | Role::DialingFor(_) | Role::Cancel { .. } => {
                if self.now > backend.dial_deadline {
                    self.on_dial_timeout(ticket);
                }
            }
            Role::Pooled => {
                let cleaning = backend.client.is_none()
                    && !backend.release_deferred
                    && !backend.state.as_ref().is_some_and(E::is_clean);
                if cleaning && self.now > backend.leased_at + CLEANING_TIMEOUT {
                    self.close_backend(ticket, CloseReason::NotClean, "the rollback took too long");
                } else if backend.client.is_none()
                    && let Some((reason, why)) = backend.unusable()
                {
                    self.close_backend(ticket, reason, why);
                }
            }
            Role::Dedicated => {}
        }
    }
}

/// What a failed attempt says of the database: one that refuses a login or is full is there, one that starts up or shuts down
/// (57P01 to 57P03) serves nobody.
fn shows(refusal: &Refusal) -> Availability {
    match refusal {
        Refusal::TargetRefused { code, .. } if !code.starts_with("57P") => Availability::Up,
        _ => Availability::Down,
    }
}

/// What the database says of the startup parameters of one client: no fault of the database's. By SQLSTATE: a wrong value, a lack of
/// rights, a setting of another kind, a library that is not there.
fn refused_settings(role: Role, refusal: &Refusal) -> Option<Refusal> {
    match (role, refusal) {
        (Role::DialingFor(_), Refusal::TargetRefused { code, message })
            if ["22", "42", "55", "58"]
                .iter()
                .any(|class| code.starts_with(class)) =>
        {
            let (code, message) = (Arc::clone(code), Arc::clone(message));
            Some(Refusal::SettingRefused { code, message })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_answers_is_there_unless_it_starts_up_or_shuts_down() {
        let refused = |code: &str| Refusal::TargetRefused {
            code: code.into(),
            message: "".into(),
        };
        for code in ["28P01", "53300", "3D000"] {
            assert_eq!(shows(&refused(code)), Availability::Up, "{code}");
        }
        for code in ["57P01", "57P02", "57P03"] {
            assert_eq!(shows(&refused(code)), Availability::Down, "{code}");
        }
        let detail = "connection refused".into();
        let unreachable = Refusal::TargetUnreachable { detail };
        assert_eq!(shows(&unreachable), Availability::Down);
    }
}
