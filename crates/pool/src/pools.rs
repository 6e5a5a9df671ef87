//! All pools of one worker: takes the facts, finds the pool they concern, and keeps the pools of one target fair to each other.
//!
//! After each fact the caller drains [`Pools::next_order`] and arms its timer with [`Pools::deadline`]. A fact touches one pool;
//! others are looked at only when a place was given back or somebody lacks one.

mod among;

use crate::books::{Books, Slot, State};
use crate::budget::{Apart, Budget};
use crate::deadlines::Deadlines;
use crate::key::{BackendKey, ClientKey, Label, PoolGone, PoolId, PoolKey, TargetId};
use crate::order::{History, Order};
use crate::pool::{Pool, PoolStats, Target};
use forebay_core::snapshot::PoolLimits;
use forebay_core::{CloseReason, Instant, Refusal};
use std::collections::HashMap;
use std::sync::Arc;

/// A target and what was last seen of its budget.
#[derive(Debug)]
struct Known {
    target: Arc<Target>,
    epoch: u32,
}

/// The pools of one worker. See the head of the crate for the contract.
#[derive(Debug, Default)]
pub struct Pools {
    /// Few, so they are searched one by one.
    targets: Vec<Known>,
    pub(crate) slots: Vec<Option<Pool>>,
    /// The generation of each slot's next pool.
    generations: Vec<u32>,
    vacant: Vec<u32>,
    index: HashMap<PoolKey, u32>,
    pub(crate) books: Books,
    deadlines: Deadlines,
    /// Kept for its memory: slots to look at.
    scratch: Vec<u32>,
}

impl Pools {
    /// The pools of worker number `worker`.
    pub fn new(worker: u16) -> Pools {
        Pools {
            books: Books::new(worker),
            ..Pools::default()
        }
    }

    // --- Configuration ---

    /// Adds a target, or changes its limits; they hold at once, and what is idle beyond them is closed. The budget belongs to the
    /// target for its life: another one stands for another target, and the old one's pools are retired.
    pub fn set_target(
        &mut self,
        now: Instant,
        id: TargetId,
        limits: PoolLimits,
        budget: Arc<Budget>,
    ) {
        if let Some(old) = self.known(id)
            && !Arc::ptr_eq(&old.target.budget, &budget)
        {
            self.remove_target(now, id, &Refusal::BackendLost, CloseReason::Reconfigured);
        }
        budget.recompute(&limits);
        let target = Arc::new(Target { id, limits, budget });
        let epoch = target.budget.epoch();
        let known = Known {
            target: Arc::clone(&target),
            epoch,
        };
        match self.targets.iter_mut().find(|old| old.target.id == id) {
            Some(old) => *old = known,
            None => self.targets.push(known),
        }
        for pool in pools_of(&mut self.slots, id) {
            pool.reconfigure(Arc::clone(&target), &mut self.books);
        }
        self.look_at_all(now, id);
    }

    /// Removes a target: its waiters hear `refusal`, idle backends are closed for `reason`, leased ones when they are released.
    /// Backends on their way to this worker find no pool; the caller closes them.
    pub fn remove_target(
        &mut self,
        now: Instant,
        id: TargetId,
        refusal: &Refusal,
        reason: CloseReason,
    ) {
        let known = self.targets.iter();
        let Some(index) = known
            .map(|known| known.target.id)
            .position(|known| known == id)
        else {
            return;
        };
        self.targets.swap_remove(index);
        for pool in pools_of(&mut self.slots, id) {
            pool.retire(refusal, reason, &mut self.books);
            self.index.remove(&pool.key);
        }
        self.look_at_all(now, id);
    }

    /// Removes one pool, as [`Pools::remove_target`] does all of a target: its user may not log in any more.
    pub fn remove_pool(
        &mut self,
        now: Instant,
        key: &PoolKey,
        refusal: &Refusal,
        reason: CloseReason,
    ) {
        let Some(slot) = self.index.remove(key) else {
            return;
        };
        if let Some(pool) = &mut self.slots[slot as usize] {
            pool.retire(refusal, reason, &mut self.books);
        }
        self.look_at_all(now, key.target);
    }

    /// The database takes `usable` connections from us (its `max_connections` less what it reserves).
    pub fn on_limits(&mut self, now: Instant, id: TargetId, usable: u32) {
        let Some(Known { target, .. }) = self.known(id) else {
            return;
        };
        if target.budget.set_usable(usable, &target.limits) {
            self.look_at_all(now, id);
            self.books.wake_others();
        }
    }

    /// A backend of a target that belongs to no pool is closed: whoever lacks a place tries, in this worker and the others.
    pub fn on_closed_apart(&mut self, now: Instant, id: TargetId, place: Apart) {
        drop(place);
        self.look_at_all(now, id);
        self.books.wake_others();
    }

