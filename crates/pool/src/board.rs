//! The board: what workers lack of one target, written where the others look.
//!
//! Two kinds of want. A *move want* says "my clients of this pool have waited since …; whoever has a backend of it that nobody
//! older needs, move it to me". A *dial want* says "I could open so many backends, but the budget or the connect gate is full".
//! Nothing here is touched while nobody lacks anything.

use crate::budget::{sub, take_below};
use crate::key::{KeyMap, PoolKey};
use forebay_core::Instant;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Waiters of one pool and worker that the board knows by their time of arrival; the rest follow when these are served.
pub(crate) const POSTED_WAITERS_MAX: usize = 8;

/// A full list of waiters is written anew only when its oldest has become younger by more than this: where many wait in several
/// workers, each of them would otherwise lock the board for every request. A list that is a little old asks a little too early.
const POSTED_AGE_MAX: Duration = Duration::from_millis(1);

/// What all workers together have of one pool.
#[derive(Debug)]
pub(crate) struct Share {
    /// Unique within its budget.
    pub(crate) id: u32,
    /// Backends open and being opened.
    places: AtomicU32,
    /// Backends open.
    open: AtomicU32,
    /// Workers that have this pool.
    holders: AtomicU32,
    /// Workers with a move want on the board.
    starving: AtomicU32,
    /// Nanoseconds: a waiter must have arrived later than this for anybody else's want to come before it.
    wanted_before: AtomicU64,
    /// Clients that wait; touched only by those who find nothing idle.
    waiting: AtomicU32,
}

impl Share {
    fn new(id: u32) -> Share {
        Share {
            id,
            places: AtomicU32::default(),
            open: AtomicU32::default(),
            holders: AtomicU32::default(),
            starving: AtomicU32::default(),
            wanted_before: AtomicU64::new(u64::MAX),
            waiting: AtomicU32::default(),
        }
    }

    /// Whether [`Board::claim`] may find somebody who comes before a waiter that arrived at `own`. Cheap: part of every release while
    /// others starve.
    pub(crate) fn may_be_claimed(&self, own: Option<Instant>) -> bool {
        let before = self.wanted_before.load(Ordering::SeqCst);
        own.map_or(before < u64::MAX, |own| before < own.as_nanos())
    }

    /// Backends open and being opened, in all workers.
    pub(crate) fn places(&self) -> u32 {
        self.places.load(Ordering::SeqCst)
    }

    /// Backends open, in all workers.
    pub(crate) fn open(&self) -> u32 {
        self.open.load(Ordering::SeqCst)
    }

    /// Backends being opened, in all workers. Read before [`Share::open`] it misses none: one that opens is in either.
    pub(crate) fn dialing(&self) -> u32 {
        self.places().saturating_sub(self.open())
    }

    /// Workers that have this pool.
    pub(crate) fn holders(&self) -> u32 {
        self.holders.load(Ordering::Relaxed)
    }

    /// Workers whose clients of this pool wait for a move. Cheap: part of every release.
    pub(crate) fn starving(&self) -> u32 {
        self.starving.load(Ordering::SeqCst)
    }

    /// Clients that wait, in all workers.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A client joins the queue of its worker, if fewer than `queue_max` wait in all workers.
    pub(crate) fn join_queue(&self, queue_max: u32) -> bool {
        take_below(&self.waiting, queue_max)
    }

    /// A client that waited does no longer.
    pub(crate) fn leave_queue(&self) {
        sub(&self.waiting, 1);
    }

    /// Takes a place in the pool, if it has fewer than `pool_size_max`.
    pub(crate) fn take(&self, pool_size_max: u32) -> bool {
        take_below(&self.places, pool_size_max)
    }

    /// Gives the place of a backend that never opened back.
    pub(crate) fn give_back(&self) {
        sub(&self.places, 1);
    }

    /// A backend opened.
    pub(crate) fn add_open(&self) {
        self.open.fetch_add(1, Ordering::SeqCst);
    }

    /// An open backend closed.
    pub(crate) fn sub_open(&self) {
        sub(&self.open, 1);
        sub(&self.places, 1);
    }
}

/// The waiting clients of one pool in one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MoveWant {
    pub(crate) worker: u16,
    pub(crate) slot: u32,
    /// When the oldest of them arrived, oldest first.
    pub(crate) since: [Instant; POSTED_WAITERS_MAX],
    pub(crate) len: u8,
    /// How much older than a giver's own waiter ours must be: nothing if we have no backend at all to wait for.
    pub(crate) handicap: Duration,
}

impl MoveWant {
    /// Says the same as `newer` to whoever reads it, or nearly so where both lists are full.
    pub(crate) fn stands_for(&self, newer: &MoveWant) -> bool {
        let lists = [self, newer].map(|want| &want.since[..usize::from(want.len)]);
        let full = lists.iter().all(|list| list.len() == POSTED_WAITERS_MAX);
        self.handicap == newer.handicap
            && (lists[0] == lists[1]
                || full && newer.since[0].since(self.since[0]) < POSTED_AGE_MAX)
    }
}

