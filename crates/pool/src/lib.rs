//! Who may use which backend: a machine without I/O.
//!
//! Each worker owns one [`Pools`]; the workers share one [`Budget`] for each target. Facts go in (`request`, `on_*`), orders come
//! out ([`Pools::next_order`], drained after every fact), and [`Pools::deadline`] says when to call [`Pools::on_time`].
//!
//! | module | answers |
//! | --- | --- |
//! | `pools` | which pool a fact concerns; fairness between the pools of a target |
//! | `pool` | what becomes of one pool's backends and waiting clients |
//! | `idle`, `queue` | which idle backend is handed out; who is next |
//! | `budget`, `board` | what workers share: counters, and who lacks what |
//! | `books`, `deadlines` | where each backend and client is; which pool must be looked at when |
//! | `order`, `key` | what is ordered; how things are named |
//! | `check` | the invariants below |
//!
//! # Invariants
//!
//! - A backend is leased to one client, or idle, or closing, or moving. No client waits while its pool has an idle one here.
//! - `budget.used` is the number of backends that exist or are being opened, over all workers; it never exceeds `budget.max`
//!   except after `max` was lowered, and then nothing is opened until it no longer does.
//! - Every waiting client is leased a backend, refused, or withdrawn, at the latest when its borrow timeout ends. With a timeout of
//!   zero a client waits for nothing that others use: it waits up to [`DIAL_GRACE`] for a backend that is opened for it, if one may
//!   be opened at once, or for one that is being opened in any worker and that no older client will get; else [`MOVE_GRACE`] for one
//!   of another worker, if others have any of its pool; else it is refused at once.
//! - All queues are bounded (`queue_max`, counted over all workers), so are the idle backends compared for one lease and the waiters written on the board.
//!
//! # Order of arrival
//!
//! Within a worker, clients of a pool are served strictly in order of arrival. Between workers: a client whose worker has no
//! backend of the pool is overtaken only by clients that found an idle backend of their own worker before the board showed the
//! first one waiting, which is one call of `request`. If its worker does have backends, the board is told after [`ASK_AFTER`] and
//! others let it pass only if it is older than theirs by [`MOVE_HANDICAP`]; so it is overtaken only by clients that arrived less
//! than [`MOVE_HANDICAP`] after it, or within the first [`ASK_AFTER`] and the time to the next release. Only the oldest few of a
//! worker's waiters are on the board at once; the rest follow as those are served.
//!
//! # When the budget is used up
//!
//! A pool that wants to dial and finds no place says so on the board. Others then close idle backends for it, longest idle first:
//! at once if it is poorer, else after [`IDLE_GRACE`]. Released backends are given up even with clients waiting, if the other's have
//! waited longer by [`ROOM_HANDICAP`] and it is poorer. Places that come free go to the longest waiting.

mod board;
mod books;
mod budget;
#[cfg(any(test, debug_assertions))]
mod check;
mod deadlines;
mod idle;
mod key;
mod order;
mod pool;
mod pools;
mod queue;

pub use budget::{Apart, Budget, UNKNOWN_LIMIT_MAX};
pub use key::{BackendKey, ClientKey, Label, PoolGone, PoolId, PoolKey, TargetId, UNLABELLED};
pub use order::{History, Order};
pub use pool::{
    ASK_AFTER, BACK_OFF_MAX, BACK_OFF_MIN, DIAL_GRACE, IDLE_GRACE, MOVE_GRACE, MOVE_HANDICAP,
    PoolStats, QUIET_MAX, ROOM_HANDICAP, WARM_BACK_OFF_MAX,
};
pub use pools::Pools;
#[cfg(test)]
mod tests;
