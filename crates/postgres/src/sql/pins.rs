//! A set of pin reasons in one integer, so that gathering them while scanning costs nothing.

use forebay_core::PinReason;

/// Reasons gathered from one statement.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Pins(u32);

impl Pins {
    pub(super) fn of(reason: PinReason) -> Self {
        Pins(1 << reason as u32)
    }

    pub(super) fn add(&mut self, reason: PinReason) {
        self.0 |= Pins::of(reason).0;
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The reasons in the order of their declaration.
    pub(super) fn reasons(self) -> impl Iterator<Item = PinReason> {
        PinReason::ALL
            .into_iter()
            .filter(move |&reason| self.0 & Pins::of(reason).0 != 0)
    }
}
