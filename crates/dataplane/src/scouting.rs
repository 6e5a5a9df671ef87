//! Finds out what a target says of itself, for families whose server speaks first: a client must be greeted as the target would greet it,
//! which nobody knows before the target was reached once.
//!
//! The first client that waits for it sends a scout: a connection that reads the target's first words and goes. Others wait with it; a
//! scout that fails fails them all, so that nobody waits longer than one attempt takes.

use crate::connection::Role;
use crate::driver::Driver;
use crate::mailbox::Ticket;
use crate::plan::ProxyPlan;
use crate::relay::{Side, Source};
use crate::scope::PoolScope;
use crate::worker::Worker;
use forebay_core::Refusal;
use forebay_core::engine::{Engine, Purpose};
use forebay_core::orders::Admission;
use forebay_pool::TargetId;
use std::collections::HashMap;
use std::sync::Arc;

/// Who waits, for each target that has a scout on its way.
#[derive(Debug, Default)]
pub(crate) struct Scouting(HashMap<TargetId, Vec<Ticket>>);

impl<D: Driver, E: Engine> Worker<D, E> {
    /// The client must know what its target says of itself.
    pub(crate) fn learn(&mut self, ticket: Ticket) {
        let Some(client) = self.clients.get(ticket) else {
            return;
        };
        let proxy = Arc::clone(&client.endpoint.proxy.borrow());
        if let Some(said) = proxy.target.health.said() {
            return self.teach(ticket, &said);
        }
        let waiting = self.scouting.0.entry(proxy.target.id).or_default();
        waiting.push(ticket);
        if waiting.len() == 1 {
            self.send_scout(ticket, &proxy);
        }
    }

    fn send_scout(&mut self, client: Ticket, proxy: &ProxyPlan) {
        let credential = proxy.proxy.credentials.first();
        let wanted = Admission {
            user: credential.map_or_else(String::new, |credential| credential.username.clone()),
            database: String::new(),
            handshake: 0,
            dedicated: None,
            is_previous: false,
        };
        match self.pool_scope_of(proxy, &wanted) {
            Ok(pool) => {
                let scout = self.add_backend(&pool, Role::Scout);
                self.purposes.insert(scout, Purpose::Scout);
                self.start_dial(scout);
            }
            Err(refusal) => {
                self.scouting.0.remove(&proxy.target.id);
                self.refuse_client(client, &refusal);
            }
        }
    }

    /// A target has said what it is.
    pub(crate) fn remember(&mut self, ticket: Ticket, said: Arc<[u8]>) {
        let Some(backend) = self.backends.get(ticket) else {
            return;
        };
        let target = backend.pool.target();
        let is_scout = backend.role == Role::Scout;
        if is_scout {
            // It came to its end, which is a good one.
            let block = &backend.pool.block;
            block.database_connections_setup_succeeded.add(1);
        }
        target.plan.health.remember(Arc::clone(&said));
        if is_scout {
            self.drop_backend(ticket);
        }
        for client in self.scouting.0.remove(&target.plan.id).unwrap_or_default() {
            self.teach(client, &said);
        }
    }

    fn teach(&mut self, ticket: Ticket, said: &Arc<[u8]>) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        E::on_learned(
            &mut self.shared,
            &mut client.session,
            said,
            &mut self.orders,
        );
        self.obey(Side::Client(ticket), &Source::Bytes(&[]), 0);
        self.feed_client_inbox(ticket);
    }

    /// The scout came back with nothing: those who waited are told.
    pub(crate) fn on_scout_failed(&mut self, pool: &PoolScope, refusal: &Refusal) {
        let waiting = self.scouting.0.remove(&pool.key.target);
        for client in waiting.unwrap_or_default() {
            self.refuse_client(client, refusal);
        }
    }
}
