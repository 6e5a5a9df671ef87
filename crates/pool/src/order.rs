//! What the pool tells the data plane to do. Drained with [`crate::Pools::next_order`] after every fact.

use crate::key::{BackendKey, ClientKey, Label, PoolId};
use forebay_core::{CloseReason, Instant, Refusal};

/// One thing to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// The client has the backend until [`crate::Pools::on_released`] or [`crate::Pools::on_closed`].
    Lease {
        /// Who gets it.
        client: ClientKey,
        /// What it gets.
        backend: BackendKey,
        /// When the client asked; now, if it did not have to wait.
        waited_since: Instant,
    },
    /// Open a backend for this pool and report [`crate::Pools::on_dialed`] or [`crate::Pools::on_dial_failed`].
    Dial {
        /// Which pool it is for.
        pool: PoolId,
    },
    /// Close this backend, which nobody uses, and report [`crate::Pools::on_closed`]; its place counts as taken until then.
    Close {
        /// Which one.
        backend: BackendKey,
        /// Why.
        reason: CloseReason,
    },
    /// The client will not get a backend; it waits no longer.
    Refuse {
        /// Who.
        client: ClientKey,
        /// What it is told.
        refusal: Refusal,
    },
    /// Hand this backend, which nobody uses, to another worker and report [`crate::Pools::on_moved`]; there it arrives with
    /// [`crate::Pools::on_adopted`]. If it turns out to be dead, report [`crate::Pools::on_closed`] instead.
    Move {
        /// Which one.
        backend: BackendKey,
        /// Where it is waited for.
        to_worker: u16,
        /// What the other worker's pool must know about it.
        history: History,
    },
    /// Call [`crate::Pools::on_woken`] in every other worker: a pool here starves, or something was given back.
    WakeOthers,
}

/// What a backend takes along when it moves to another worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// The settings it holds.
    pub label: Label,
    /// When it was opened.
    pub opened_at: Instant,
    /// The random number that shortens its life, from [`crate::Pools::on_dialed`].
    pub lifetime_jitter: u16,
}
