//! The idle backends of one pool, longest idle first, and which of them is handed out.
//!
//! Those idle beyond the idle timeout ("aged") are always a prefix, so that counting them costs nothing when backends come and go
//! quickly at the other end.

use crate::key::{BackendKey, Label, UNLABELLED};
use forebay_core::Instant;
use forebay_core::snapshot::LeaseOrder;
use std::collections::VecDeque;
use std::time::Duration;

/// Idle backends whose label is compared, most recently used first. A bound on the work of one lease.
const LABELS_COMPARED_MAX: usize = 16;

/// A backend that nobody uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Idle {
    pub(crate) backend: BackendKey,
    pub(crate) label: Label,
    pub(crate) since: Instant,
    /// When it is too old to be used again.
    pub(crate) expires: Instant,
}

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct IdleList {
    list: VecDeque<Idle>,
    aged: usize,
    /// No entry expires before this; may be too early after one has left.
    expires_from: Instant,
}

impl Default for IdleList {
    fn default() -> IdleList {
        IdleList {
            list: VecDeque::new(),
            aged: 0,
            expires_from: Instant::FAR_FUTURE,
        }
    }
}

impl IdleList {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn aged(&self) -> usize {
        self.aged
    }

    /// The longest idle one.
    pub(crate) fn front(&self) -> Option<&Idle> {
        self.list.front()
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Idle> {
        self.list.iter()
    }

    pub(crate) fn push(&mut self, idle: Idle) {
        self.expires_from = self.expires_from.min(idle.expires);
        self.list.push_back(idle);
    }

    /// Takes the one to be handed out, and whether it was aged. By recency: one with an equal label if there is one among the most
    /// recently used, else the most recently used. By rotation: the longest idle one whatever its label, so that a lone client
    /// meets them all. One that does not suit is taken only if none does among those that are looked at.
    pub(crate) fn take(
        &mut self,
        label: Label,
        order: LeaseOrder,
        suits: impl Fn(BackendKey) -> bool,
    ) -> Option<(Idle, bool)> {
        let last = self.list.len().checked_sub(1)?;
        let first = match order {
            LeaseOrder::Rotate => 0,
            LeaseOrder::Recent if label == UNLABELLED => last,
            LeaseOrder::Recent => {
                let recent = self.list.iter().rev().take(LABELS_COMPARED_MAX);
                let equal = recent.enumerate().find(|(_, idle)| idle.label == label);
                last - equal.map_or(0, |(back, _)| back)
            }
        };
        if suits(self.list[first].backend) {
            return self.take_at(first);
        }
        let other = |index: &usize| suits(self.list[*index].backend);
        let found = match order {
            LeaseOrder::Rotate => (0..=last).take(LABELS_COMPARED_MAX).find(other),
            LeaseOrder::Recent => (0..=last).rev().take(LABELS_COMPARED_MAX).find(other),
        };
        self.take_at(found.unwrap_or(first))
    }

    /// Takes one out wherever it is, and whether it was aged.
    pub(crate) fn take_at(&mut self, index: usize) -> Option<(Idle, bool)> {
        let idle = self.list.remove(index)?;
        let aged = index < self.aged;
        self.aged -= usize::from(aged);
        Some((idle, aged))
    }

    /// Takes a certain backend out.
    pub(crate) fn take_backend(&mut self, backend: BackendKey) -> Option<(Idle, bool)> {
        let index = self.list.iter().position(|idle| idle.backend == backend)?;
        self.take_at(index)
    }

    /// Counts the next one as aged if it has been idle for `timeout`.
    pub(crate) fn age_one(&mut self, now: Instant, timeout: Duration) -> bool {
        let due = self.ages_at(timeout).is_some_and(|at| at <= now);
        self.aged += usize::from(due);
        due
    }

    /// When the next one will have been idle for `timeout`.
    pub(crate) fn ages_at(&self, timeout: Duration) -> Option<Instant> {
        self.list.get(self.aged).map(|idle| idle.since + timeout)
    }

    /// No entry expires before this.
    pub(crate) fn expires_from(&self) -> Instant {
        if self.list.is_empty() {
            Instant::FAR_FUTURE
        } else {
            self.expires_from
        }
    }

    /// Takes one that is too old to be used again.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<(Idle, bool)> {
        if now < self.expires_from() {
            return None;
        }
        let index = self.list.iter().position(|idle| idle.expires <= now);
        if index.is_none() {
            let expiries = self.list.iter().map(|idle| idle.expires);
            self.expires_from = expiries.min().unwrap_or(Instant::FAR_FUTURE);
        }
        self.take_at(index?)
    }