/// A move want and what happened to it.
#[derive(Debug)]
struct MoveEntry {
    want: MoveWant,
    /// Backends that are on their way to it; they serve the oldest ones.
    incoming: u32,
    /// Whether the others have been woken for it since it last got something.
    asked: bool,
}

impl MoveEntry {
    /// Arrival of the oldest waiter that no backend is on its way to.
    fn next(&self) -> Option<Instant> {
        let waiting = &self.want.since[..usize::from(self.want.len)];
        waiting.get(self.incoming as usize).copied()
    }

    /// Waiters that arrived before `since`; `u32::MAX` if there may be more than are listed.
    fn older(&self, since: Instant) -> u32 {
        let waiting = &self.want.since[..usize::from(self.want.len)];
        let older = waiting.partition_point(|other| *other < since);
        if older == POSTED_WAITERS_MAX {
            return u32::MAX;
        }
        crate::pool::count(older)
    }
}

/// Backends a pool of one worker would open if it could.
#[derive(Debug, Clone)]
pub(crate) struct DialWant {
    /// Arrival of the client the first of them is for.
    pub(crate) since: Instant,
    pub(crate) count: u32,
    pub(crate) share: Arc<Share>,
    /// Whether one of them could be opened since the want was last posted.
    pub(crate) progress: bool,
}

#[derive(Debug)]
struct DialEntry {
    count: u32,
    share: Arc<Share>,
    asked: bool,
}

/// A dial want that only closing somebody else's backend can serve.
#[derive(Debug)]
pub(crate) struct Uncovered {
    pub(crate) since: Instant,
    pub(crate) share: Arc<Share>,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Board {
    shares: HashMap<PoolKey, Arc<Share>>,
    share_next: u32,
    /// By share; at most one entry for each worker.
    moves: KeyMap<u32, Vec<MoveEntry>>,
    /// By arrival, then worker and slot.
    dials: BTreeMap<(Instant, u16, u32), DialEntry>,
    /// Sum of their counts.
    dials_sum: u32,
}

impl Board {
    pub(crate) fn attach(&mut self, key: &PoolKey) -> Arc<Share> {
        let next = &mut self.share_next;
        let share = self.shares.entry(key.clone()).or_insert_with(|| {
            *next = next.wrapping_add(1);
            Arc::new(Share::new(*next))
        });
        share.holders.fetch_add(1, Ordering::Relaxed);
        Arc::clone(share)
    }

    pub(crate) fn detach(&mut self, key: &PoolKey, share: &Share) {
        // A backend on its way between two workers keeps the share's counters alive.
        if share.holders.fetch_sub(1, Ordering::Relaxed) == 1 && share.places() == 0 {
            self.shares.remove(key);
            self.moves.remove(&share.id);
        }
    }

    /// Replaces what a worker's pool says about its waiters; `arrived` of the backends on their way have come. True if the other
    /// workers should be woken.
    pub(crate) fn post_moves(&mut self, share: &Share, want: MoveWant, arrived: u32) -> bool {
        let entries = self.moves.entry(share.id).or_default();
        let place = entries
            .iter()
            .position(|entry| entry.want.worker == want.worker);
        let index = place.unwrap_or_else(|| {
            entries.push(MoveEntry {
                want,
                incoming: 0,
                asked: false,
            });
            entries.len() - 1
        });
        let entry = &mut entries[index];
        entry.want = want;
        entry.incoming = entry.incoming.saturating_sub(arrived);
        if arrived > 0 || want.len == 0 {
            entry.asked = false;
        }
        let wake = entry.next().is_some() && !entry.asked;
        entry.asked |= wake;
        if want.len == 0 && entry.incoming == 0 {
            entries.swap_remove(index);
        }
        self.count_starving(share);
        wake
    }

    /// Finds the worker that a free backend of `share` should move to: one with a waiter older than `own`, the oldest first.
    pub(crate) fn claim(
        &mut self,
        share: &Share,
        worker: u16,
        own: Option<Instant>,
    ) -> Option<u16> {
        let entries = self.moves.get_mut(&share.id)?;
        let (_, entry) = entries
            .iter_mut()
            .filter(|entry| entry.want.worker != worker)
            .filter_map(|entry| Some((entry.next()?, entry)))
            .filter(|(next, entry)| own.is_none_or(|own| *next + entry.want.handicap < own))
            .min_by_key(|(next, entry)| (*next, entry.want.worker))?;
        entry.incoming += 1;
        let worker = entry.want.worker;
        self.note_oldest(share);
        Some(worker)
    }

