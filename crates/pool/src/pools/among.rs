//! What follows a fact in other pools: places change hands between pools of a target, and between workers.

use super::*;
use crate::pool::count;

impl Pools {
    /// Brings one pool to rest after a fact that concerned it alone.
    pub(super) fn settle(&mut self, now: Instant, slot: u32) {
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
        let next = pool.deadline(now, self.books.worker);
        if next < self.deadlines.get(slot) {
            self.deadlines.set(slot, next);
        }
    }

    /// A place or a dial of this pool's target may be free again: whoever lacks one tries, in this worker and the others.
    pub(super) fn given_back(&mut self, now: Instant, slot: u32) {
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

    /// Does what another worker's call calls for, for one target.
    pub(super) fn help(&mut self, now: Instant, index: usize) {
        let known = &mut self.targets[index];
        let target = Arc::clone(&known.target);
        let epoch = target.budget.epoch();
        if std::mem::replace(&mut known.epoch, epoch) != epoch {
            self.look_at_all(now, target.id);
        }
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
                self.arm(now, count(slot));
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
    pub(super) fn look_at_all(&mut self, now: Instant, id: TargetId) {
        if let Some(known) = self.known(id) {
            let target = Arc::clone(&known.target);
            self.shed(&target);
        }
        for slot in 0..count(self.slots.len()) {
            if at(&mut self.slots, slot).is_some_and(|pool| pool.target.id == id) {
                self.tend(now, slot);
            }
        }
    }

    /// Does for one pool whatever its time has come for.
    pub(super) fn tend(&mut self, now: Instant, slot: u32) {
        let Some(pool) = at(&mut self.slots, slot) else {
            return self.deadlines.set(slot, Instant::FAR_FUTURE);
        };
        pool.expire_waiters(now, &mut self.books);
        pool.shrink();
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
