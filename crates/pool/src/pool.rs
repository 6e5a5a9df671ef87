//! One pool in one worker: its idle backends, its waiting clients, its dials.
//!
//! ```text
//!             dial ordered ──► dialing ──on_dialed──┐
//!                                                   ▼          oldest waiter or request
//!   on_adopted ──────────────────────────────────► free ───────────────────────────────► leased
//!                                                   │ ▲                                     │
//!                 nobody waits: idle ◄──────────────┘ └──────────── on_released ────────────┘
//!                 too old, too many, asked for: closing ──on_closed──► gone
//!                 an older waiter elsewhere: moving ──on_moved──► gone from here
//! ```
//!
//! `free` lasts no longer than one call: a backend is leased, idle, closing or moving when a fact has been dealt with, so a waiter
//! and an idle backend are never seen together. Who may wait, and for how long, is in `waiters`; what a pool does after each fact
//! in `settle`, what it does as time passes in `upkeep`; what concerns several pools is in `pools.rs`.

mod settle;
mod upkeep;
mod waiters;

use crate::board::{MoveWant, Share, Uncovered};
use crate::books::{Books, Slot, State, expiry};
use crate::budget::Budget;
use crate::idle::{Idle, IdleList};
use crate::key::{BackendKey, ClientKey, Label, PoolId, PoolKey, TargetId};
use crate::order::{History, Order};
use crate::queue::{Queue, Waiter};
use forebay_core::snapshot::PoolLimits;
use forebay_core::{CloseReason, Instant, Refusal};
use std::sync::Arc;
use std::time::Duration;

/// A worker that has backends of its own to wait for asks the others only after this long; most releases come sooner.
pub const ASK_AFTER: Duration = Duration::from_millis(1);
/// How much older than one's own waiter another worker's must be to get a backend, if that worker has some too. Keeps workers that
/// are equally busy from handing backends to and fro.
pub const MOVE_HANDICAP: Duration = Duration::from_millis(5);
/// How much older than one's own waiter another pool's must be to get the place of a backend: that costs a dial.
pub const ROOM_HANDICAP: Duration = Duration::from_millis(20);
/// A backend idle for this long is given up to a pool that is no poorer; a poorer one need not wait.
pub const IDLE_GRACE: Duration = Duration::from_millis(10);
/// With a borrow timeout of zero, how long a client waits for an idle backend that another worker may have.
pub const MOVE_GRACE: Duration = Duration::from_millis(10);
/// With a borrow timeout of zero, how long a client waits for a backend that is being opened, here or in another worker, and that
/// nobody older will get.
pub const DIAL_GRACE: Duration = Duration::from_secs(5);
/// Pause after a failed dial; doubles with each further failure, and each is shortened by up to half at random.
pub const BACK_OFF_MIN: Duration = Duration::from_millis(50);
/// Longest pause after failed dials while somebody waits: who comes when the database is back must not wait long.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(2);
/// Longest pause after failed dials that only the warm minimum asks for.
pub const WARM_BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// A pool with nothing open and nobody waiting is dropped after this.
pub const QUIET_MAX: Duration = Duration::from_secs(600);

/// A target as one worker knows it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) id: TargetId,
    pub(crate) limits: PoolLimits,
    pub(crate) budget: Arc<Budget>,
}

/// What a pool has written on the board.
#[derive(Debug, Default)]
struct Posted {
    moves: Option<MoveWant>,
    /// How many backends it would open, and since when the client of the first one has waited.
    dials: Option<(Instant, u32)>,
}

impl Posted {
    fn kinds(&self) -> (bool, bool) {
        (self.moves.is_some(), self.dials.is_some())
    }

    fn is_nothing(&self) -> bool {
        self.kinds() == (false, false)
    }
}

/// What settling a pool calls for elsewhere.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Settled {
    /// Others should look at the board.
    pub(crate) wake: bool,
    /// The pool wants places.
    pub(crate) wants_room: bool,
}

