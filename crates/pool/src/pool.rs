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
//! and an idle backend are never seen together. What concerns several pools is in `pools.rs`.

use crate::board::{DialWant, MoveWant, Share, Uncovered};
use crate::books::{Books, Place, Slot, State, expiry};
use crate::budget::Budget;
use crate::idle::{Idle, IdleList};
use crate::key::{BackendKey, ClientKey, Label, PoolId, PoolKey, TargetId};
use crate::order::{History, Order};
use crate::queue::Queue;
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
/// Pause after a failed dial; doubles up to [`BACK_OFF_MAX`].
pub const BACK_OFF_MIN: Duration = Duration::from_millis(50);
/// Longest pause after failed dials.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(2);
/// A pool with nothing open and nobody waiting is dropped after this.
pub const QUIET_MAX: Duration = Duration::from_secs(600);
/// A pool below its warm minimum for lack of room looks again after this.
const WARM_RETRY: Duration = Duration::from_secs(1);

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
    dials: Option<(Instant, u32)>,
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
    /// No dial before this.
    dial_from: Instant,
    back_off: Duration,
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
            back_off: Duration::ZERO,
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

    /// How long a client of this pool waits at most.
    fn borrow_timeout(&self) -> Duration {
        match self.target.limits.borrow_timeout {
            Duration::ZERO => MOVE_GRACE,
            timeout => timeout,
        }
    }

    // --- Clients ---

    /// A session wants a backend: the hot half is everything before `wait`.
    pub(crate) fn request(
        &mut self,
        now: Instant,
        client: ClientKey,
        label: Label,
        books: &mut Books,
    ) {
        if self.share.starving() > 0 {
            self.lend_idle(now, books);
        }
        match self.take_idle(label, books) {
            Some(idle) => self.lease(client, idle.backend, now, books),
            None => self.wait(now, client, books),
        }
    }

    fn wait(&mut self, now: Instant, client: ClientKey, books: &mut Books) {
        let limits = &self.target.limits;
        if books.waiting.contains_key(&client) {
            debug_assert!(false, "{client:?} asked twice");
            return;
        }
        if count(self.queue.len()) >= limits.queue_max {
            let refusal = Refusal::QueueFull {
                max: limits.queue_max,
            };
            return books.refuse(client, refusal);
        }
        let elsewhere = self.share.open() > self.open() + self.closing + self.moving;
        if limits.borrow_timeout.is_zero() && !elsewhere {
            self.dial_one_behind(books);
            return books.refuse(client, Refusal::BorrowTimeout);
        }
        let ticket = self.queue.push(client, now);
        let pool = self.id.slot;
        books.waiting.insert(client, Place { pool, ticket });
    }

    /// Nobody may wait, yet without this a pool would never grow: the next client finds what this one missed.
    fn dial_one_behind(&mut self, books: &mut Books) {
        if self.dialing == 0 {
            self.dial_one(Instant::FAR_FUTURE, books);
        }
    }

    pub(crate) fn withdraw(&mut self, ticket: u64) -> bool {
        self.queue.remove(ticket).is_some()
    }

    /// Refuses the clients whose time is up.
    pub(crate) fn expire_waiters(&mut self, now: Instant, books: &mut Books) {
        let timeout = self.borrow_timeout();
        while self
            .queue
            .oldest()
            .is_some_and(|since| since + timeout <= now)
        {
            self.refuse_oldest(&Refusal::BorrowTimeout, books);
        }
    }

    fn refuse_oldest(&mut self, refusal: &Refusal, books: &mut Books) {
        if let Some(waiter) = self.queue.pop() {
            books.waiting.remove(&waiter.client);
            books.refuse(waiter.client, refusal.clone());
        }
    }

    fn refuse_all(&mut self, refusal: &Refusal, books: &mut Books) {
        while !self.queue.is_empty() {
            self.refuse_oldest(refusal, books);
        }
    }

    fn lease(
        &mut self,
        client: ClientKey,
        backend: BackendKey,
        waited_since: Instant,
        books: &mut Books,
    ) {
        books.enter(backend, State::Leased);
        self.leased += 1;
        books.order(Order::Lease {
            client,
            backend,
            waited_since,
        });
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
        self.share.add_open();
        self.back_off = Duration::ZERO;
        books.backends.insert(backend, slot);
        self.free(now, backend, slot, label, books);
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
        books: &mut Books,
    ) {
        self.end_dial();
        self.share.give_back();
        self.target.budget.give_back();
        // Dials that were under way together fail together: one pause for all of them.
        if now >= self.dial_from {
            self.back_off = (self.back_off * 2).clamp(BACK_OFF_MIN, BACK_OFF_MAX);
            self.dial_from = now + self.back_off;
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
        if let Some(reason) = self.unwanted(now, slot) {
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
        if let Some(waiter) = self.queue.pop() {
            books.waiting.remove(&waiter.client);
            return self.lease(waiter.client, backend, waiter.since, books);
        }
        books.enter(backend, State::Idle);
        books.idle += 1;
        self.idle.push(Idle {
            backend,
            label,
            since: now,
            expires: slot.expires,
        });
    }

    /// Why a backend may not be used again, if it may not.
    fn unwanted(&self, now: Instant, slot: Slot) -> Option<CloseReason> {
        if self.retired.is_some() {
            self.retired
        } else if slot.expires <= now {
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
        let mut board = self.target.budget.lock();
        board.claim(&self.share, worker, self.queue.oldest())
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
            let Some(idle) = self.take_idle(0, books) else {
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

    fn take_idle(&mut self, label: Label, books: &mut Books) -> Option<Idle> {
        let taken = self.idle.take(label, self.target.limits.lease_order);
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

    /// Counts those idle for the idle timeout and closes what is beyond the share that may stay.
    pub(crate) fn trim(&mut self, now: Instant, books: &mut Books) {
        let target = Arc::clone(&self.target);
        while self.idle.age_one(now, target.limits.idle_timeout) {
            target.budget.add_aged();
        }
        let kept = target.budget.aged_max(&target.limits);
        while self.idle.aged() > 0
            && target.budget.aged() > kept
            && self.open() > self.size_min(books)
        {
            self.close_longest_idle(CloseReason::IdleTrimmed, books);
        }
    }

    /// Closes idle backends beyond `pool_size_max`, as after a reload.
    pub(crate) fn close_over(&mut self, books: &mut Books) {
        let over = self
            .share
            .places()
            .saturating_sub(self.target.limits.pool_size_max);
        let over = over.saturating_sub(self.closing);
        for _ in 0..over.min(count(self.idle.len())) {
            self.close_longest_idle(CloseReason::Reconfigured, books);
        }
    }

    /// Takes new limits.
    pub(crate) fn reconfigure(&mut self, target: Arc<Target>, books: &mut Books) {
        self.target = target;
        let lifetime_max = self.target.limits.lifetime_max;
        self.idle.set_expiries(|backend| {
            let slot = books.backends.get(&backend);
            slot.map_or(Instant::ZERO, |slot| {
                expiry(slot.opened_at, slot.lifetime_jitter, lifetime_max)
            })
        });
        self.close_over(books);
    }

    /// Ends the pool: nobody is served any more, and backends close as they become free.
    pub(crate) fn retire(&mut self, refusal: &Refusal, reason: CloseReason, books: &mut Books) {
        self.retired = Some(reason);
        self.refuse_all(refusal, books);
        while !self.idle.is_empty() {
            self.close_longest_idle(reason, books);
        }
    }

    // --- After each fact ---

    /// Dials what is of use, and tells the board what is still lacking.
    pub(crate) fn settle(&mut self, now: Instant, books: &mut Books) -> Settled {
        if self.queue.is_empty()
            && self.posted.moves.is_none()
            && self.posted.dials.is_none()
            && self.arrived == 0
        {
            return Settled::default();
        }
        let mut lacking = self.dial(now, books);
        let (mut wake, fresh) = self.post_dials(lacking, books);
        if fresh && lacking > 0 {
            // Whoever gave a place back before the want was on the board saw no want: look again now that it is.
            lacking = self.dial(now, books);
            wake = self.post_dials(lacking, books).0 || wake;
        }
        wake |= self.post_moves(now, lacking > 0, books);
        Settled {
            wake,
            wants_room: self.posted.dials.is_some(),
        }
    }

    /// Opens backends for the waiters that no dial is under way for; returns how many could not be.
    fn dial(&mut self, now: Instant, books: &mut Books) -> u32 {
        let room = self
            .target
            .limits
            .pool_size_max
            .saturating_sub(self.share.places());
        let mut lacking = count(self.queue.len())
            .saturating_sub(self.dialing)
            .min(room);
        if now < self.dial_from || self.retired.is_some() {
            return 0;
        }
        while lacking > 0 {
            let since = self.queue.since_at(self.dialing as usize).unwrap_or(now);
            if !self.dial_one(since, books) {
                break;
            }
            lacking -= 1;
        }
        lacking
    }

    /// Opens one backend for somebody who has waited since `since`, if all bounds allow it.
    fn dial_one(&mut self, since: Instant, books: &mut Books) -> bool {
        let Target { limits, budget, .. } = &*self.target;
        if !budget.is_turn(since, books.worker, self.id.slot, limits.dials_max)
            || !self.share.take(limits.pool_size_max)
        {
            return false;
        }
        if !budget.start_dial(limits.dials_max) {
            self.share.give_back();
            return false;
        }
        if !budget.take() {
            budget.end_dial();
            self.share.give_back();
            return false;
        }
        self.dialing += 1;
        self.progress = true;
        books.order(Order::Dial { pool: self.id });
        true
    }

    /// Writes on the board how many backends it would open. Returns whether to wake the others, and whether the want is new.
    fn post_dials(&mut self, lacking: u32, books: &Books) -> (bool, bool) {
        let budget = &self.target.budget;
        // If every place of the target is this pool's, no other pool can give one.
        let futile = budget.is_known()
            && self.share.places() >= budget.used()
            && budget.used() >= budget.max();
        let since = self.queue.since_at(self.dialing as usize);
        let new = since
            .filter(|_| lacking > 0 && !futile)
            .map(|since| (since, lacking));
        let old = std::mem::replace(&mut self.posted.dials, new);
        if old == new && !self.progress {
            return (false, false);
        }
        let progress = std::mem::take(&mut self.progress);
        if old.is_none() && new.is_none() {
            return (false, false);
        }
        let want = new.map(|(since, count)| DialWant {
            since,
            count,
            share: Arc::clone(&self.share),
            progress,
        });
        let wake = budget.post_dials(old.map(|old| old.0), want, (books.worker, self.id.slot));
        (wake, old.is_none())
    }

    /// Writes on the board whose clients wait. Returns whether to wake the others.
    fn post_moves(&mut self, now: Instant, lacking: bool, books: &Books) -> bool {
        let want = self.move_want(now, lacking, books.worker);
        let unchanged = match (&self.posted.moves, &want) {
            (None, None) => true,
            (Some(old), Some(new)) => old.same(new),
            _ => false,
        };
        if unchanged && self.arrived == 0 {
            return false;
        }
        let arrived = std::mem::take(&mut self.arrived);
        let nothing = MoveWant {
            worker: books.worker,
            slot: self.id.slot,
            since: Default::default(),
            len: 0,
            handicap: Duration::ZERO,
        };
        let mut board = self.target.budget.lock();
        self.posted.moves = want;
        board.post_moves(&self.share, want.unwrap_or(nothing), arrived)
    }

    fn move_want(&self, now: Instant, lacking: bool, worker: u16) -> Option<MoveWant> {
        let oldest = self.queue.oldest()?;
        let alone = self.share.holders() < 2;
        let asks =
            self.posted.moves.is_some() || lacking || self.open() == 0 || oldest + ASK_AFTER <= now;
        if alone || !asks {
            return None;
        }
        let (since, len) = self.queue.first();
        let handicap = if self.open() == 0 {
            Duration::ZERO
        } else {
            MOVE_HANDICAP
        };
        Some(MoveWant {
            worker,
            slot: self.id.slot,
            since,
            len,
            handicap,
        })
    }

    /// Backends this worker keeps open even when nobody asks.
    fn size_min(&self, books: &Books) -> u32 {
        match books.worker {
            0 => self.target.limits.pool_size_min,
            _ => 0,
        }
    }

    /// Backends short of the warm minimum.
    fn cold(&self, books: &Books) -> u32 {
        if self.retired.is_some() {
            return 0;
        }
        self.size_min(books)
            .saturating_sub(self.open() + self.dialing)
    }

    /// Opens what the warm minimum lacks; those who wait go first.
    pub(crate) fn warm(&mut self, now: Instant, books: &mut Books) {
        for _ in 0..self.cold(books) {
            if now < self.dial_from || !self.dial_one(Instant::FAR_FUTURE, books) {
                return;
            }
        }
    }

    /// When it must be looked at next though nothing happens; the far future if never. Also notes since when it is empty.
    pub(crate) fn deadline(&mut self, now: Instant, books: &Books) -> Instant {
        let limits = &self.target.limits;
        let mut next = self.idle.expires_from();
        next = next.min(self.idle.ages_at(limits.idle_timeout).unwrap_or(next));
        if let Some(oldest) = self.queue.oldest() {
            next = next.min(oldest + self.borrow_timeout());
            next = next
                .min(later(oldest + ASK_AFTER, now))
                .min(later(self.dial_from, now));
        }
        if let Some(idle) = self.idle.front()
            && self.target.budget.is_wanted()
        {
            next = next.min(later(idle.since + IDLE_GRACE, now));
        }
        if limits.pool_size_min > 0 && self.cold(books) > 0 {
            next = next.min((now + WARM_RETRY).max(self.dial_from));
        }
        if self.is_empty() {
            next = next.min(*self.quiet_since.get_or_insert(now) + QUIET_MAX);
        } else {
            self.quiet_since = None;
        }
        next
    }

    /// It has been empty for so long that it can be dropped.
    pub(crate) fn is_done(&self, now: Instant) -> bool {
        let quiet = self
            .quiet_since
            .is_some_and(|since| since + QUIET_MAX <= now);
        self.is_empty() && (quiet || self.is_retired())
    }

    /// Leaves the shared state; the pool must be empty.
    pub(crate) fn detach(&mut self, now: Instant, books: &mut Books) {
        self.settle(now, books);
        self.target.budget.detach(&self.key, &self.share);
    }
}

/// `at` if it is still to come.
fn later(at: Instant, now: Instant) -> Instant {
    if at > now { at } else { Instant::FAR_FUTURE }
}

/// Nothing here has more than four thousand million of anything.
pub(crate) fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
