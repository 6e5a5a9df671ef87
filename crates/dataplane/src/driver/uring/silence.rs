//! Sends that tell only of failure: when may silence be taken for success?
//!
//! The kernel tries such a send as it takes its entry from the queue, and what fails is told by the time that it has taken it. So
//! a send is done when its entry was taken, all completions were seen, and nothing was heard. Not before: a system call may take
//! fewer entries than were queued (no memory, interrupted), and completions that found no room come later.

use crate::driver::Handle;
use std::collections::VecDeque;

/// Place in the order in which entries were queued, from 1.
pub type Place = u64;

/// Silent sends whose success is not certain yet.
#[derive(Debug, Default)]
pub struct Silence {
    queued: Place,
    waiting: VecDeque<(Place, Handle)>,
}

impl Silence {
    /// An entry was queued, of whatever kind.
    #[inline]
    pub fn on_queued(&mut self) {
        self.queued += 1;
    }

    /// The next entry to be queued is a silent send of this connection; returns its place.
    pub fn expect(&mut self, handle: Handle) -> Place {
        let place = self.queued + 1;
        self.waiting.push_back((place, handle));
        place
    }

    /// Up to where the kernel has taken the entries, of which `left` are still in the queue.
    pub fn taken(&self, left: usize) -> Place {
        self.queued - left as u64
    }

    /// The next send that is done, if it was not heard of: all completions were seen, and entries are `taken` so far.
    #[inline]
    pub fn next_done(&mut self, taken: Place) -> Option<(Place, Handle)> {
        self.waiting.pop_front_if(|(place, _)| *place <= taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(index: u32) -> Handle {
        Handle::new(index, 0)
    }

    #[test]
    fn a_send_is_not_done_before_its_entry_was_taken() {
        let mut silence = Silence::default();
        silence.on_queued();
        let first = silence.expect(handle(7));
        silence.on_queued();
        let second = silence.expect(handle(8));
        silence.on_queued();
        assert_eq!((first, second), (2, 3));

        let taken = silence.taken(2);
        assert_eq!(
            silence.next_done(taken),
            None,
            "only the first entry left the queue"
        );
        let taken = silence.taken(1);
        assert_eq!(silence.next_done(taken), Some((2, handle(7))));
        assert_eq!(silence.next_done(taken), None);
        let taken = silence.taken(0);
        assert_eq!(silence.next_done(taken), Some((3, handle(8))));
        assert_eq!(silence.next_done(taken), None);
    }
}
