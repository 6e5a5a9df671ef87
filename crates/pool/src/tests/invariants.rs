//! What must always hold in a fleet: the pools' own invariants, and that what workers share is the sum of what each has.

use super::fleet::Fleet;
use crate::Pools;
use std::collections::{BTreeMap, BTreeSet};

impl Fleet {
    /// Looks at all of it.
    pub(super) fn check(&mut self) {
        self.workers.iter().for_each(Pools::check);
        let stats = || {
            self.workers
                .iter()
                .flat_map(Pools::pools)
                .map(|(_, _, stats)| stats)
        };
        let in_mail = self
            .backends
            .values()
            .filter(|backend| backend.in_mail)
            .count();
        let dialing: u32 = stats().map(|stats| stats.dialing).sum();
        let open: u32 = stats()
            .map(|stats| stats.idle + stats.leased + stats.closing + stats.moving)
            .sum();
        let open = open + u32::try_from(in_mail).expect("few");
        assert_eq!(self.budget.dialing(), dialing, "dials under way");
        assert_eq!(self.budget.used(), open + dialing, "places in use");
        self.check_waiting();
        self.lowered &= self.budget.used() > self.budget.max();
        assert!(
            self.lowered || self.budget.used() <= self.budget.max(),
            "the budget is exceeded"
        );
        let leased: BTreeSet<_> = self
            .backends
            .values()
            .filter_map(|backend| backend.client)
            .collect();
        let total: u32 = stats().map(|stats| stats.leased).sum();
        assert_eq!(total as usize, leased.len(), "leases");
    }

    /// The shares count who waits, over all workers.
    fn check_waiting(&self) {
        let mut waiting: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
        for pool in self
            .workers
            .iter()
            .flat_map(|worker| worker.slots.iter().flatten())
        {
            let sum = waiting.entry(pool.share.id).or_default();
            *sum = (sum.0 + pool.stats().waiting, pool.share.waiting());
        }
        for (queued, counted) in waiting.values() {
            assert_eq!(queued, counted, "clients that wait");
        }
    }
}
