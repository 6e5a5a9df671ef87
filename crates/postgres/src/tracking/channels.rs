//! What a session listens on: changed by LISTEN and UNLISTEN as settings are by SET, with the same rules for commit and rollback.
//! (`src/backend/commands/async.c`, `AtCommit_Notify`, `AtSubAbort_Notify`.)

use super::{CHANNELS_MAX, Tracker};
use forebay_core::notification::Channel;
use std::collections::BTreeSet;

impl Tracker {
    /// What the session listens on between transactions.
    pub fn channels(&self) -> &BTreeSet<Channel> {
        &self.channels
    }

    fn current_channels(&self) -> &BTreeSet<Channel> {
        let pending = self.pending.as_deref();
        let mut frames = pending
            .iter()
            .flat_map(|pending| pending.frames.iter().rev());
        let top = frames.find_map(|frame| frame.channels.as_ref());
        top.unwrap_or(&self.channels)
    }

    /// The set that the innermost frame may change.
    fn channels_mut(&mut self) -> &mut BTreeSet<Channel> {
        self.bound_copies();
        let top = self.pending().frames.last();
        let known = top.is_some_and(|frame| frame.channels.is_some());
        let current = (!known).then(|| self.current_channels().clone());
        let frames = &mut self.pending().frames;
        let top = frames.last_mut();
        let top = top.expect("a transaction has at least its own frame");
        top.channels
            .get_or_insert_with(|| current.unwrap_or_default())
    }

    /// Whether so many channels more may be listened on.
    pub fn has_room_for_channels(&self, count: usize) -> bool {
        self.current_channels().len() + count <= CHANNELS_MAX
    }

    pub(super) fn listen(&mut self, channel: &str) {
        let channel = channel.as_bytes();
        if !self.current_channels().contains(channel) && self.has_room_for_channels(1) {
            self.channels_mut().insert(channel.into());
        }
    }

    pub(super) fn unlisten(&mut self, channel: &str) {
        if self.current_channels().contains(channel.as_bytes()) {
            self.channels_mut().remove(channel.as_bytes());
        }
    }

    pub(super) fn unlisten_all(&mut self) {
        if !self.current_channels().is_empty() {
            self.channels_mut().clear();
        }
    }
}