    /// A backend that was on its way to `worker` died first.
    pub(crate) fn unclaim(&mut self, share: &Share, worker: u16) {
        let Some(entries) = self.moves.get_mut(&share.id) else {
            return;
        };
        if let Some(entry) = entries.iter_mut().find(|entry| entry.want.worker == worker) {
            entry.incoming = entry.incoming.saturating_sub(1);
        }
        entries.retain(|entry| entry.want.len > 0 || entry.incoming > 0);
        self.count_starving(share);
    }

    /// Backends of `share` that are on their way: to `worker`, and to all others.
    pub(crate) fn incoming(&self, share: &Share, worker: u16) -> (u32, u32) {
        let mut incoming = (0, 0);
        for entry in self.moves.get(&share.id).into_iter().flatten() {
            match entry.want.worker == worker {
                true => incoming.0 += entry.incoming,
                false => incoming.1 += entry.incoming,
            }
        }
        incoming
    }

    /// Waiters of other workers than `worker` that arrived before `since`, as far as the board knows them; at most `most`, those that
    /// wait there.
    pub(crate) fn older(&self, share: &Share, worker: u16, since: Instant, most: u32) -> u32 {
        let entries = self.moves.get(&share.id).into_iter().flatten();
        let others = entries.filter(|entry| entry.want.worker != worker);
        let older = others.map(|entry| entry.older(since));
        older.fold(0, u32::saturating_add).min(most)
    }

    fn count_starving(&mut self, share: &Share) {
        let entries = self.moves.get(&share.id).map_or(&[][..], Vec::as_slice);
        let starving = entries.iter().filter(|entry| entry.want.len > 0).count();
        if entries.is_empty() {
            self.moves.remove(&share.id);
        }
        share.starving.store(
            u32::try_from(starving).unwrap_or(u32::MAX),
            Ordering::SeqCst,
        );
        self.note_oldest(share);
    }

    fn note_oldest(&self, share: &Share) {
        let entries = self.moves.get(&share.id).map_or(&[][..], Vec::as_slice);
        let wanted = entries
            .iter()
            .filter_map(|entry| Some((entry.next()? + entry.want.handicap).as_nanos()));
        share
            .wanted_before
            .store(wanted.min().unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Shares that somebody else waits for, into `shares`.
    pub(crate) fn starving_shares(&self, worker: u16, shares: &mut Vec<u32>) {
        let wanted = |entry: &MoveEntry| entry.want.worker != worker && entry.next().is_some();
        shares.extend(
            self.moves
                .iter()
                .filter(|(_, entries)| entries.iter().any(wanted))
                .map(|(share, _)| *share),
        );
    }

    /// Pools of `worker` that have something on the board, longest waiting first, into `slots`.
    pub(crate) fn slots_of(&self, worker: u16, slots: &mut Vec<u32>) {
        slots.extend(
            self.dials
                .keys()
                .filter(|key| key.1 == worker)
                .map(|key| key.2),
        );
        let moves = self.moves.values().flatten();
        let own = moves.filter(|entry| entry.want.worker == worker && entry.want.len > 0);
        slots.extend(own.map(|entry| entry.want.slot));
    }

    pub(crate) fn post_dials(
        &mut self,
        old: Option<Instant>,
        new: Option<DialWant>,
        (worker, slot): (u16, u32),
    ) -> bool {
        let before = old.and_then(|since| self.dials.remove(&(since, worker, slot)));
        self.dials_sum -= before.as_ref().map_or(0, |entry| entry.count);
        let Some(want) = new else { return false };
        let asked = before.is_some_and(|entry| entry.asked) && !want.progress;
        let entry = DialEntry {
            count: want.count,
            share: want.share,
            asked: true,
        };
        self.dials_sum += want.count;
        self.dials.insert((want.since, worker, slot), entry);
        !asked
    }

    /// Backends wanted.
    pub(crate) fn dials_sum(&self) -> u32 {
        self.dials_sum
    }

    /// Backends wanted for clients older than `since`, counted up to `enough`.
    pub(crate) fn dials_older(&self, since: Instant, worker: u16, slot: u32, enough: u32) -> u32 {
        let mut sum: u32 = 0;
        for (key, entry) in self.dials.range(..(since, worker, slot)) {
            if sum >= enough {
                break;
            }
            if (key.1, key.2) != (worker, slot) {
                sum = sum.saturating_add(entry.count);
            }
        }
        sum
    }

    pub(crate) fn uncovered(&self, supply: u32, except: Option<&Share>) -> Option<Uncovered> {
        let mut supply = supply;
        for (key, entry) in &self.dials {
            let own = except.is_some_and(|share| share.id == entry.share.id);
            if entry.count > supply && !own {
                return Some(Uncovered {
                    since: key.0,
                    share: Arc::clone(&entry.share),
                });
            }
            supply = supply.saturating_sub(entry.count);
        }
        None
    }
}
