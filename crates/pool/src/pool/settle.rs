//! What a pool does after each fact: dials for those who wait, and tells the board what is still lacking.

use super::*;
use crate::board::{DialWant, MoveWant};

impl Pool {
    /// Dials what is of use, and tells the board what is still lacking.
    pub(crate) fn settle(&mut self, now: Instant, books: &mut Books) -> Settled {
        if self.queue.is_empty() && self.posted.is_nothing() && self.arrived == 0 {
            return Settled::default();
        }
        let before = self.posted.kinds();
        let mut wake = self.settle_once(now, books);
        let after = self.posted.kinds();
        if (after.0 && !before.0) || (after.1 && !before.1) {
            // Whoever gave a place back before the board showed us waiting woke nobody: look again now that it does.
            wake |= self.settle_once(now, books);
        }
        Settled {
            wake,
            wants_room: self.posted.dials.is_some(),
        }
    }

    fn settle_once(&mut self, now: Instant, books: &mut Books) -> bool {
        let lacking = self.dial(now, books);
        let for_dials = self.post_dials(lacking, books);
        let for_moves = self.post_moves(now, lacking > 0, books);
        for_dials || for_moves
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
            .min(room)
            .min(self.dials_now(now));
        let size_max = self.target.limits.pool_size_max;
        while lacking > 0 {
            let since = self.queue.since_at(self.dialing as usize).unwrap_or(now);
            if !self.dial_one(since, size_max, books) {
                break;
            }
            lacking -= 1;
        }
        lacking
    }

    /// How many dials may be started now, whatever the shared bounds say: none in a pause, and after a failure a single one, whose
    /// success lets the others follow.
    pub(super) fn dials_now(&self, now: Instant) -> u32 {
        if now < self.dial_from || self.retired.is_some() {
            0
        } else if self.failures > 0 {
            1_u32.saturating_sub(self.dialing)
        } else {
            u32::MAX
        }
    }

    /// Opens one backend for somebody who has waited since `since`, if all bounds allow it and the pool stays within `size_max`.
    pub(super) fn dial_one(&mut self, since: Instant, size_max: u32, books: &mut Books) -> bool {
        let Target { limits, budget, .. } = &*self.target;
        if !budget.is_turn(since, books.worker, self.id.slot, limits.dials_max)
            || !self.share.take(size_max)
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

    /// Writes on the board how many backends it would open. Returns whether to wake the others.
    fn post_dials(&mut self, lacking: u32, books: &Books) -> bool {
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
        let progress = std::mem::take(&mut self.progress);
        if old == new && !(progress && new.is_some()) {
            return false;
        }
        let want = new.map(|(since, count)| DialWant {
            since,
            count,
            share: Arc::clone(&self.share),
            progress,
        });
        budget.post_dials(old.map(|old| old.0), want, (books.worker, self.id.slot))
    }

    /// Writes on the board whose clients wait. Returns whether to wake the others.
    fn post_moves(&mut self, now: Instant, lacking: bool, books: &Books) -> bool {
        let want = self.move_want(now, lacking, books.worker);
        let unchanged = match (&self.posted.moves, &want) {
            (None, None) => true,
            (Some(old), Some(new)) => old.stands_for(new),
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
            !self.posted.is_nothing() || lacking || self.open() == 0 || oldest + ASK_AFTER <= now;
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
}
