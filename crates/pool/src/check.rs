//! The invariants of one worker's pools, checked after each fact in tests and debug builds.

use crate::books::State;
use crate::pool::{Pool, count};
use crate::pools::Pools;

impl Pools {
    /// Panics if an invariant does not hold; see the head of the crate.
    pub fn check(&self) {
        for pool in self.slots.iter().flatten() {
            self.check_one(pool);
            self.check_states(pool);
        }
        let idle: usize = self
            .slots
            .iter()
            .flatten()
            .map(|pool| pool.idle.len())
            .sum();
        assert_eq!(idle, self.books.idle, "idle backends");
        let waiting: usize = self
            .slots
            .iter()
            .flatten()
            .map(|pool| pool.queue.len())
            .sum();
        assert_eq!(waiting, self.books.waiting.len(), "waiting clients");
    }

    /// The part of [`Pools::check`] whose cost is the size of one pool.
    pub(crate) fn check_pool(&self, slot: u32) {
        if let Some(Some(pool)) = self.slots.get(slot as usize) {
            self.check_one(pool);
        }
    }

    fn check_one(&self, pool: &Pool) {
        let stats = pool.stats();
        assert!(
            stats.idle == 0 || stats.waiting == 0,
            "somebody waits beside an idle backend: {stats:?}"
        );
        for idle in pool.idle.iter() {
            let slot = self.books.backends.get(&idle.backend);
            assert!(
                slot.is_some_and(|slot| slot.state == State::Idle && slot.pool == pool.id.slot),
                "{:?} is idle in one place only: {slot:?}",
                idle.backend
            );
        }
        for waiter in pool.queue.iter() {
            assert!(
                self.books.waiting.contains_key(&waiter.client),
                "{:?} waits unknown",
                waiter.client
            );
        }
        if let Some(at) = self.deadline() {
            let oldest = pool.queue.oldest();
            assert!(
                oldest.is_none_or(|since| at <= since + pool.wait_max()),
                "a wait without an end"
            );
        } else {
            assert!(pool.queue.is_empty(), "a wait without an end");
        }
        assert!(pool.idle.aged() <= pool.idle.len(), "aged and not idle");
    }

    fn check_states(&self, pool: &Pool) {
        let stats = pool.stats();
        let slots = || {
            self.books
                .backends
                .values()
                .filter(|slot| slot.pool == pool.id.slot)
        };
        let of = |state: State| count(slots().filter(|slot| slot.state == state).count());
        let moving = slots()
            .filter(|slot| matches!(slot.state, State::Moving(_)))
            .count();
        assert_eq!(of(State::Idle), stats.idle, "idle");
        assert_eq!(of(State::Leased), stats.leased, "leased");
        assert_eq!(of(State::Closing), stats.closing, "closing");
        assert_eq!(count(moving), stats.moving, "moving");
    }
}
