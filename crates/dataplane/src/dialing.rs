//! Ways to a database: names, addresses, connections, and what becomes of an attempt that fails.

use crate::connection::{Role, backend_token};
use crate::driver::Driver;
use crate::mailbox::Ticket;
use crate::relay::{Side, Source};
use crate::scope::PoolScope;
use crate::worker::Worker;
use crate::workshop::Job;
use forebay_core::engine::{BackendFacts, Engine, Purpose, StartupParameters};
use forebay_core::{CloseReason, Refusal, TargetRefusal};
use forebay_pool::PoolId;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Time a database has from the first packet to the end of our login.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

impl<D: Driver, E: Engine> Worker<D, E> {
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

    pub(crate) fn start_dial(&mut self, ticket: Ticket) {
        let Some(backend) = self.backends.get(ticket) else {
            return;
        };
        let target = backend.pool.target();
        let is_again = backend.redialed || backend.is_second_password;
        if !matches!(backend.role, Role::Cancel { .. }) && !is_again {
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

    pub(crate) fn try_next_address(&mut self, ticket: Ticket, why: &str) {
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

    pub(crate) fn dial_failed(&mut self, ticket: Ticket, why: &str) {
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
        let credential = pool.credential_with(backend.password);
        let purpose = self.purposes.get(&ticket).cloned();
        let mut entropy = [0; 32];
        (self.crew.random)(&mut entropy);
        let facts = BackendFacts {
            credential,
            database: Arc::clone(&pool.key.database),
            handshake: pool.key.handshake,
            tls: pool.target().plan.target.tls.mode,
            init_query: match purpose {
                // It runs nothing of its clients'.
                Some(Purpose::Listener | Purpose::Scout) => "".into(),
                _ => Arc::clone(&pool.init_query.borrow()),
            },
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

    /// The database has not answered in time.
    pub(crate) fn on_dial_timeout(&mut self, ticket: Ticket) {
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

    /// Tells the pool that what it ordered is not to be had.
    pub(crate) fn dial_came_to_nothing(&mut self, pool: PoolId, refusal: &Refusal) {
        let jitter = self.jitter();
        match refusal {
            Refusal::TargetRefused {
                means: TargetRefusal::Full,
                ..
            } => self.pools.on_dial_crowded(self.now, pool, jitter),
            refusal => self.pools.on_dial_failed(self.now, pool, refusal, jitter),
        }
    }
}
