//! How many backends a target may have, counted over all workers.
//!
//! The only part of the pool that threads share: counters, and the [board](crate::board) on which a worker writes down what it
//! lacks. Counters that take part in "nothing free, so I wait" against "nobody waits, so I wake no one" are sequentially
//! consistent, because each side must see the other's write or its own be seen. A lease and a release only load.

use crate::board::{Board, DialWant, Share, Uncovered};
use crate::key::PoolKey;
use forebay_core::Instant;
use forebay_core::snapshot::PoolLimits;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Backends opened before the database has told how many it takes: enough to ask it and to serve somebody meanwhile.
pub const UNKNOWN_LIMIT_MAX: u32 = 2;

/// `usable` while the database has not told.
const UNKNOWN: u32 = u32::MAX;

/// Places for backends of one target, shared by all workers. Lives as long as its target.
#[derive(Debug)]
pub struct Budget {
    /// Most backends, open and being opened.
    max: AtomicU32,
    /// What the database takes, of which `max` is a share.
    usable: AtomicU32,
    /// Backends open (idle, leased, closing or on their way to another worker) and being opened.
    used: AtomicU32,
    /// Backends being opened.
    dialing: AtomicU32,
    /// Backends that were told to close and still hold their place.
    closing: AtomicU32,
    /// Backends unused for longer than the idle timeout.
    aged: AtomicU32,
    /// Backends that belong to no pool and still count: the pools may have that many fewer.
    apart: AtomicU32,
    /// Sum of the wants in `board.dials`, readable without the lock.
    wanting: AtomicU32,
    /// Grows when `max` changes or a worker gets a pool: then a worker may find help where it had no reason to ask before.
    epoch: AtomicU32,
    board: Mutex<Board>,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            max: AtomicU32::new(UNKNOWN_LIMIT_MAX),
            usable: AtomicU32::new(UNKNOWN),
            used: AtomicU32::new(0),
            dialing: AtomicU32::new(0),
            closing: AtomicU32::new(0),
            aged: AtomicU32::new(0),
            apart: AtomicU32::new(0),
            wanting: AtomicU32::new(0),
            epoch: AtomicU32::new(0),
            board: Mutex::default(),
        }
    }
}

impl Budget {
    /// A budget nobody has used yet and whose limit is not known: [`UNKNOWN_LIMIT_MAX`] until [`crate::Pools::on_limits`].
    pub fn new() -> Arc<Budget> {
        Arc::default()
    }

    /// Most backends, open and being opened, in all workers.
    pub fn bound(&self) -> u32 {
        self.max.load(Ordering::SeqCst)
    }

    /// Most backends that pools may have, open and being opened, in all workers: one in any case.
    pub fn max(&self) -> u32 {
        let apart = self.apart.load(Ordering::SeqCst);
        self.bound().saturating_sub(apart).max(1)
    }

    /// A backend that belongs to no pool is opened: until [`crate::Pools::on_closed_apart`] is given the answer, the pools may have one less.
    pub fn open_apart(self: &Arc<Budget>) -> Apart {
        self.apart.fetch_add(1, Ordering::SeqCst);
        self.next_epoch();
        Apart(Arc::clone(self))
    }

    /// Whether the database has told how many connections it takes.
    pub fn is_known(&self) -> bool {
        self.usable.load(Ordering::Relaxed) != UNKNOWN
    }

    /// Backends open and being opened, in all workers.
    pub fn used(&self) -> u32 {
        self.used.load(Ordering::SeqCst)
    }

    /// Backends being opened, in all workers.
    pub fn dialing(&self) -> u32 {
        self.dialing.load(Ordering::SeqCst)
    }

    /// Backends unused for longer than the idle timeout, in all workers.
    pub fn aged(&self) -> u32 {
        self.aged.load(Ordering::Relaxed)
    }

