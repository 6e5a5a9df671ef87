//! What is asked of a backend and not yet answered, in order; whether the backend could serve another session.
//!
//! Every message that earns a reply leaves an entry; replies are matched from the front. Entries that the proxy answers itself
//! (`LocalParse`, `LocalClose`) or whose reply the client must not see (`swallow`) keep their place among the others, so that a client reads exactly
//! what it would read from a server of its own. An error in the extended protocol drops all entries up to the next Sync, as the
//! server skips them. (PostgreSQL documentation, "Message Flow"; `src/backend/tcop/postgres.c`.)
//!
//! ```text
//!   client: P B E S      entries: Parse Bind Execute Sync      server: 1 2 C Z      → empty, Z says I: clean
//! ```

mod copy_in;
mod expect;
pub mod portals;

use crate::probe::Asks;
use crate::statements::Statement;
pub use copy_in::CopyIn;
pub use expect::{About, Expect, ExpectParse, ExpectQuery, Given, LocalClose, LocalParse, Taken};
pub use portals::{Portals, Rebound};
use std::collections::BTreeSet;
use std::collections::VecDeque;
use std::sync::Arc;

/// One of a session's segments (messages up to what ReadyForQuery answers), in the order in which they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment(u64);

impl Segment {
    /// A session's first.
    pub const FIRST: Segment = Segment(0);
    /// One that is over, whichever it was.
    pub const DONE: Segment = Segment(u64::MAX);
}

/// What the next message of a client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaits {
    /// Nothing.
    Nothing,
    /// Names are being dropped in its own segment.
    Drops,
    /// It is told by the answer to what was sent last whether the server reads it as COPY data.
    CopyIn,
    /// Its own segment has been answered so far.
    Answers,
    /// There are not too many replies due.
    Room,
    /// It depends on the segments before its own what a name means.
    Segments,
    /// What comes before it changes what it means: a RESET that takes away values which the client began with, or a statement that drops
    /// names.
    Settling,
}

/// Whether something under way changes what the texts of statements mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unsettled {
    /// Nothing does.
    No,
    /// Code that is not looked into may do so.
    Opaque,
    /// A statement does.
    Tracked,
}

/// One backend's exchange.
#[derive(Debug)]
pub struct Exchange {
    expects: VecDeque<Expect>,
    /// Entries that end with ReadyForQuery.
    segments: u32,
    /// Transaction status of the last ReadyForQuery.
    pub status: u8,
    /// Extended-protocol messages were sent since the last Sync.
    pub open_segment: bool,
    /// The server skips everything up to a Sync that the client has not sent yet.
    pub skipping: bool,
    /// The segment that is being answered held an error.
    pub failed: bool,
    /// A guard was sent and no message behind it that ends its transaction.
    guarded: bool,
    /// Whether the server reads COPY data, and the client has not ended it.
    copy_in: CopyIn,
    /// Bytes of a client message that are still to be forwarded.
    pub from_client_left: usize,
    /// Bytes of a backend message that are still to be forwarded, or swallowed.
    pub from_backend_left: usize,
    /// Whether those bytes are swallowed.
    pub discarding: bool,
    /// The segment that is being answered changed settings in ways that are tracked.
    pub tracked: bool,
    /// The segment that is being answered did things that only the server knows.
    pub opaque: bool,
    /// And something was reset before, whose value the client began with.
    pub opaque_behind_reset: bool,
    /// The open transaction changed a schema.
    pub schema_changed: bool,
    /// The open transaction may notify others.
    pub notifies: bool,
    /// The backend itself may listen on channels of a session that hears of them elsewhere.
    pub listens: bool,
    /// Custom settings that were named by what was completed in this segment.
    pub customs: BTreeSet<Box<str>>,
    /// A statement was sent that asks for values of sequences, or that makes values which are asked for.
    pub keeps_sequences: bool,
    /// A statement was sent that changes what the messages behind it mean: what comes behind its segment waits until it is done and
    /// the values are set again.
    pub settling: bool,
    /// What the client waits for.
    pub awaits: Awaits,
    /// Whether something was sent, since nothing was under way, that changes what texts mean.
    pub unsettled: Unsettled,
    /// Portals whose execution matters.
    pub portals: Portals,
    /// What the server is to be asked when the transaction is over.
    asks: Option<Box<Asks>>,
    /// The segment of the message that is sent next.
    sent: u64,
    /// Executions that are due and give or drop names.
    drops: u32,
    /// The client's own Closes that are due.
    local_closes: u32,
    /// The segment after which, if an error skips what it does to the unnamed statement, the client has another than is thought now, or
    /// one that the backend has not.
    unnamed_in_doubt: Option<Segment>,
    /// The segment in which the client last gave or closed its unnamed statement.
    unnamed_since: Option<Segment>,
}

