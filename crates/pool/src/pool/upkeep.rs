//! What a pool does because time passed or its limits changed: ages, trims, keeps warm, retires, and says when to look again.

use super::*;
use forebay_core::CloseReason;

/// A pool below its warm minimum for lack of room looks again after this.
const WARM_RETRY: Duration = Duration::from_secs(1);
/// A queue that once was longer than this gives its memory back when it is empty.
const QUEUE_KEPT: usize = 256;

impl Pool {
    /// Counts those idle for the idle timeout and closes what is beyond the share that may stay.
    pub(crate) fn trim(&mut self, now: Instant, books: &mut Books) {
        let target = Arc::clone(&self.target);
        while self.idle.age_one(now, target.limits.idle_timeout) {
            target.budget.add_aged();
        }
        let kept = target.budget.aged_max(&target.limits);
        while self.idle.aged() > 0
            && target.budget.aged() > kept
            && self.share.open().saturating_sub(self.closing) > target.limits.pool_size_min
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

    /// Backends short of the warm minimum, which counts those of all workers; the worker that notices opens them.
    fn cold(&self) -> u32 {
        let limits = &self.target.limits;
        if limits.pool_size_min == 0 || self.retired.is_some() {
            return 0;
        }
        let size_min = limits.pool_size_min.min(limits.pool_size_max);
        size_min.saturating_sub(self.share.places())
    }

    /// Opens what the warm minimum lacks; those who wait go first.
    pub(crate) fn warm(&mut self, now: Instant, books: &mut Books) {
        let lacking = self.cold();
        if lacking == 0 || now < self.warm_from {
            return;
        }
        let size_min = self.target.limits.pool_size_min;
        for _ in 0..lacking.min(self.dials_now(now)) {
            if !self.dial_one(Instant::FAR_FUTURE, size_min, books) {
                return;
            }
        }
    }

    /// Gives back what a storm of waiting clients took.
    pub(crate) fn shrink(&mut self) {
        self.queue.shrink(QUEUE_KEPT);
    }

    /// When it must be looked at next though nothing happens; the far future if never. Also notes since when it is empty.
    pub(crate) fn deadline(&mut self, now: Instant, worker: u16) -> Instant {
        let limits = &self.target.limits;
        let mut next = self.idle.expires_from();
        next = next.min(self.idle.ages_at(limits.idle_timeout).unwrap_or(next));
        if let Some(oldest) = self.queue.oldest() {
            next = next.min(oldest + self.wait_max());
            if self.has_hopeful() {
                let index = self.first_without_prospect(worker);
                let since = index.and_then(|index| self.queue.since_at(index));
                // What others open may also go to one of theirs, without a word.
                next = next.min(since.unwrap_or(now) + MOVE_GRACE);
            }
            next = next.min(later(self.dial_from, now));
            if self.posted.moves.is_none() && self.share.holders() > 1 {
                next = next.min(later(oldest + ASK_AFTER, now));
            }
        }
        if let Some(idle) = self.idle.front()
            && self.target.budget.is_wanted()
        {
            next = next.min(later(idle.since + IDLE_GRACE, now));
        }
        if self.cold() > 0 {
            next = next.min(match self.warm_from {
                from if from > now => from,
                _ => now + WARM_RETRY,
            });
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