    /// Takes the database's number, and recomputes the bound from it. True if the bound changed.
    pub(crate) fn set_usable(&self, usable: u32, limits: &PoolLimits) -> bool {
        self.usable
            .store(usable.min(UNKNOWN - 1), Ordering::Relaxed);
        self.recompute(limits)
    }

    /// Computes the bound anew, after `limits` changed. True if the bound changed.
    pub(crate) fn recompute(&self, limits: &PoolLimits) -> bool {
        let max = match self.usable.load(Ordering::Relaxed) {
            UNKNOWN => UNKNOWN_LIMIT_MAX,
            usable => percent_of(usable, limits.connections_max_percent).max(1),
        };
        let max = max.min(limits.connections_max);
        let changed = self.max.swap(max, Ordering::SeqCst) != max;
        if changed {
            self.next_epoch();
        }
        changed
    }

    /// See the field.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::SeqCst)
    }

    fn next_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Most backends that may stay open unused beyond the idle timeout. Both percentages are of the database's number, so the
    /// share of `max` is their ratio.
    pub(crate) fn aged_max(&self, limits: &PoolLimits) -> u32 {
        let of = u64::from(limits.connections_max_percent.max(1));
        let share = u64::from(self.max()) * u64::from(limits.idle_connections_max_percent) / of;
        u32::try_from(share).unwrap_or(u32::MAX)
    }

    /// Whether more backends are open (and staying) than the bound allows, as after a reload.
    pub(crate) fn is_over(&self) -> bool {
        let used = self.used.load(Ordering::Relaxed);
        let max = self.max();
        used > max && used.saturating_sub(self.closing.load(Ordering::Relaxed)) > max
    }

    /// Places free now.
    fn free(&self) -> u32 {
        self.max().saturating_sub(self.used())
    }

    /// Takes a place, if there is one.
    pub(crate) fn take(&self) -> bool {
        take_below(&self.used, self.max())
    }

    /// Gives a place back.
    pub(crate) fn give_back(&self) {
        sub(&self.used, 1);
    }

    /// Starts opening a backend, if fewer than `dials_max` are being opened.
    pub(crate) fn start_dial(&self, dials_max: u32) -> bool {
        take_below(&self.dialing, dials_max)
    }

    /// One that was being opened is open, or failed.
    pub(crate) fn end_dial(&self) {
        sub(&self.dialing, 1);
    }

    /// A backend was told to close.
    pub(crate) fn start_close(&self) {
        self.closing.fetch_add(1, Ordering::SeqCst);
    }

    /// It has closed.
    pub(crate) fn end_close(&self) {
        sub(&self.closing, 1);
    }

    /// A backend has been unused for the idle timeout.
    pub(crate) fn add_aged(&self) {
        self.aged.fetch_add(1, Ordering::Relaxed);
    }

    /// Some of those are used again, or closed.
    pub(crate) fn sub_aged(&self, count: u32) {
        sub(&self.aged, count);
    }

    /// Whether a pool somewhere could use a place and finds none. Cheap: part of every release.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanting.load(Ordering::SeqCst) > 0
    }

    /// The state that all workers have of one pool.
    pub(crate) fn attach(&self, key: &PoolKey) -> Arc<Share> {
        self.next_epoch();
        self.lock().attach(key)
    }

    /// A worker has dropped its part of a pool.
    pub(crate) fn detach(&self, key: &PoolKey, share: &Share) {
        self.lock().detach(key, share);
    }

    /// Whether somebody who has waited since `since` may take a place and a dial now, given those who have waited longer.
    pub(crate) fn is_turn(&self, since: Instant, worker: u16, slot: u32, dials_max: u32) -> bool {
        if !self.is_wanted() {
            return true;
        }
        let free = self.free().min(dials_max.saturating_sub(self.dialing()));
        self.lock().dials_older(since, worker, slot, free) < free
    }

    /// Replaces what a pool of this worker wants. True if the others should be woken for it.
    pub(crate) fn post_dials(
        &self,
        old: Option<Instant>,
        new: Option<DialWant>,
        at: (u16, u32),
    ) -> bool {
        let mut board = self.lock();
        let wake = board.post_dials(old, new, at);
        self.wanting.store(board.dials_sum(), Ordering::SeqCst);
        wake
    }

    /// The oldest want that neither a free place nor one about to become free will serve; `except` aside.
    pub(crate) fn uncovered(&self, except: Option<&Share>) -> Option<Uncovered> {
        if !self.is_wanted() {
            return None;
        }
        let supply = self.free() + self.closing.load(Ordering::SeqCst);
        self.lock().uncovered(supply, except)
    }

    /// The board, for what concerns moves.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Board> {
        // Nothing that runs under the lock leaves the board half written, so a panic elsewhere does not spoil it.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a backend that belongs to no pool.