/// Entries kept in memory while idle.
const EXPECTS_KEPT: usize = 64;

impl Default for Exchange {
    fn default() -> Exchange {
        Exchange::new()
    }
}

impl Exchange {
    /// An exchange in which nothing was asked yet.
    pub fn new() -> Exchange {
        Exchange {
            expects: VecDeque::new(),
            segments: 0,
            status: b'I',
            open_segment: false,
            skipping: false,
            failed: false,
            guarded: false,
            copy_in: CopyIn::No,
            from_client_left: 0,
            from_backend_left: 0,
            discarding: false,
            tracked: false,
            opaque: false,
            opaque_behind_reset: false,
            schema_changed: false,
            notifies: false,
            listens: false,
            keeps_sequences: false,
            customs: BTreeSet::new(),
            settling: false,
            awaits: Awaits::Nothing,
            unsettled: Unsettled::No,
            portals: Portals::default(),
            asks: None,
            sent: 0,
            drops: 0,
            local_closes: 0,
            unnamed_in_doubt: None,
            unnamed_since: None,
        }
    }

    /// The reply that is due next.
    #[inline]
    pub fn front(&self) -> Option<&Expect> {
        self.expects.front()
    }

    /// The reply that is due next.
    #[inline]
    pub fn front_mut(&mut self) -> Option<&mut Expect> {
        self.expects.front_mut()
    }