    /// The pool of this key, made if there is none; `None` if its target is not configured.
    pub fn pool(&mut self, now: Instant, key: &PoolKey) -> Option<PoolId> {
        if let Some(slot) = self.index.get(key) {
            return self.slots.get(*slot as usize)?.as_ref().map(|pool| pool.id);
        }
        let target = Arc::clone(&self.known(key.target)?.target);
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.generations.push(0);
            crate::pool::count(self.slots.len() - 1)
        });
        let id = PoolId {
            slot,
            generation: self.generations[slot as usize],
        };
        let pool = Pool::new(key.clone(), id, target);
        if pool.share.holders() > 1 {
            self.books.wake_others();
        }
        self.slots[slot as usize] = Some(pool);
        self.index.insert(key.clone(), slot);
        self.tend(now, slot);
        Some(id)
    }

    fn known(&self, id: TargetId) -> Option<&Known> {
        self.targets.iter().find(|known| known.target.id == id)
    }

    // --- Facts about clients ---

    /// A session wants a backend, best one labelled `label`. It gets a `Lease` or a `Refuse`, now or later.
    pub fn request(
        &mut self,
        now: Instant,
        pool: PoolId,
        client: ClientKey,
        label: Label,
    ) -> Result<(), PoolGone> {
        self.request_suiting(now, pool, client, label, |_| true)
    }

    /// As [`Pools::request`]; idle backends that `suits` is true of come first. The session may get another one: it is for the caller
    /// to replace it, see [`Pools::on_replaced`].
    pub fn request_suiting(
        &mut self,
        now: Instant,
        pool: PoolId,
        client: ClientKey,
        label: Label,
        suits: impl Fn(BackendKey) -> bool,
    ) -> Result<(), PoolGone> {
        let found = find(&mut self.slots, pool).filter(|found| !found.is_retired());
        let found = found.ok_or(PoolGone)?;
        found.request(now, client, label, suits, &mut self.books);
        self.settle(now, pool.slot);
        Ok(())
    }

    /// The client vanished or cancelled. True if it was waiting; it then hears nothing more from here.
    pub fn withdraw(&mut self, now: Instant, client: ClientKey) -> bool {
        let Some(place) = self.books.waiting.remove(&client) else {
            return false;
        };
        let Some(pool) = at(&mut self.slots, place.pool) else {
            return false;
        };
        let waited = pool.withdraw(place.ticket);
        self.settle(now, place.pool);
        waited
    }

    // --- Facts about backends ---

    /// A leased backend is proven clean and holds the settings `label`.
    pub fn on_released(&mut self, now: Instant, backend: BackendKey, label: Label) {
        let Some(&slot) = self.books.backends.get(&backend) else {
            return;
        };
        let Some(pool) = at(&mut self.slots, slot.pool).filter(|_| slot.state == State::Leased)
        else {
            debug_assert!(
                false,
                "{backend:?} was released but not leased: {:?}",
                slot.state
            );
            return;
        };
        pool.on_released(now, backend, slot, label, &mut self.books);
        self.settle(now, slot.pool);
    }

    /// A leased backend is closed, and another is being opened for its client in its place: the place and the lease are `new`'s. What is
    /// `new` need not be open yet; should it come to nothing, report [`Pools::on_closed`]. `lifetime_jitter` is a random number.
    pub fn on_replaced(
        &mut self,
        now: Instant,
        old: BackendKey,
        new: BackendKey,
        lifetime_jitter: u16,
    ) {
        let leased = |slot: &Slot| slot.state == State::Leased;
        let Some(slot) = self.books.backends.get(&old).copied().filter(leased) else {
            debug_assert!(false, "{old:?} was replaced but not leased");
            return;
        };
        self.books.backends.remove(&old);
        let slot = Slot {
            opened_at: now,
            lifetime_jitter,
            ..slot
        };
        self.books.backends.insert(new, slot);
    }

    /// A backend that was ordered with `Dial` is logged in and set up. `lifetime_jitter` is a random number.
    pub fn on_dialed(
        &mut self,
        now: Instant,
        pool: PoolId,
        backend: BackendKey,
        label: Label,
        lifetime_jitter: u16,
    ) {
        let history = History {
            label,
            opened_at: now,
            lifetime_jitter,
        };
        let Some(found) = find(&mut self.slots, pool) else {
            debug_assert!(false, "{pool:?} has no dial under way");
            return self.books.close(backend, CloseReason::Bug);
        };
        let slot = new_slot(pool, history);
        found.on_dialed(now, backend, slot, label, &mut self.books);
        self.given_back(now, pool.slot);
    }

    /// A dial came to nothing. The pool pauses, from [`crate::BACK_OFF_MIN`] doubling to [`crate::BACK_OFF_MAX`], to
    /// [`crate::WARM_BACK_OFF_MAX`] while nobody waits; `jitter`, a random number, shortens the pause by up to half. If the pool has
    /// nothing open in any worker and no other dial under way, its waiters are told `refusal`.
    pub fn on_dial_failed(&mut self, now: Instant, pool: PoolId, refusal: &Refusal, jitter: u16) {
        self.dial_failed(now, pool, Some(refusal), jitter);
    }

    /// A dial came to nothing because the database is full at this moment. The pool pauses as after any failure; its waiters go on
    /// waiting.
    pub fn on_dial_crowded(&mut self, now: Instant, pool: PoolId, jitter: u16) {
        self.dial_failed(now, pool, None, jitter);
    }

    fn dial_failed(&mut self, now: Instant, pool: PoolId, refusal: Option<&Refusal>, jitter: u16) {
        let Some(found) = find(&mut self.slots, pool) else {
            debug_assert!(false, "{pool:?} has no dial under way");
            return;
        };
        found.on_dial_failed(now, refusal, jitter, &mut self.books);
        self.given_back(now, pool.slot);
    }

    /// A backend is closed: because of an order, or because it died idle, leased or while being moved.
    pub fn on_closed(&mut self, now: Instant, backend: BackendKey) {
        let Some(slot) = self.books.backends.remove(&backend) else {
            return;
        };
        let Some(pool) = at(&mut self.slots, slot.pool) else {
            return;
        };
        pool.on_closed(backend, slot.state, &mut self.books);
        self.given_back(now, slot.pool);
    }

    /// A backend came from another worker. If it turns out to be dead, report this first and then [`Pools::on_closed`].
    pub fn on_adopted(
        &mut self,
        now: Instant,
        pool: PoolId,
        backend: BackendKey,
        history: History,
    ) -> Result<(), PoolGone> {
        let found = find(&mut self.slots, pool).ok_or(PoolGone)?;
        let slot = new_slot(pool, history);
        found.on_adopted(now, backend, slot, history.label, &mut self.books);
        self.settle(now, pool.slot);
        Ok(())
    }

    /// A backend has left for another worker, as ordered.
    pub fn on_moved(&mut self, now: Instant, backend: BackendKey) {
        let Some(slot) = self.books.backends.remove(&backend) else {
            return;
        };
        debug_assert!(
            matches!(slot.state, State::Moving(_)),
            "{backend:?} left unordered"
        );
        if let Some(pool) = at(&mut self.slots, slot.pool) {
            pool.on_moved();
        }
        self.settle(now, slot.pool);
    }

    // --- Time and other workers ---

    /// Another worker ordered [`Order::WakeOthers`]: helps whom it can, and tries again what it could not do before.
    pub fn on_woken(&mut self, now: Instant) {
        for index in 0..self.targets.len() {
            self.help(now, index);
        }
    }

    /// The deadline has come. Does nothing before it.
    pub fn on_time(&mut self, now: Instant) {
        while let Some(slot) = self.deadlines.due(now) {
            self.tend(now, slot);
        }
    }

    /// When [`Pools::on_time`] must be called if nothing else happens.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first()
    }

    /// The next thing to do; drained after every fact.
    pub fn next_order(&mut self) -> Option<Order> {
        self.books.next_order()
    }

    // --- Numbers ---

    /// The numbers of a pool, if it still exists.
    pub fn stats(&self, pool: PoolId) -> Option<PoolStats> {
        let found = self.slots.get(pool.slot as usize)?.as_ref()?;
        (found.id == pool).then(|| found.stats())
    }

    /// All pools with their numbers, those of removed targets included as long as something of them is open.
    pub fn pools(&self) -> impl Iterator<Item = (PoolId, &PoolKey, PoolStats)> {
        let pools = self.slots.iter().flatten();
        pools.map(|pool| (pool.id, &pool.key, pool.stats()))
    }
}

fn at(slots: &mut [Option<Pool>], slot: u32) -> Option<&mut Pool> {
    slots.get_mut(slot as usize)?.as_mut()
}

fn find(slots: &mut [Option<Pool>], id: PoolId) -> Option<&mut Pool> {
    at(slots, id.slot).filter(|pool| pool.id == id)
}

/// The living pools of a target. Retired ones have nothing idle and count in a budget that may no longer be the target's.
fn pools_of(slots: &mut [Option<Pool>], target: TargetId) -> impl Iterator<Item = &mut Pool> {
    slots
        .iter_mut()
        .flatten()
        .filter(move |pool| pool.target.id == target && !pool.is_retired())
}

fn new_slot(pool: PoolId, history: History) -> Slot {
    Slot {
        pool: pool.slot,
        state: State::Leased,
        opened_at: history.opened_at,
        lifetime_jitter: history.lifetime_jitter,
    }
}
