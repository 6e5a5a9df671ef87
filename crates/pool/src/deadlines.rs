//! Which pool has to be looked at next, and when.
//!
//! A binary heap with one entry per pool that knows each entry's place, so that a deadline is moved rather than added again: a
//! pool whose queue fills and empties a thousand times a second leaves nothing behind. Making a deadline later is left to the
//! moment it fires; the pool then names its next one.

use forebay_core::Instant;

/// `places` of a slot that has no entry.
const NOWHERE: u32 = u32::MAX;

/// Deadlines of pools, by slot.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    heap: Vec<(Instant, u32)>,
    /// Index into `heap`, by slot.
    places: Vec<u32>,
}

impl Deadlines {
    /// The earliest deadline.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.0)
    }

    /// The pool whose deadline has come.
    pub(crate) fn due(&self, now: Instant) -> Option<u32> {
        self.heap
            .first()
            .filter(|entry| entry.0 <= now)
            .map(|entry| entry.1)
    }

    /// The deadline of `slot`, the far future if it has none.
    pub(crate) fn get(&self, slot: u32) -> Instant {
        match self.places.get(slot as usize) {
            Some(&place) if place != NOWHERE => self.heap[place as usize].0,
            _ => Instant::FAR_FUTURE,
        }
    }

    /// Sets the deadline of `slot`; the far future removes it.
    pub(crate) fn set(&mut self, slot: u32, at: Instant) {
        if self.places.len() <= slot as usize {
            self.places.resize(slot as usize + 1, NOWHERE);
        }
        let place = self.places[slot as usize];
        if at == Instant::FAR_FUTURE {
            self.remove(place);
        } else if place == NOWHERE {
            self.heap.push((at, slot));
            self.places[slot as usize] = index_of(self.heap.len() - 1);
            self.rise(self.heap.len() - 1);
        } else {
            self.heap[place as usize].0 = at;
            self.settle(place as usize);
        }
    }

    fn remove(&mut self, place: u32) {
        if place == NOWHERE {
            return;
        }
        let (_, slot) = self.heap.swap_remove(place as usize);
        self.places[slot as usize] = NOWHERE;
        if let Some(&(_, moved)) = self.heap.get(place as usize) {
            self.places[moved as usize] = place;
            self.settle(place as usize);
        }
    }

    fn settle(&mut self, place: usize) {
        let place = self.rise(place);
        self.sink(place);
    }

    fn rise(&mut self, mut place: usize) -> usize {
        while place > 0 && self.heap[place] < self.heap[(place - 1) / 2] {
            self.swap(place, (place - 1) / 2);
            place = (place - 1) / 2;
        }
        place
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let children = [2 * place + 1, 2 * place + 2];
            let present = children
                .into_iter()
                .filter(|&child| child < self.heap.len());
            let Some(least) = present.min_by_key(|&child| self.heap[child]) else {
                return;
            };
            if self.heap[place] <= self.heap[least] {
                return;
            }
            self.swap(place, least);
            place = least;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        for place in [one, other] {
            let slot = self.heap[place].1;
            self.places[slot as usize] = index_of(place);
        }
    }
}

/// Slots are `u32`, so there are never more entries.
fn index_of(place: usize) -> u32 {
    u32::try_from(place).expect("no more entries than slots")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_earliest_of_all_that_were_set_is_first(sets in prop::collection::vec((0u32..20, 0u64..50), 1..200)) {
            let mut deadlines = Deadlines::default();
            let mut model = std::collections::BTreeMap::new();
            for (slot, at) in sets {
                // 0 stands for "none any more".
                let at = if at == 0 { Instant::FAR_FUTURE } else { Instant::from_nanos(at) };
                deadlines.set(slot, at);
                model.insert(slot, at);
                let first = model.values().min().copied().filter(|at| *at != Instant::FAR_FUTURE);
                prop_assert_eq!(deadlines.first(), first);
                for (slot, at) in &model {
                    prop_assert_eq!(deadlines.get(*slot), *at);
                }
            }
        }
    }
}