    /// Whether nothing is due.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.expects.is_empty()
    }

    /// What the server is to be asked when the transaction is over, to be added to.
    pub fn asks(&mut self) -> &mut Asks {
        self.asks.get_or_insert_default()
    }

    /// Whether statements ran of which it is to be found out what they did.
    pub fn is_learning(&self) -> bool {
        self.asks
            .as_ref()
            .is_some_and(|asks| !asks.learned.is_empty())
    }

    /// Whether the server is to be asked for all settings when the transaction is over.
    pub fn asks_settings(&self) -> bool {
        self.asks.as_ref().is_some_and(|asks| asks.settings)
    }

    /// Takes what is to be asked, if there is something.
    pub fn take_asks(&mut self) -> Option<Asks> {
        self.asks
            .take()
            .map(|asks| *asks)
            .filter(|asks| !asks.is_empty())
    }

    /// Whether nothing of the client's is due.
    pub fn expects_only_replay(&self) -> bool {
        let mut expects = self.expects.iter();
        expects.all(Expect::is_ours)
    }

    /// A message is about to be looked at: what is answered is settled, but for what code did that is not looked into. Of that the server
    /// reports when its segment ends.
    #[inline]
    pub fn settle(&mut self) {
        if self.expects.is_empty() && !(self.open_segment && self.opaque) {
            self.unsettled = Unsettled::No;
        }
    }

    /// Whether the server waits, in a transaction of a guard's, for what the client sends.
    pub fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.expects.len()
    }

    /// ReadyForQuery messages that are due.
    pub fn segments(&self) -> u32 {
        self.segments
    }

    /// A session takes over: its segments go on from here.
    pub fn go_on_from(&mut self, segment: Segment) {
        self.sent = segment.0;
        (self.unnamed_in_doubt, self.unnamed_since) = (None, None);
        // What is sent ahead of its first message is answered later; what the session before it did, is.
        (self.unsettled, self.tracked, self.opaque) = (Unsettled::No, false, false);
    }

    /// The segment of the message that is sent next.
    pub fn segment(&self) -> Segment {
        Segment(self.sent)
    }

    /// Whether a segment was sent as a whole and is not answered yet.
    pub fn is_running(&self, segment: Segment) -> bool {
        segment.0 < self.sent && segment.0 >= self.sent.saturating_sub(self.segments.into())
    }

    /// Whether names are being given or dropped by SQL.
    pub fn drops_names(&self) -> bool {
        self.drops > 0
    }

    /// Whether the client has closed names of its own, unless an error skips that.
    pub fn closes_names(&self) -> bool {
        self.local_closes > 0
    }

    /// Whether it depends on a segment that is running what the client's unnamed statement is, or if the backend has it.
    pub fn doubts_unnamed(&self) -> bool {
        let doubted = self.unnamed_in_doubt;
        doubted.is_some_and(|segment| self.is_running(segment))
            && self.unnamed_since != Some(self.segment())
    }

    /// Whether a segment that is running gives the client its unnamed statement.
    pub fn gives_unnamed(&self) -> bool {
        self.unnamed_since
            .is_some_and(|segment| self.is_running(segment))
    }

    /// The client gives its unnamed statement another meaning, or none: what it had `before` it has again should an error skip that,
    /// and then the backend must have it, and it must be known what it does.
    pub fn give_unnamed(
        &mut self,
        before: Option<&Arc<Statement>>,
        there: Option<&Arc<Statement>>,
        now: Option<&Arc<Statement>>,
    ) {
        self.unnamed_since = Some(self.segment());
        let Some(before) = before else { return };
        // Where it has none, the backend's is taken away.
        if now.is_none_or(|now| now.effect != before.effect)
            || !there.is_some_and(|there| Arc::ptr_eq(there, before))
        {
            self.unnamed_in_doubt = Some(self.segment());
        }
    }

    /// A message was sent that earns this reply.
    #[inline]
    pub fn push(&mut self, expect: Expect) {
        match &expect {
            Expect::LocalClose(_) => self.local_closes += 1,
            Expect::Execute(Some(statement)) if statement.effect.changes_names() => self.drops += 1,
            Expect::ReparseUnnamed { .. } => self.unnamed_in_doubt = Some(self.segment()),
            _ => {}
        }
        self.guarded = match &expect {
            Expect::Guard => true,
            expect => self.guarded && !expect.ends_segment(),
        };
        if expect.ends_segment() {
            self.segments += 1;
            self.sent += 1;
            self.open_segment = false;
            self.skipping = false;
        }
        if expect.may_copy_in() {
            self.copy_in = CopyIn::Maybe;
        }
        self.expects.push_back(expect);
    }

    /// The reply that was due next has come.
    #[inline]
    pub fn pop(&mut self) -> Option<Expect> {
        let expect = self.expects.pop_front()?;
        if expect.ends_segment() {
            self.segments -= 1;
        }
        match &expect {
            Expect::LocalClose(_) => self.local_closes -= 1,
            Expect::Execute(Some(statement)) if statement.effect.changes_names() => self.drops -= 1,
            _ => {}
        }
        if self.expects.is_empty() {
            // Nothing is sent behind what may read COPY data.
            self.copy_in = CopyIn::No;
            if self.expects.capacity() > EXPECTS_KEPT {
                self.expects = VecDeque::new();
            }
        }
        Some(expect)
    }

    /// The server reported an error to an extended-protocol message: what it skips is handed to `dropped`.
    pub fn skip_to_sync(&mut self, mut dropped: impl FnMut(Expect)) {
        loop {
            match self.expects.front() {
                Some(Expect::Sync(_)) => return,
                // Queries of ours come behind a boundary; they too are skipped, which their sender must know.
                Some(_) => {}
                None => break,
            }
            if let Some(expect) = self.pop() {
                dropped(expect);
            }
        }
        self.skipping = true;
    }

    /// What was skipped did not change the client's unnamed statement: notes which one it has. Returns it, unless a message that
    /// is still to be answered changes it again.
    pub fn restore_unnamed(
        &mut self,
        kept: Option<Arc<Statement>>,
    ) -> Option<Option<Arc<Statement>>> {
        for expect in &mut self.expects {
            match expect {
                Expect::ParseUnnamed { before, .. } | Expect::CloseUnnamed { before, .. } => {
                    *before = kept;
                    self.unnamed_in_doubt = Some(Segment(self.sent.saturating_sub(1)));
                    return None;
                }
                Expect::Query(_) | Expect::PlainQuery(_) => return None,
                _ => {}
            }
        }
        Some(kept)
    }

    /// The same for the backend's unnamed statement, as far as it is known.
    pub fn restore_unnamed_there(
        &mut self,
        kept: Option<Arc<Statement>>,
    ) -> Option<Option<Arc<Statement>>> {
        for expect in &mut self.expects {
            match expect {
                Expect::ParseUnnamed { there, .. }
                | Expect::CloseUnnamed { there, .. }
                | Expect::ReparseUnnamed { there } => {
                    *there = kept;
                    self.unnamed_in_doubt = Some(Segment(self.sent.saturating_sub(1)));
                    return None;
                }
                Expect::Close {
                    swallow: true,
                    of: None,
                }
                | Expect::Query(_)
                | Expect::PlainQuery(_)
                | Expect::Replay => return None,
                _ => {}
            }
        }
        Some(kept)
    }

    /// Whether nothing is due but the answer ahead of parting.
    pub fn is_parting(&self) -> bool {
        matches!(self.expects.front(), Some(Expect::Parting))
            && self.expects.len() == 1
            && self.from_backend_left == 0
    }

    /// Whether nothing is under way but a question of ours.
    pub fn is_asking(&self) -> bool {
        matches!(self.expects.front(), Some(Expect::Probe(_)))
            && self.expects.len() == 1
            && !self.open_segment
            && self.from_client_left == 0
            && self.from_backend_left == 0
    }

    /// Whether the server waits for the client.
    pub fn is_at_rest(&self) -> bool {
        self.expects.is_empty() && !self.open_segment && self.copy_in == CopyIn::No
    }

    /// The clean hand-over proof, as far as the exchange knows.
    #[inline]
    pub fn is_clean(&self) -> bool {
        self.expects.is_empty()
            && self.status == b'I'
            && !self.open_segment
            && !self.skipping
            && !self.guarded
            && self.copy_in == CopyIn::No
            && self.from_client_left == 0
            && self.from_backend_left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_core::Instant;

    fn sync() -> Expect {
        Expect::Sync(Instant::ZERO)
    }

    #[test]
    fn an_error_skips_to_the_next_sync_and_no_further() {
        let mut exchange = Exchange::new();
        for expect in [
            Expect::Bind(About::default()),
            Expect::Execute(None),
            sync(),
            Expect::Bind(About::default()),
            sync(),
        ] {
            exchange.push(expect);
        }
        exchange.skip_to_sync(|_| {});
        assert_eq!(
            (exchange.len(), exchange.segments(), exchange.skipping),
            (3, 2, false)
        );
    }

    #[test]
    fn without_a_sync_the_skipping_goes_on_until_one_is_sent() {
        let mut exchange = Exchange::new();
        exchange.push(Expect::Bind(About::default()));
        exchange.open_segment = true;
        exchange.skip_to_sync(|_| {});
        assert!(exchange.skipping && !exchange.is_clean());
        exchange.push(sync());
        assert!(!exchange.skipping && !exchange.open_segment);
    }

    #[test]
    fn a_query_behind_an_extended_error_is_skipped_like_the_rest() {
        let mut exchange = Exchange::new();
        for expect in [
            Expect::Bind(About::default()),
            Expect::PlainQuery(Instant::ZERO),
        ] {
            exchange.push(expect);
        }
        exchange.skip_to_sync(|_| {});
        assert_eq!((exchange.len(), exchange.segments()), (0, 0));
        assert!(exchange.skipping);
    }

    #[test]
    fn a_segment_runs_from_its_end_to_its_answer() {
        let mut exchange = Exchange::new();
        exchange.go_on_from(Segment(7));
        let first = exchange.segment();
        exchange.push(Expect::Bind(About::default()));
        assert!(!exchange.is_running(first));
        exchange.push(sync());
        let second = exchange.segment();
        exchange.push(sync());
        assert!(exchange.is_running(first) && exchange.is_running(second));
        exchange.pop();
        exchange.pop();
        assert!(!exchange.is_running(first) && exchange.is_running(second));
        assert!(!exchange.is_running(Segment::DONE) && !exchange.is_running(Segment(6)));
    }
}
