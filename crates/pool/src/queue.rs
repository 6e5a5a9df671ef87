//! The clients that wait for a backend of one pool, in order of arrival.
//!
//! Tickets grow by one with each arrival, so a client that gives up is found by halving, however long the queue is.

use crate::board::POSTED_WAITERS_MAX;
use crate::key::ClientKey;
use forebay_core::Instant;
use std::collections::VecDeque;

/// A client that waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiter {
    pub(crate) client: ClientKey,
    pub(crate) since: Instant,
    ticket: u64,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiters: VecDeque<Waiter>,
    tickets: u64,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Waiter> {
        self.waiters.iter()
    }

    /// When the oldest arrived.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.since_at(0)
    }

    /// When the one at `index` from the front arrived.
    pub(crate) fn since_at(&self, index: usize) -> Option<Instant> {
        self.waiters.get(index).map(|waiter| waiter.since)
    }

    /// Arrivals of the first few, and how many they are.
    pub(crate) fn first(&self) -> ([Instant; POSTED_WAITERS_MAX], u8) {
        let mut since = [Instant::ZERO; POSTED_WAITERS_MAX];
        let mut len = 0;
        for (place, waiter) in since.iter_mut().zip(&self.waiters) {
            *place = waiter.since;
            len += 1;
        }
        (since, len)
    }

    /// Adds a client and returns its ticket.
    pub(crate) fn push(&mut self, client: ClientKey, now: Instant) -> u64 {
        let ticket = self.tickets;
        self.tickets += 1;
        // Arrivals never run backwards, even if a caller's clock did.
        let since = self.waiters.back().map_or(now, |last| last.since.max(now));
        self.waiters.push_back(Waiter {
            client,
            since,
            ticket,
        });
        ticket
    }

    /// Gives memory for more than `kept` waiters back if there are none; thousands of pools must not keep it.
    pub(crate) fn shrink(&mut self, kept: usize) {
        if self.waiters.is_empty() && self.waiters.capacity() > kept {
            self.waiters = VecDeque::new();
        }
    }

    /// Removes the client at `index` from the front.
    pub(crate) fn remove_at(&mut self, index: usize) -> Option<Waiter> {
        self.waiters.remove(index)
    }

    /// Removes the client with this ticket.
    pub(crate) fn remove(&mut self, ticket: u64) -> Option<Waiter> {
        let index = self
            .waiters
            .binary_search_by_key(&ticket, |waiter| waiter.ticket)
            .ok()?;
        self.waiters.remove(index)
    }
}