    /// Gives each one a new end of life.
    pub(crate) fn set_expiries(&mut self, expiry: impl Fn(BackendKey) -> Instant) {
        self.expires_from = Instant::FAR_FUTURE;
        for idle in &mut self.list {
            idle.expires = expiry(idle.backend);
            self.expires_from = self.expires_from.min(idle.expires);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(labels: &[Label]) -> IdleList {
        let mut list = IdleList::default();
        for (number, label) in (0..).zip(labels) {
            let since = Instant::from_nanos(number);
            let expires = Instant::from_nanos(1_000 - number);
            list.push(Idle {
                backend: BackendKey(number),
                label: *label,
                since,
                expires,
            });
        }
        list
    }

    #[test]
    fn an_equal_label_comes_before_recency_and_recency_before_all_else() {
        let mut many = vec![7; 1];
        many.extend([1; LABELS_COMPARED_MAX]);
        let table: [(&[Label], Label, LeaseOrder, u64); 7] = [
            (&[7, 7, 8], 7, LeaseOrder::Recent, 1),
            (&[7, 8, 9], 7, LeaseOrder::Recent, 0),
            (&[7, 8, 9], 5, LeaseOrder::Recent, 2),
            (&[0, 8, 9], UNLABELLED, LeaseOrder::Recent, 2),
            (&[7, 8, 9], 9, LeaseOrder::Rotate, 0),
            (&many, 7, LeaseOrder::Recent, 16),
            (&many[..16], 7, LeaseOrder::Recent, 0),
        ];
        for (labels, label, order, expected) in table {
            let taken = list(labels).take(label, order, |_| true);
            assert_eq!(
                taken.map(|(idle, _)| idle.backend.0),
                Some(expected),
                "{labels:?} {label} {order:?}"
            );
        }
        assert!(list(&[]).take(7, LeaseOrder::Recent, |_| true).is_none());
    }

    #[test]
    fn the_aged_are_a_prefix_whichever_one_leaves() {
        let mut list = list(&[1, 2, 3, 4]);
        let timeout = Duration::from_nanos(10);
        while list.age_one(Instant::from_nanos(11), timeout) {}
        assert_eq!(list.aged(), 2);
        assert_eq!(
            list.take_backend(BackendKey(2)).map(|(_, aged)| aged),
            Some(false)
        );
        assert_eq!(
            list.take_backend(BackendKey(0)).map(|(_, aged)| aged),
            Some(true)
        );
        assert_eq!(list.aged(), 1);
        assert_eq!(list.ages_at(timeout), Some(Instant::from_nanos(13)));
    }

    #[test]
    fn one_that_does_not_suit_is_taken_only_if_none_does() {
        let take = |label, order, suits: &dyn Fn(BackendKey) -> bool| {
            let taken = list(&[1, 2, 1]).take(label, order, suits);
            taken.map(|(idle, _)| idle.backend.0)
        };
        let not_last = |key: BackendKey| key.0 != 2;
        assert_eq!(take(1, LeaseOrder::Recent, &not_last), Some(1));
        assert_eq!(take(2, LeaseOrder::Recent, &not_last), Some(1));
        assert_eq!(take(9, LeaseOrder::Recent, &|_| false), Some(2));
        assert_eq!(take(9, LeaseOrder::Rotate, &|key| key.0 == 1), Some(1));
        assert_eq!(take(9, LeaseOrder::Rotate, &|_| false), Some(0));
    }

    #[test]
    fn the_expired_are_found_wherever_they_are() {
        let mut list = list(&[1, 2, 3]);
        assert!(list.take_expired(Instant::from_nanos(997)).is_none());
        assert_eq!(
            list.take_expired(Instant::from_nanos(998))
                .map(|(idle, _)| idle.backend.0),
            Some(2)
        );
        assert!(list.take_expired(Instant::from_nanos(998)).is_none());
        assert_eq!(list.expires_from(), Instant::from_nanos(999));
    }
}