/// Numbers of one pool in one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolStats {
    /// Clients waiting for a backend.
    pub waiting: u32,
    /// Backends that nobody uses.
    pub idle: u32,
    /// Backends that clients have.
    pub leased: u32,
    /// Backends being opened.
    pub dialing: u32,
    /// Backends told to close that have not closed yet.
    pub closing: u32,
    /// Backends leaving for another worker.
    pub moving: u32,
    /// When the client that waits longest arrived.
    pub oldest_waiter: Option<Instant>,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) key: PoolKey,
    pub(crate) id: PoolId,
    pub(crate) target: Arc<Target>,
    pub(crate) share: Arc<Share>,
    pub(crate) idle: IdleList,
    pub(crate) queue: Queue,
    leased: u32,
    dialing: u32,
    closing: u32,
    moving: u32,
    posted: Posted,
    /// Backends that came from other workers since the board was last told.
    arrived: u32,
    /// A dial was started since the board was last told.
    progress: bool,
    /// No dial for a client before this.
    dial_from: Instant,
    /// No dial for the warm minimum before this.
    warm_from: Instant,
    /// Rounds of dials in a row that came to nothing.
    failures: u32,
    /// Why its backends are to be closed instead of reused.
    retired: Option<CloseReason>,
    /// Since when it has had nothing open and nobody waiting.
    quiet_since: Option<Instant>,
}

impl Pool {
    pub(crate) fn new(key: PoolKey, id: PoolId, target: Arc<Target>) -> Pool {
        let share = target.budget.attach(&key);
        Pool {
            key,
            id,
            target,
            share,
            idle: IdleList::default(),
            queue: Queue::default(),
            leased: 0,
            dialing: 0,
            closing: 0,
            moving: 0,
            posted: Posted::default(),
            arrived: 0,
            progress: false,
            dial_from: Instant::ZERO,
            warm_from: Instant::ZERO,
            failures: 0,
            retired: None,
            quiet_since: None,
        }
    }

    pub(crate) fn stats(&self) -> PoolStats {
        PoolStats {
            waiting: count(self.queue.len()),
            idle: count(self.idle.len()),
            leased: self.leased,
            dialing: self.dialing,
            closing: self.closing,
            moving: self.moving,
            oldest_waiter: self.queue.oldest(),
        }
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.is_some()
    }

    /// Backends that are, or after one more lease will be, of use here.
    fn open(&self) -> u32 {
        self.leased + count(self.idle.len())
    }

    /// Nothing open, nothing under way, nobody waiting.
    pub(crate) fn is_empty(&self) -> bool {
        self.idle.is_empty()
            && self.leased + self.dialing + self.closing + self.moving == 0
            && self.queue.is_empty()
    }

    // --- Backends ---

    /// A leased backend is proven clean. True if it was leased here.
    pub(crate) fn on_released(
        &mut self,
        now: Instant,
        backend: BackendKey,
        slot: Slot,
        label: Label,
        books: &mut Books,
    ) {
        self.leased -= 1;
        self.free(now, backend, slot, label, books);
    }

    pub(crate) fn on_dialed(
        &mut self,
        now: Instant,
        backend: BackendKey,
        slot: Slot,
        label: Label,
        books: &mut Books,
    ) {
        self.end_dial();
        self.failures = 0;
        self.warm_from = self.warm_from.min(self.dial_from);
        books.backends.insert(backend, slot);
        self.free(now, backend, slot, label, books);
        // Only now: a client of another worker that waits for this dial must find it under way or on its way there.
        self.share.add_open();
    }

    fn end_dial(&mut self) {
        debug_assert!(self.dialing > 0, "a dial nobody ordered");
        self.dialing = self.dialing.saturating_sub(1);
        self.target.budget.end_dial();
    }

    pub(crate) fn on_adopted(
        &mut self,
        now: Instant,
        backend: BackendKey,
        slot: Slot,
        label: Label,
        books: &mut Books,
    ) {
        self.arrived += 1;
        books.backends.insert(backend, slot);
        self.free(now, backend, slot, label, books);
    }

