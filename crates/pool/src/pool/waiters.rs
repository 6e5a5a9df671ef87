//! The clients of a pool: who is served at once, who may wait and for how long, who is refused.

use super::*;
use crate::books::Place;

impl Pool {
    /// A session wants a backend: the hot half is everything before `wait`.
    pub(crate) fn request(
        &mut self,
        now: Instant,
        client: ClientKey,
        label: Label,
        suits: impl Fn(BackendKey) -> bool,
        books: &mut Books,
    ) {
        if self.share.starving() > 0 {
            self.lend_idle(now, books);
        }
        match self.take_idle(label, suits, books) {
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
        let queue_max = limits.queue_max;
        if limits.borrow_timeout.is_zero() && !self.may_wait_without_timeout(now, books) {
            return books.refuse(client, Refusal::BorrowTimeout);
        }
        if !self.share.join_queue(queue_max) {
            return books.refuse(client, Refusal::QueueFull { max: queue_max });
        }
        let ticket = self.queue.push(client, now);
        let pool = self.id.slot;
        books.waiting.insert(client, Place { pool, ticket });
    }

    /// With a borrow timeout of zero nobody waits for what others use, but for a backend that is opened at once or that another
    /// worker may have idle: otherwise the first client of all would be refused. Another worker may also open one that its own
    /// clients no longer need, because an idle one came first.
    fn may_wait_without_timeout(&mut self, now: Instant, books: &mut Books) -> bool {
        let size_max = self.target.limits.pool_size_max;
        self.dialing > count(self.queue.len())
            || (self.dials_now(now) > 0 && self.dial_one(now, size_max, books))
            // In this order, or one that opens meanwhile is in neither.
            || self.one_to_spare(books.worker)
            || self.share.open() > self.open() + self.closing + self.moving
    }

    /// More backends are being opened or moving, in all workers, than clients wait for them.
    fn one_to_spare(&self, worker: u16) -> bool {
        let dialing = self.share.dialing();
        if dialing == 0 {
            return false;
        }
        let board = self.target.budget.lock();
        let (own, others) = board.incoming(&self.share, worker);
        dialing + own + others > self.share.waiting()
    }

    pub(crate) fn withdraw(&mut self, ticket: u64) -> bool {
        let waited = self.queue.remove(ticket).is_some();
        if waited {
            self.share.leave_queue();
        }
        waited
    }

    /// Refuses the clients whose time is up.
    pub(crate) fn expire_waiters(&mut self, now: Instant, books: &mut Books) {
        let timeout = self.wait_max();
        while self
            .queue
            .oldest()
            .is_some_and(|since| since + timeout <= now)
        {
            self.refuse_at(0, &Refusal::BorrowTimeout, books);
        }
        while let Some(index) = self.first_without_prospect(books.worker)
            && let Some(since) = self.queue.since_at(index)
            && since + MOVE_GRACE <= now
        {
            self.refuse_at(index, &Refusal::BorrowTimeout, books);
        }
    }

    fn refuse_at(&mut self, index: usize, refusal: &Refusal, books: &mut Books) {
        if let Some(client) = self.take_waiter(index, books) {
            books.refuse(client.client, refusal.clone());
        }
    }

    /// Every way out of the queue passes here, but for those who give up.
    pub(super) fn take_waiter(&mut self, index: usize, books: &mut Books) -> Option<Waiter> {
        let waiter = self.queue.remove_at(index)?;
        self.share.leave_queue();
        books.waiting.remove(&waiter.client);
        Some(waiter)
    }

    pub(super) fn refuse_all(&mut self, refusal: &Refusal, books: &mut Books) {
        while !self.queue.is_empty() {
            self.refuse_at(0, refusal, books);
        }
    }

    pub(super) fn lease(
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

    /// How long a client of this pool waits at most.
    pub(crate) fn wait_max(&self) -> Duration {
        match self.target.limits.borrow_timeout {
            Duration::ZERO => DIAL_GRACE,
            timeout => timeout,
        }
    }

    /// With a borrow timeout of zero: somebody waits for whom nothing is being opened here.
    pub(super) fn has_hopeful(&self) -> bool {
        self.target.limits.borrow_timeout.is_zero() && count(self.queue.len()) > self.dialing
    }

    /// With a borrow timeout of zero: where in the queue the first client is for whom nothing is being opened or on its way, because
    /// as many older ones wait, here or elsewhere.
    pub(super) fn first_without_prospect(&self, worker: u16) -> Option<usize> {
        if !self.has_hopeful() {
            return None;
        }
        let len = count(self.queue.len());
        let dialing = self.share.dialing();
        let board = self.target.budget.lock();
        let (own, others) = board.incoming(&self.share, worker);
        let elsewhere = self.share.waiting().saturating_sub(len);
        let served = |index: u32| {
            let since = self.queue.since_at(index as usize).unwrap_or_default();
            let older = board.older(&self.share, worker, since, elsewhere);
            index.saturating_add(older) < dialing + own + others
        };
        let first = (self.dialing + own..len).find(|index| !served(*index));
        first.map(|index| index as usize)
    }
}
