//! What belongs to one database connection from dial to close, and moves with it to another worker.

use crate::backend_login::BackendLogin;
use crate::exchange::Exchange;
use crate::reports::Reports;
use crate::statements::{Name, Statement};
use forebay_core::settings::Settings;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// One database connection.
pub struct Backend {
    /// How far it has come.
    pub stage: Stage,
    /// It will belong to one client from start to end.
    pub dedicated: bool,
    /// What is under way.
    pub exchange: Exchange,
    /// Process number and secret with which its query can be cancelled.
    pub process: u32,
    /// The secret.
    pub secret: Box<[u8]>,
    /// The settings that were sent to it and that it confirmed.
    pub label: Arc<Settings>,
    /// The session that may have changed it in ways that the label does not show.
    pub suspect: Option<u64>,
    /// The reported settings as it last reported them.
    pub reports: Arc<Reports>,
    /// Statements with names of ours that it has.
    pub prepared: PreparedOn,
    /// Its unnamed statement, as far as it is known.
    pub unnamed: Option<Arc<Statement>>,
    /// Its session keeps it across boundaries.
    pub pinned: bool,
    /// The answer to a replay is awaited before the client's bytes are sent.
    pub holding: bool,
    /// What a replay was answered, if by an error: code and message.
    pub replay_error: Option<(Arc<str>, Arc<str>)>,
}

/// How far a database connection has come.
pub enum Stage {
    /// It logs in, or carries a cancel request.
    Login(Box<BackendLogin>),
    /// It serves.
    Ready,
    /// It belongs to one client and every byte passes.
    Relay,
}

/// Most statements kept prepared on one backend; the least recently prepared one is closed for a new one.
pub const PREPARED_ON_BACKEND_MAX: usize = 1000;

/// The statements that a backend has under names of ours.
#[derive(Debug, Default)]
pub struct PreparedOn {
    names: HashSet<Name>,
    /// In the order in which they were prepared.
    order: VecDeque<Name>,
}

impl PreparedOn {
    /// Whether it has this one, or will have it when the Parse under way succeeds.
    #[inline]
    pub fn contains(&self, name: &Name) -> bool {
        self.names.contains(name)
    }

    /// It is being prepared. Returns one that must be closed to keep the number bounded.
    pub fn insert(&mut self, name: Name) -> Option<Name> {
        if self.names.insert(name) {
            self.order.push_back(name);
        }
        if self.names.len() <= PREPARED_ON_BACKEND_MAX {
            return None;
        }
        let oldest = self.order.pop_front()?;
        self.names.remove(&oldest);
        Some(oldest)
    }

    /// It could not be prepared.
    pub fn remove(&mut self, name: &Name) {
        if self.names.remove(name) {
            self.order.retain(|known| known != name);
        }
    }

    /// It has none any more.
    pub fn clear(&mut self) {
        *self = PreparedOn::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_ready_to_move_between_workers() {
        fn is_send<T: Send>() {}
        is_send::<Backend>();
    }
}