    /// A dial came to nothing. With a refusal, clients that have no other chance are told; without, all go on waiting.
    pub(crate) fn on_dial_failed(
        &mut self,
        now: Instant,
        refusal: Option<&Refusal>,
        jitter: u16,
        books: &mut Books,
    ) {
        self.end_dial();
        self.share.give_back();
        self.target.budget.give_back();
        // Dials that were under way together fail together: one pause for all of them.
        if now >= self.dial_from {
            self.failures = self.failures.saturating_add(1);
            self.dial_from = now + pause(self.failures, jitter, BACK_OFF_MAX);
            self.warm_from = now + pause(self.failures, jitter, WARM_BACK_OFF_MAX);
        }
        if let Some(refusal) = refusal
            && self.dialing == 0
            && self.share.open() == 0
        {
            self.refuse_all(refusal, books);
        }
    }

    /// A backend is at nobody's service but the pool's: decides what becomes of it.
    fn free(
        &mut self,
        now: Instant,
        backend: BackendKey,
        slot: Slot,
        label: Label,
        books: &mut Books,
    ) {
        let lifetime_max = self.target.limits.lifetime_max;
        let expires = expiry(slot.opened_at, slot.lifetime_jitter, lifetime_max);
        if let Some(reason) = self.unwanted(now, expires) {
            return self.close(backend, reason, books);
        }
        if self.others_starve()
            && let Some(worker) = self.claim(books.worker)
        {
            return self.send(backend, slot, label, worker, books);
        }
        if self.gives_room_now(now) {
            return self.close(backend, CloseReason::GivenUp, books);
        }
        if let Some(waiter) = self.take_waiter(0, books) {
            return self.lease(waiter.client, backend, waiter.since, books);
        }
        books.enter(backend, State::Idle);
        books.idle += 1;
        self.idle.push(Idle {
            backend,
            label,
            since: now,
            expires,
        });
    }

    /// Why a backend may not be used again, if it may not.
    fn unwanted(&self, now: Instant, expires: Instant) -> Option<CloseReason> {
        if self.retired.is_some() {
            self.retired
        } else if expires <= now {
            Some(CloseReason::MaxAge)
        } else if self.target.budget.is_over() || self.is_over() {
            Some(CloseReason::Reconfigured)
        } else {
            None
        }
    }

    /// More backends than a reload has left to it.
    fn is_over(&self) -> bool {
        self.share.places() > self.target.limits.pool_size_max
    }

    /// Another worker's clients of this pool wait.
    fn others_starve(&self) -> bool {
        let own = u32::from(self.posted.moves.is_some());
        self.share.starving() > own
    }

    fn claim(&self, worker: u16) -> Option<u16> {
        let own = self.queue.oldest();
        if !self.share.may_be_claimed(own) {
            return None;
        }
        let mut board = self.target.budget.lock();
        board.claim(&self.share, worker, own)
    }

    /// Whether the place of a backend that has just become free goes to another pool.
    fn gives_room_now(&self, now: Instant) -> bool {
        let want = self.target.budget.uncovered(Some(&self.share));
        want.is_some_and(|want| self.gives_room(now, &want, now))
    }

    /// Whether a backend idle since `since` (now, if it has just become free) makes room for what another pool wants.
    pub(crate) fn gives_room(&self, now: Instant, want: &Uncovered, since: Instant) -> bool {
        if want.share.id == self.share.id {
            return false;
        }
        // One more for the other must not make us the poorer one, or places would go to and fro.
        let (ours, theirs) = (self.share.places(), want.share.places());
        let richer = theirs == 0 || ours >= theirs.saturating_add(2);
        match self.queue.oldest() {
            Some(own) => richer && want.since + ROOM_HANDICAP < own,
            None => richer || since + IDLE_GRACE <= now,
        }
    }

    /// Sends idle backends to workers whose clients wait for them.
    pub(crate) fn lend_idle(&mut self, now: Instant, books: &mut Books) {
        self.close_expired(now, books);
        while !self.idle.is_empty()
            && self.others_starve()
            && let Some(worker) = self.claim(books.worker)
        {
            let Some(idle) = self.take_idle(0, |_| true, books) else {
                return;
            };
            if let Some(slot) = books.backends.get(&idle.backend).copied() {
                self.send(idle.backend, slot, idle.label, worker, books);
            }
        }
    }

