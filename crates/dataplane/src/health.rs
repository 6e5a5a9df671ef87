//! What is known of a database, over all workers: whether it could be reached, how many connections it said it takes, whether it must be
//! spoken to in an old protocol version, and what it says of itself.

use forebay_core::metrics::Availability;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// See the head of this file. Lives as long as its target.
#[derive(Debug, Default)]
pub struct Health {
    /// An [`Availability`].
    availability: AtomicU64,
    /// `max_connections` as last reported; 0 before.
    connections_max: AtomicU32,
    /// It took the oldest protocol version after it had refused the newest.
    oldest_version: AtomicBool,
    /// What it last said of itself, as engines read it: only asked for when a client connects.
    said: RwLock<Option<Arc<[u8]>>>,
}

impl Health {
    /// What the last attempt to open a connection came to, as the metric's figure.
    pub fn availability(&self) -> u64 {
        self.availability.load(Ordering::Relaxed)
    }

    /// An attempt to open a connection has ended.
    pub fn set_availability(&self, availability: Availability) {
        self.availability
            .store(availability as u64, Ordering::Relaxed);
    }

    /// Whether it is to be spoken to in the oldest protocol version at once, as [`Health::on_oldest_version`] found out.
    pub fn takes_oldest_version(&self) -> bool {
        self.oldest_version.load(Ordering::Relaxed)
    }

    /// A login with the oldest protocol version succeeded where the newest had been refused.
    pub fn on_oldest_version(&self) {
        self.oldest_version.store(true, Ordering::Relaxed);
    }

    /// What it last said of itself, if it ever has.
    pub fn said(&self) -> Option<Arc<[u8]>> {
        let said = self.said.read().unwrap_or_else(PoisonError::into_inner);
        said.clone()
    }

    /// It has said this of itself.
    pub fn remember(&self, said: Arc<[u8]>) {
        if self.said().as_ref() != Some(&said) {
            *self.said.write().unwrap_or_else(PoisonError::into_inner) = Some(said);
        }
    }

    /// The database has told its `max_connections`. True if that is news to all workers.
    pub fn on_connections_max(&self, max: u32) -> bool {
        self.connections_max.swap(max, Ordering::Relaxed) != max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_news_once_until_it_changes() {
        let health = Health::default();
        let news = [100, 100, 50, 50, 100].map(|max| health.on_connections_max(max));
        assert_eq!(news, [true, false, true, false, true]);
    }
}
