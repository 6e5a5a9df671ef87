//! The names of things the pool speaks of: clients, backends, targets, pools, labels.
//!
//! Clients and backends are named by the data plane, with numbers that mean nothing here. Pools are named by us, with a generation
//! inside, so that a name kept too long is recognised instead of leading to another user's backends.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// A client of this worker, as the data plane names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey(pub u64);

/// A backend of this worker, as the data plane names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendKey(pub u64);

/// A database server, as the data plane names it; all workers use the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(pub u32);

/// A digest of the settings a backend holds: equal labels mean exactly the same settings. [`UNLABELLED`] means "not known".
pub type Label = u64;

/// The label of a backend whose settings are not known, and of a client that prefers none.
pub const UNLABELLED: Label = 0;

/// What makes two backends interchangeable: server, user, database and handshake.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PoolKey {
    /// The server.
    pub target: TargetId,
    /// The user the backends are logged in as.
    pub user: Arc<str>,
    /// The database the backends are in; empty where it may change on a live connection.
    pub database: Arc<str>,
    /// What else makes them differ that a live connection cannot change, as the engine numbers it.
    pub handshake: u32,
}

/// A pool of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// The pool of a [`PoolId`] no longer exists (long unused, or its target was removed). Ask [`crate::Pools::pool`] again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolGone;

impl std::fmt::Display for PoolGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the pool no longer exists")
    }
}

impl std::error::Error for PoolGone {}

/// A map from one of the small keys above. Our own data plane makes them, so nobody can choose them to collide.
pub(crate) type KeyMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<KeyHasher>>;

/// Spreads a number over 64 bits in two instructions.
#[derive(Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        // 2^64 divided by the golden ratio: neighbours land far apart.
        self.0 = (self.0 ^ value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
