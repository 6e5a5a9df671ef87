//! All pools of one worker: takes the facts, finds the pool they concern, and keeps the pools of one target fair to each other.
//!
//! After each fact the caller drains [`Pools::next_order`] and arms its timer with [`Pools::deadline`]. A fact touches one pool;
//! others are looked at only when a place was given back or somebody lacks one.

use crate::books::{Books, Slot, State, expiry};
use crate::budget::Budget;
use crate::deadlines::Deadlines;
use crate::key::{BackendKey, ClientKey, KeyMap, Label, PoolGone, PoolId, PoolKey, TargetId};
use crate::order::{History, Order};
use crate::pool::{Pool, PoolStats, Target};
use forebay_core::snapshot::PoolLimits;
use forebay_core::{CloseReason, Instant, Refusal};
use std::collections::HashMap;
use std::sync::Arc;

/// The pools of one worker. See the head of the crate for the contract.
#[derive(Debug, Default)]
pub struct Pools {
    targets: KeyMap<TargetId, Arc<Target>>,
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
    /// The pools of worker number `worker`. Number 0 keeps the warm minimum of each pool.
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
        if let Some(old) = self.targets.get(&id)
            && !Arc::ptr_eq(&old.budget, &budget)
        {
            self.remove_target(now, id, &Refusal::BackendLost, CloseReason::Reconfigured);
        }
        budget.recompute(&limits);
        let target = Arc::new(Target { id, limits, budget });
        self.targets.insert(id, Arc::clone(&target));
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
        if self.targets.remove(&id).is_none() {
            return;
        }
        for pool in pools_of(&mut self.slots, id) {
            pool.retire(refusal, reason, &mut self.books);
            self.index.remove(&pool.key);
        }
        self.look_at_all(now, id);
    }

    /// The database takes `usable` connections from us (its `max_connections` less what it reserves).
    pub fn on_limits(&mut self, now: Instant, id: TargetId, usable: u32) {
        let Some(target) = self.targets.get(&id) else {
            return;
        };
        if target.budget.set_usable(usable, &target.limits) {
            self.look_at_all(now, id);
            self.books.wake_others();
        }
    }

    /// The pool of this key, made if there is none; `None` if its target is not configured.
    pub fn pool(&mut self, now: Instant, key: &PoolKey) -> Option<PoolId> {
        if let Some(slot) = self.index.get(key) {
            return self.slots.get(*slot as usize)?.as_ref().map(|pool| pool.id);
        }
        let target = Arc::clone(self.targets.get(&key.target)?);
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.generations.push(0);
            crate::pool::count(self.slots.len() - 1)
        });
        let id = PoolId {
            slot,
            generation: self.generations[slot as usize],
        };
        self.slots[slot as usize] = Some(Pool::new(key.clone(), id, target));
        self.index.insert(key.clone(), slot);
        self.tend(now, slot);
        Some(id)
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
        let found = find(&mut self.slots, pool).filter(|found| !found.is_retired());
        let found = found.ok_or(PoolGone)?;
        found.request(now, client, label, &mut self.books);
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
        let lifetime_max = pool.target.limits.lifetime_max;
        let expires = expiry(slot.opened_at, slot.lifetime_jitter, lifetime_max);
        pool.on_released(
            now,
            backend,
            Slot { expires, ..slot },
            label,
            &mut self.books,
        );
        self.settle(now, slot.pool);
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
        let slot = new_slot(found, history);
        found.on_dialed(now, backend, slot, label, &mut self.books);
        self.given_back(now, pool.slot);
    }

    /// A dial came to nothing. The pool pauses, from 50 ms doubling to 2 s; if it has nothing open in any worker and no other dial
    /// under way, its waiters are told `refusal`.
    pub fn on_dial_failed(&mut self, now: Instant, pool: PoolId, refusal: &Refusal) {
        self.dial_failed(now, pool, Some(refusal));
    }

    /// A dial came to nothing because the database is full at this moment. The pool pauses; its waiters go on waiting.
    pub fn on_dial_crowded(&mut self, now: Instant, pool: PoolId) {
        self.dial_failed(now, pool, None);
    }

    fn dial_failed(&mut self, now: Instant, pool: PoolId, refusal: Option<&Refusal>) {
        let Some(found) = find(&mut self.slots, pool) else {
            debug_assert!(false, "{pool:?} has no dial under way");
            return;
        };
        found.on_dial_failed(now, refusal, &mut self.books);
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
        if let State::Moving(_) = slot.state {
            self.books.wake_others();
        }
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
        let slot = new_slot(found, history);
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
        let targets: Vec<TargetId> = self.targets.keys().copied().collect();
        for id in targets {
            self.help(now, id);
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

    // --- After each fact ---

    /// Brings one pool to rest after a fact that concerned it alone.
    fn settle(&mut self, now: Instant, slot: u32) {
        let Some(pool) = at(&mut self.slots, slot) else {
            return;
        };
        let settled = pool.settle(now, &mut self.books);
        if settled.wants_room && self.books.idle > 0 {
            let target = Arc::clone(&pool.target);
            self.give_room(now, &target);
        }
        if settled.wake {
            self.books.wake_others();
        }
        self.arm(now, slot);
        #[cfg(any(test, debug_assertions))]
        self.check_pool(slot);
    }

    /// Moves the pool's deadline forward if need be; later ones are named when the old one fires.
    fn arm(&mut self, now: Instant, slot: u32) {
        let Some(pool) = at(&mut self.slots, slot) else {
            return;
        };
        if pool.is_retired() && pool.is_empty() {
            return self.drop_pool(now, slot);
        }
        let next = pool.deadline(now, &self.books);
        if next < self.deadlines.get(slot) {
            self.deadlines.set(slot, next);
        }
    }

    /// A place or a dial of this pool's target may be free again: whoever lacks one tries, in this worker and the others.
    fn given_back(&mut self, now: Instant, slot: u32) {
        let Some(pool) = at(&mut self.slots, slot) else {
            return;
        };
        let (target, share) = (Arc::clone(&pool.target), Arc::clone(&pool.share));
        pool.warm(now, &mut self.books);
        self.settle(now, slot);
        if target.budget.is_wanted() || share.starving() > 0 {
            self.retry(now, &target);
            self.books.wake_others();
        }
    }

    /// Tries again for each pool of this worker that lacks something, longest waiting first.
    fn retry(&mut self, now: Instant, target: &Target) {
        let mut slots = std::mem::take(&mut self.scratch);
        slots.clear();
        target.budget.lock().slots_of(self.books.worker, &mut slots);
        for slot in slots.drain(..) {
            // The board is the target's own, but a slot may have been left by its pool since.
            if at(&mut self.slots, slot).is_some_and(|pool| pool.target.id == target.id) {
                self.settle(now, slot);
            }
        }
        self.scratch = slots;
    }

    fn help(&mut self, now: Instant, id: TargetId) {
        let Some(target) = self.targets.get(&id).map(Arc::clone) else {
            return;
        };
        self.shed(&target);
        self.lend(now, &target);
        self.give_room(now, &target);
        self.retry(now, &target);
    }

    /// Sends idle backends to workers that wait for them.
    fn lend(&mut self, now: Instant, target: &Target) {
        if self.books.idle == 0 {
            return;
        }
        let mut shares = Vec::new();
        target
            .budget
            .lock()
            .starving_shares(self.books.worker, &mut shares);
        if shares.is_empty() {
            return;
        }
        for pool in pools_of(&mut self.slots, target.id) {
            if shares.contains(&pool.share.id) {
                pool.lend_idle(now, &mut self.books);
            }
        }
    }

    /// Closes idle backends of pools that need them less, the longest idle first, until every want is covered that can be.
    fn give_room(&mut self, now: Instant, target: &Target) {
        while self.books.idle > 0
            && let Some(want) = target.budget.uncovered(None)
        {
            let pools = pools_of(&mut self.slots, target.id);
            let idle = pools.filter_map(|pool| Some((pool.idle.front()?.since, pool)));
            let giving = idle.filter(|(since, pool)| pool.gives_room(now, &want, *since));
            match giving.min_by_key(|(since, _)| *since) {
                Some((_, pool)) => pool.close_longest_idle(CloseReason::GivenUp, &mut self.books),
                None => return self.arm_givers(now, target),
            }
        }
    }

    /// Those with idle backends too fresh to be given up look again when they no longer are.
    fn arm_givers(&mut self, now: Instant, target: &Target) {
        for slot in 0..self.slots.len() {
            let pool = self.slots[slot].as_ref();
            if pool.is_some_and(|pool| pool.target.id == target.id && !pool.idle.is_empty()) {
                self.arm(now, crate::pool::count(slot));
            }
        }
    }

    /// Closes idle backends while there are more than the budget allows, as after a reload.
    fn shed(&mut self, target: &Target) {
        while self.books.idle > 0 && target.budget.is_over() {
            let pools = pools_of(&mut self.slots, target.id);
            let idle = pools.filter_map(|pool| Some((pool.idle.front()?.since, pool)));
            let Some((_, pool)) = idle.min_by_key(|(since, _)| *since) else {
                return;
            };
            pool.close_longest_idle(CloseReason::Reconfigured, &mut self.books);
        }
    }

    /// Looks at every pool of a target after its limits changed.
    fn look_at_all(&mut self, now: Instant, id: TargetId) {
        if let Some(target) = self.targets.get(&id).map(Arc::clone) {
            self.shed(&target);
        }
        for slot in 0..crate::pool::count(self.slots.len()) {
            if at(&mut self.slots, slot).is_some_and(|pool| pool.target.id == id) {
                self.tend(now, slot);
            }
        }
    }

    /// Does for one pool whatever its time has come for.
    fn tend(&mut self, now: Instant, slot: u32) {
        let Some(pool) = at(&mut self.slots, slot) else {
            return self.deadlines.set(slot, Instant::FAR_FUTURE);
        };
        pool.expire_waiters(now, &mut self.books);
        pool.queue.shrink();
        pool.close_expired(now, &mut self.books);
        pool.trim(now, &mut self.books);
        pool.warm(now, &mut self.books);
        if pool.is_done(now) {
            return self.drop_pool(now, slot);
        }
        let target = Arc::clone(&pool.target);
        self.deadlines.set(slot, Instant::FAR_FUTURE);
        self.settle(now, slot);
        if !target.budget.is_wanted() || self.books.idle == 0 {
            return;
        }
        self.give_room(now, &target);
    }

    /// Forgets an empty pool. Whoever still holds its name finds it gone.
    fn drop_pool(&mut self, now: Instant, slot: u32) {
        self.deadlines.set(slot, Instant::FAR_FUTURE);
        let Some(mut pool) = self.slots[slot as usize].take() else {
            return;
        };
        pool.detach(now, &mut self.books);
        if self.index.get(&pool.key) == Some(&slot) {
            self.index.remove(&pool.key);
        }
        self.generations[slot as usize] = self.generations[slot as usize].wrapping_add(1);
        self.vacant.push(slot);
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

fn new_slot(pool: &Pool, history: History) -> Slot {
    let History {
        opened_at,
        lifetime_jitter,
        ..
    } = history;
    let expires = expiry(opened_at, lifetime_jitter, pool.target.limits.lifetime_max);
    Slot {
        pool: pool.id.slot,
        state: State::Leased,
        opened_at,
        expires,
        lifetime_jitter,
    }
}
