//! Clients whose own setting bounds how long their session may be idle (PostgreSQL's `idle_session_timeout`).
//!
//! While such a client has no backend, nobody but the proxy can tell that it is silent. The bound is counted in milliseconds, so it is
//! not left to the sweep: each of these clients has one entry, which is looked at when the client could be due and moved on if it is not.
//! A client that has a backend is idle only if that is pinned, and then the database itself keeps the time.

use crate::connection::{Client, Phase};
use crate::driver::Driver;
use crate::mailbox::Ticket;
use crate::worker::Worker;
use forebay_core::engine::Engine;
use forebay_core::{Instant, Refusal};
use std::collections::BTreeSet;
use std::time::Duration;

/// When to look at which client.
#[derive(Debug, Default)]
pub(crate) struct Silences(BTreeSet<(Instant, Ticket)>);

/// How long a client may be idle without a backend, and when that is looked at next.
#[derive(Debug, Clone, Copy)]
pub struct IdleLimit {
    limit: Duration,
    look_at: Instant,
}

impl Silences {
    /// When the next client is to be looked at.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }
}

impl<E: Engine> Client<E> {
    /// Whether it has asked for nothing and has no backend.
    fn is_silent(&self) -> bool {
        self.phase == Phase::Ready && self.lease.is_none() && self.inbox.bytes.is_empty()
    }
}

impl<D: Driver, E: Engine> Worker<D, E> {
    /// The client may be idle for so long.
    pub(crate) fn on_idle_limit(&mut self, ticket: Ticket, limit: Option<Duration>) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        if let Some(before) = client.idle_limit.take() {
            self.silences.0.remove(&(before.look_at, ticket));
        }
        if let Some(limit) = limit {
            let look_at = self.now + limit;
            client.idle_limit = Some(Box::new(IdleLimit { limit, look_at }));
            self.silences.0.insert((look_at, ticket));
        }
    }

    /// The client is gone.
    pub(crate) fn forget_silence(&mut self, ticket: Ticket, client: &Client<E>) {
        if let Some(idle) = &client.idle_limit {
            self.silences.0.remove(&(idle.look_at, ticket));
        }
    }

    /// Closes the clients that were idle for too long.
    pub(crate) fn end_silences(&mut self) {
        while let Some(&(at, ticket)) = self.silences.0.first()
            && at <= self.now
        {
            self.silences.0.pop_first();
            self.look_at_silence(ticket);
        }
    }

    fn look_at_silence(&mut self, ticket: Ticket) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        let silent = client.is_silent();
        let active_at = if silent { client.active_at } else { now };
        let Some(idle) = &mut client.idle_limit else {
            return;
        };
        let due = active_at + idle.limit;
        if silent && due <= now {
            return self.refuse_client(ticket, &Refusal::IdleSessionTimeout);
        }
        idle.look_at = due;
        self.silences.0.insert((due, ticket));
    }
}