#[derive(Debug)]
pub struct Apart(Arc<Budget>);

impl Drop for Apart {
    fn drop(&mut self) {
        sub(&self.0.apart, 1);
        self.0.next_epoch();
    }
}

/// `percent` of `whole`, rounded down.
fn percent_of(whole: u32, percent: u8) -> u32 {
    let share = u64::from(whole) * u64::from(percent) / 100;
    u32::try_from(share).unwrap_or(u32::MAX)
}

/// Adds one if the counter is below `max`.
pub(crate) fn take_below(counter: &AtomicU32, max: u32) -> bool {
    counter
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
            (used < max).then_some(used + 1)
        })
        .is_ok()
}

/// Subtracts, stopping at zero: a double report must not turn into four thousand million places.
pub(crate) fn sub(counter: &AtomicU32, count: u32) {
    let result = counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
        Some(used.saturating_sub(count))
    });
    debug_assert!(
        result.is_ok_and(|used| used >= count),
        "more given back than taken"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(percent: u8, idle: u8, max: u32) -> PoolLimits {
        PoolLimits {
            connections_max_percent: percent,
            idle_connections_max_percent: idle,
            connections_max: max,
            ..PoolLimits::default()
        }
    }

    #[test]
    fn the_bound_is_a_share_of_what_the_database_takes() {
        let table = [
            // (percent, idle percent, absolute bound, usable) → (max, idle kept)
            ((100, 50, u32::MAX, 100), (100, 50)),
            ((50, 50, u32::MAX, 100), (50, 50)),
            ((50, 25, u32::MAX, 97), (48, 24)),
            ((100, 50, 20, 100), (20, 10)),
            ((1, 0, u32::MAX, 20), (1, 0)),
            ((100, 100, u32::MAX, 0), (1, 1)),
        ];
        for ((percent, idle, cap, usable), (max, kept)) in table {
            let budget = Budget::new();
            let limits = limits(percent, idle, cap);
            budget.set_usable(usable, &limits);
            assert_eq!((budget.max(), budget.aged_max(&limits)), (max, kept));
        }
    }

    #[test]
    fn few_places_exist_before_the_database_has_told() {
        let budget = Budget::new();
        assert!(budget.take() && budget.take() && !budget.take());
        assert!(!budget.is_known());
        budget.recompute(&limits(100, 50, 1));
        assert_eq!(budget.max(), 1);
        assert!(budget.is_over());
    }

    #[test]
    fn backends_of_no_pool_take_from_the_bound_and_leave_one() {
        let budget = Budget::new();
        budget.set_usable(3, &limits(100, 50, u32::MAX));
        assert!(budget.take() && budget.take());
        let mut apart = vec![budget.open_apart()];
        assert_eq!((budget.bound(), budget.max()), (3, 2));
        assert!(!budget.take() && !budget.is_over());
        apart.push(budget.open_apart());
        assert!(budget.is_over());
        apart.extend([budget.open_apart(), budget.open_apart()]);
        assert_eq!(budget.max(), 1);
        drop(apart);
        assert_eq!(budget.max(), 3);
    }
}
