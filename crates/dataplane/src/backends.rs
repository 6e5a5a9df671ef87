//! Database connections from their login to their close.

use crate::connection::{Backend, Inbox, Role};
use crate::dialing::DIAL_TIMEOUT;
use crate::driver::Driver;
use crate::mailbox::Ticket;
use crate::relay::{Side, Source};
use crate::scope::{Password, PoolScope};
use crate::tls::{Filter, TlsError};
use crate::worker::Worker;
use forebay_core::engine::Engine;
use forebay_core::event::EventKind;
use forebay_core::metrics::Availability;
use forebay_core::{CloseReason, Refusal, TargetRefusal};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Time a database has to roll back what a vanished client left open.
const CLEANING_TIMEOUT: Duration = Duration::from_secs(10);

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
            password: pool.password.get(),
            is_second_password: false,
            cancels: 0,
            release_deferred: false,
            transaction_since: None,
            unfit: None,
            leaving: None,
        })
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
            Some(Role::Pooled | Role::Dedicated | Role::Listener) => {
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
        let is_news = scope.password.replace(backend.password) != backend.password;
        let is_previous = backend.password == Password::Previous;
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
                    self.attach(client, ticket, self.now, &[]);
                } else {
                    return self.close_backend(ticket, CloseReason::ClientGone, "");
                }
            }
            Role::Replacing { client, since } => {
                backend.role = Role::Pooled;
                self.pools.on_limits(self.now, scope.key.target, usable);
                self.on_replacement_ready(client, ticket, since);
            }
            Role::DialingListener => {
                backend.role = Role::Listener;
                self.on_listener_up(ticket);
            }
            Role::Pooled | Role::Dedicated | Role::Listener | Role::Scout | Role::Cancel { .. } => {
            }
        }
        target.show();
        let name = &target.plan.name;
        if usable > 0 && health.on_connections_max(max) {
            let kind = EventKind::LimitsRead {
                target: Arc::clone(name),
                max_connections: max,
                usable: target.plan.budget.bound(),
            };
            self.report_backend(ticket, kind);
        }
        if is_news {
            let kind = EventKind::PasswordFound {
                target: Arc::clone(name),
                user: Arc::clone(&scope.key.user),
                is_previous,
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
        if self.redial(ticket, refusal) {
            return;
        }
        let Some(backend) = self.backends.get(ticket) else {
            return;
        };
        let scope = Rc::clone(&backend.pool);
        let role = backend.role;
        if matches!(role, Role::Pooled | Role::Dedicated | Role::Listener) {
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
            Role::Replacing { client, since } => {
                self.on_replacement_failed(client, ticket, since);
            }
            Role::DialingListener => self.on_listener_gone(ticket, refusal, false),
            Role::Scout => self.on_scout_failed(&scope, refusal),
            Role::DialingFor(_) | Role::Pooled | Role::Dedicated | Role::Listener => {}
        }
    }

    /// The backend closed its connection, or it failed.
    pub(crate) fn on_backend_ended(&mut self, ticket: Ticket, error: Option<&io::Error>) {
        let Some(backend) = self.backends.get(ticket) else {
            return;
        };
        match backend.role {
            Role::Dialing(_)
            | Role::DialingFor(_)
            | Role::Replacing { .. }
            | Role::Scout
            | Role::DialingListener => {
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
            Role::Pooled | Role::Dedicated | Role::Listener => {
                let why = error.map(ToString::to_string).unwrap_or_default();
                self.close_backend(ticket, CloseReason::BackendGone, &why);
            }
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
        let (role, scope) = (backend.role, Rc::clone(&backend.pool));
        if matches!(
            role,
            Role::Dialing(_)
                | Role::DialingFor(_)
                | Role::Replacing { .. }
                | Role::DialingListener
                | Role::Scout
        ) {
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
            Role::Replacing { client, since } => {
                self.on_replacement_failed(client, ticket, since);
            }
            Role::DialingListener => self.on_listener_gone(ticket, &Refusal::ListenerLost, false),
            Role::Scout => self.on_scout_failed(&scope, &Refusal::BackendLost),
            Role::Listener => self.on_listener_gone(ticket, &Refusal::ListenerLost, true),
            Role::Dedicated => {}
        }
        if let Some(client) = client {
            self.refuse_client(client, &Refusal::BackendLost);
        }
    }

    /// Closes the connections that listen by way of these pools: their clients are told.
    pub(crate) fn close_listeners(&mut self, mut concerned: impl FnMut(&PoolScope) -> bool) {
        for ticket in self.backends.tickets() {
            if let Some(backend) = self.backends.get(ticket)
                && matches!(backend.role, Role::Listener | Role::DialingListener)
                && concerned(&backend.pool)
            {
                self.close_backend(ticket, CloseReason::Reconfigured, "");
            }
        }
    }

    /// Closes the pooled backends of these pools as soon as nobody uses them.
    pub(crate) fn renew_backends(&mut self, mut concerned: impl FnMut(&PoolScope) -> bool) {
        for ticket in self.backends.tickets() {
            if let Some(backend) = self.backends.get_mut(ticket)
                && !matches!(
                    backend.role,
                    Role::Cancel { .. }
                        | Role::Dedicated
                        | Role::Listener
                        | Role::DialingListener
                        | Role::Scout
                )
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
        if matches!(
            backend.role,
            Role::Pooled | Role::Dedicated | Role::Listener
        ) {
            block.database_connections.sub(1);
        }
        if backend.transaction_since.take().is_some() {
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
            Role::Dialing(_)
            | Role::DialingFor(_)
            | Role::Replacing { .. }
            | Role::DialingListener
            | Role::Scout
            | Role::Cancel { .. } => {
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
            Role::Dedicated | Role::Listener => {}
        }
    }
}

/// What a failed attempt says of the database: one that refuses a login or is full is there, one that starts up or shuts down
/// serves nobody.
fn shows(refusal: &Refusal) -> Availability {
    match refusal {
        Refusal::TargetRefused { means, .. } if *means != TargetRefusal::Unavailable => {
            Availability::Up
        }
        _ => Availability::Down,
    }
}

/// What the database says of the startup parameters of one client: no fault of the database's.
fn refused_settings(role: Role, refusal: &Refusal) -> Option<Refusal> {
    match (role, refusal) {
        (
            Role::DialingFor(_),
            Refusal::TargetRefused {
                means: TargetRefusal::Settings,
                code,
                message,
            },
        ) => {
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
        let refused = |means| Refusal::TargetRefused {
            means,
            code: "".into(),
            message: "".into(),
        };
        for means in [
            TargetRefusal::Credentials,
            TargetRefusal::Full,
            TargetRefusal::Database,
        ] {
            assert_eq!(shows(&refused(means)), Availability::Up, "{means:?}");
        }
        let unavailable = refused(TargetRefusal::Unavailable);
        assert_eq!(shows(&unavailable), Availability::Down);
        let detail = "connection refused".into();
        let unreachable = Refusal::TargetUnreachable { detail };
        assert_eq!(shows(&unreachable), Availability::Down);
    }
}