    fn send(
        &mut self,
        backend: BackendKey,
        slot: Slot,
        label: Label,
        worker: u16,
        books: &mut Books,
    ) {
        books.enter(backend, State::Moving(worker));
        self.moving += 1;
        let history = History {
            label,
            opened_at: slot.opened_at,
            lifetime_jitter: slot.lifetime_jitter,
        };
        books.order(Order::Move {
            backend,
            to_worker: worker,
            history,
        });
    }

    /// It is another worker's now.
    pub(crate) fn on_moved(&mut self) {
        self.moving -= 1;
    }

    /// A backend is gone, whatever it was doing.
    pub(crate) fn on_closed(&mut self, backend: BackendKey, state: State, books: &mut Books) {
        match state {
            State::Idle => {
                let taken = self.idle.take_backend(backend);
                self.left_idle(taken, books);
            }
            State::Leased => self.leased -= 1,
            State::Closing => {
                self.closing -= 1;
                self.target.budget.end_close();
            }
            State::Moving(worker) => {
                self.moving -= 1;
                self.target.budget.lock().unclaim(&self.share, worker);
            }
        }
        self.share.sub_open();
        self.target.budget.give_back();
    }

    /// Every way out of the idle list passes here.
    fn left_idle(&self, taken: Option<(Idle, bool)>, books: &mut Books) -> Option<Idle> {
        let (idle, aged) = taken?;
        books.idle -= 1;
        if aged {
            self.target.budget.sub_aged(1);
        }
        Some(idle)
    }

    fn take_idle(
        &mut self,
        label: Label,
        suits: impl Fn(BackendKey) -> bool,
        books: &mut Books,
    ) -> Option<Idle> {
        let taken = self.idle.take(label, self.target.limits.lease_order, suits);
        self.left_idle(taken, books)
    }

    fn close(&mut self, backend: BackendKey, reason: CloseReason, books: &mut Books) {
        books.enter(backend, State::Closing);
        self.closing += 1;
        self.target.budget.start_close();
        books.close(backend, reason);
    }

    /// Closes the one that has been idle longest.
    pub(crate) fn close_longest_idle(&mut self, reason: CloseReason, books: &mut Books) {
        let taken = self.idle.take_at(0);
        if let Some(idle) = self.left_idle(taken, books) {
            self.close(idle.backend, reason, books);
        }
    }

    pub(crate) fn close_expired(&mut self, now: Instant, books: &mut Books) {
        while let Some(taken) = self.idle.take_expired(now) {
            if let Some(idle) = self.left_idle(Some(taken), books) {
                self.close(idle.backend, CloseReason::MaxAge, books);
            }
        }
    }
}

/// The pause after so many failures in a row, up to `max`. `jitter` takes off up to a half, so that pools that failed together do
/// not come back together.
fn pause(failures: u32, jitter: u16, max: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let whole = (BACK_OFF_MIN * (1 << doublings)).min(max);
    whole - whole / 2 * u32::from(jitter) / u32::from(u16::MAX)
}

/// Nothing here has more than four thousand million of anything.
pub(crate) fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound_and_lose_up_to_half_by_jitter() {
        let millis = |failures, jitter, max| pause(failures, jitter, max).as_millis();
        let doubled: Vec<_> = (1..=8).map(|n| millis(n, 0, BACK_OFF_MAX)).collect();
        assert_eq!(doubled, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(millis(10, 0, WARM_BACK_OFF_MAX), 25_600);
        for failures in [11, 1_000, u32::MAX] {
            assert_eq!(millis(failures, 0, WARM_BACK_OFF_MAX), 30_000);
            assert_eq!(millis(failures, u16::MAX, WARM_BACK_OFF_MAX), 15_000);
        }
        assert_eq!(millis(1, u16::MAX / 2, BACK_OFF_MAX), 37);
    }

    #[test]
    fn a_pool_that_nobody_uses_is_small() {
        // Users times databases can be many thousands. Queue and idle list take memory only when used.
        let size = size_of::<Option<Pool>>();
        assert!(size <= 384, "{size} bytes");
    }
}
