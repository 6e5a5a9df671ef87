//! What all pools of one worker share: where each backend and each waiting client is, and the orders not yet taken.

use crate::key::{BackendKey, ClientKey, KeyMap};
use crate::order::Order;
use forebay_core::{CloseReason, Instant, Refusal};
use std::collections::VecDeque;
use std::time::Duration;

/// What a backend is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// In its pool's idle list.
    Idle,
    /// A client has it.
    Leased,
    /// On its way to that worker, until `on_moved`.
    Moving(u16),
    /// Told to close, until `on_closed`.
    Closing,
}

/// One backend of this worker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) pool: u32,
    pub(crate) state: State,
    pub(crate) opened_at: Instant,
    pub(crate) lifetime_jitter: u16,
}

/// When a backend of this age is too old: up to a tenth early, so that those opened together do not end together.
pub(crate) fn expiry(opened_at: Instant, jitter: u16, lifetime_max: Duration) -> Instant {
    let nanos = u64::try_from(lifetime_max.as_nanos()).unwrap_or(u64::MAX);
    let early = nanos / 10 / u64::from(u16::MAX) * u64::from(jitter);
    opened_at + Duration::from_nanos(nanos - early)
}

/// Where a waiting client is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) pool: u32,
    pub(crate) ticket: u64,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) worker: u16,
    pub(crate) backends: KeyMap<BackendKey, Slot>,
    pub(crate) waiting: KeyMap<ClientKey, Place>,
    orders: VecDeque<Order>,
    /// A wake-up is among the orders.
    waking: bool,
    /// Idle backends of all pools.
    pub(crate) idle: usize,
}

impl Books {
    pub(crate) fn new(worker: u16) -> Books {
        Books {
            worker,
            ..Books::default()
        }
    }

    pub(crate) fn order(&mut self, order: Order) {
        self.orders.push_back(order);
    }

    pub(crate) fn refuse(&mut self, client: ClientKey, refusal: Refusal) {
        self.order(Order::Refuse { client, refusal });
    }

    pub(crate) fn close(&mut self, backend: BackendKey, reason: CloseReason) {
        self.order(Order::Close { backend, reason });
    }

    /// One wake-up serves any number of reasons.
    pub(crate) fn wake_others(&mut self) {
        if !self.waking {
            self.waking = true;
            self.order(Order::WakeOthers);
        }
    }

    pub(crate) fn next_order(&mut self) -> Option<Order> {
        let order = self.orders.pop_front();
        self.waking &= !matches!(order, Some(Order::WakeOthers));
        order
    }

    /// Changes what a backend does; `false` if it is not known.
    pub(crate) fn enter(&mut self, backend: BackendKey, state: State) -> bool {
        let slot = self.backends.get_mut(&backend);
        slot.map(|slot| slot.state = state).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_shortened_by_up_to_a_tenth_and_for_ever_stays_for_ever() {
        let opened = Instant::from_nanos(5);
        let day = Duration::from_secs(86_400);
        assert_eq!(expiry(opened, 0, day), opened + day);
        let early = (opened + day).since(expiry(opened, u16::MAX, day));
        assert!(early <= day / 10 && early > day / 11, "{early:?}");
        assert_eq!(expiry(opened, 0, Duration::MAX), Instant::FAR_FUTURE);
    }
}
