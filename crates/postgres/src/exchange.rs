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

use crate::sql::Effect;
use crate::statements::{Name, Statement};
use forebay_core::Instant;
use std::collections::VecDeque;
use std::sync::Arc;

/// One reply that is due.
#[derive(Debug)]
pub enum Expect {
    /// ParseComplete for a statement that has a name of ours on the backend.
    Parse(Box<ExpectParse>),
    /// ParseComplete for the unnamed statement, which was sent by the client itself.
    ParseUnnamed {
        /// The client's unnamed statement before, which it has again should an error skip this.
        before: Option<Arc<Statement>>,
        /// The backend's.
        there: Option<Arc<Statement>>,
    },
    /// CloseComplete for the client's unnamed statement.
    CloseUnnamed {
        /// The client's unnamed statement before, which it has again should an error skip this.
        before: Option<Arc<Statement>>,
        /// The backend's.
        there: Option<Arc<Statement>>,
    },
    /// ParseComplete for the unnamed statement, which we sent again: not shown.
    ReparseUnnamed {
        /// The backend's unnamed statement before, which it has again should an error skip this.
        there: Option<Arc<Statement>>,
    },
    /// An error that says that this name is taken; ours must be replaced by the client's.
    DuplicateName(Box<[u8]>),
    /// BindComplete.
    Bind(About),
    /// ParameterDescription, if it is about a statement, and RowDescription or NoData.
    Describe(About),
    /// Whatever an Execute returns, up to CommandComplete, EmptyQueryResponse or PortalSuspended.
    Execute(Option<Arc<Statement>>),
    /// CloseComplete.
    Close {
        /// Ours: not shown.
        swallow: bool,
        /// The statement with a name of ours that it takes off the backend.
        of: Option<Name>,
    },
    /// Not due from the backend: we say ParseComplete when it is its turn.
    LocalParse(Box<LocalParse>),
    /// Not due from the backend: we say CloseComplete when it is its turn.
    LocalClose(Box<LocalClose>),
    /// All of a Query up to ReadyForQuery.
    Query(Box<ExpectQuery>),
    /// All of a Query of which nothing must be remembered.
    PlainQuery(Instant),
    /// ReadyForQuery of a Sync.
    Sync(Instant),
    /// FunctionCallResponse and ReadyForQuery.
    Function(Instant),
    /// A query of ours up to ReadyForQuery: not shown.
    Replay,
    /// Our ROLLBACK after a client vanished, up to ReadyForQuery: not shown.
    Cleaning,
    /// No reply: where the client ended its COPY data.
    CopyEnd,
}

/// Which statement a Bind or Describe is about, as far as an error would have to know.
#[derive(Debug, Default)]
pub struct About {
    /// A statement with a name of ours.
    pub statement: Option<Arc<Statement>>,
    /// The client's name for it, when a segment under way may yet fail its Parse: the server would then speak of our name.
    pub client_name: Option<Box<[u8]>>,
}

/// A Parse under a name of ours.
#[derive(Debug)]
pub struct ExpectParse {
    /// What is being prepared.
    pub statement: Arc<Statement>,
    /// The client's name for it, when the client asked; `None` when we prepare again and show nothing.
    pub client_name: Option<Box<[u8]>>,
}

/// A Query with statements that matter.
#[derive(Debug)]
pub struct ExpectQuery {
    /// One for each statement.
    pub effects: Vec<Effect>,
    /// Statements completed so far.
    pub done: usize,
    /// When it came.
    pub since: Instant,
    /// What CommandComplete shall say instead, where we sent another statement than the client's.
    pub tag: Option<Box<[u8]>>,
}

/// A Parse that is answered without the backend, which has the statement already.
#[derive(Debug)]
pub struct LocalParse {
    /// The client's name for it, undone should an error skip this.
    pub client_name: Box<[u8]>,
}

/// A Close of one of the client's names, which the backend knows nothing of.
#[derive(Debug)]
pub struct LocalClose {
    /// The client's name.
    pub client_name: Box<[u8]>,
    /// What it meant, put back should an error skip this.
    pub statement: Arc<Statement>,
}

/// How far a statement has come that changes what the messages behind it mean: a RESET that takes away values which the client began
/// with, or one that drops prepared statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settling {
    /// There is none.
    No,
    /// It was sent: what comes behind its segment waits until it is done and the values are set again.
    Sent,
    /// Something waits.
    Awaited,
    /// Something waits for the segments before its own: whether a name is taken depends on them.
    Doubted,
}

impl Expect {
    /// Whether ReadyForQuery ends it.
    pub fn ends_segment(&self) -> bool {
        matches!(
            self,
            Expect::Query(_)
                | Expect::PlainQuery(_)
                | Expect::Sync(_)
                | Expect::Function(_)
                | Expect::Replay
                | Expect::Cleaning
        )
    }
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
    /// The server reads COPY data, and the client has not ended it.
    pub copying_in: bool,
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
    /// The open transaction changed a schema.
    pub schema_changed: bool,
    /// Whether a statement is under way that changes what the messages behind it mean.
    pub settling: Settling,
    /// Portals whose execution matters.
    pub portals: Vec<(Box<[u8]>, Arc<Statement>)>,
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
            copying_in: false,
            from_client_left: 0,
            from_backend_left: 0,
            discarding: false,
            tracked: false,
            opaque: false,
            schema_changed: false,
            settling: Settling::No,
            portals: Vec::new(),
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

    /// Whether nothing of the client's is due.
    pub fn expects_only_replay(&self) -> bool {
        let mut expects = self.expects.iter();
        expects.all(|expect| matches!(expect, Expect::Replay))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.expects.len()
    }

    /// ReadyForQuery messages that are due.
    pub fn segments(&self) -> u32 {
        self.segments
    }

    /// A message was sent that earns this reply.
    #[inline]
    pub fn push(&mut self, expect: Expect) {
        if expect.ends_segment() {
            self.segments += 1;
            self.open_segment = false;
            self.skipping = false;
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
        if self.expects.is_empty() && self.expects.capacity() > EXPECTS_KEPT {
            self.expects = VecDeque::new();
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
                    return None;
                }
                Expect::Query(_) | Expect::PlainQuery(_) => return None,
                _ => {}
            }
        }
        Some(kept)
    }

    /// The server now reads COPY data: Syncs that it finds among the data are ignored and earn no reply.
    pub fn begin_copy_in(&mut self) {
        // The front entry is the COPY itself. What is not for a COPY ends it as well, with an error; what is ours to answer the server
        // does not see.
        let ends = |expect: &Expect| {
            !matches!(
                expect,
                Expect::Sync(_) | Expect::LocalParse(_) | Expect::LocalClose(_)
            )
        };
        let end = self.expects.iter().skip(1).position(ends).map(|at| at + 1);
        self.copying_in = end.is_none();
        let end = end.unwrap_or(self.expects.len());
        let mut index = 0;
        let mut segments = 0;
        self.expects.retain(|expect| {
            let ignored = index > 0 && index < end && matches!(expect, Expect::Sync(_));
            segments += u32::from(ignored);
            index += 1;
            !ignored
        });
        self.segments -= segments;
        if self.copying_in {
            // The Sync that would have ended this segment is gone; the client sends another after its data.
            self.open_segment = matches!(self.expects.front(), Some(Expect::Execute(_)));
        }
    }

    /// The clean hand-over proof, as far as the exchange knows.
    #[inline]
    pub fn is_clean(&self) -> bool {
        self.expects.is_empty()
            && self.status == b'I'
            && !self.open_segment
            && !self.skipping
            && !self.copying_in
            && self.from_client_left == 0
            && self.from_backend_left == 0
    }

    /// A portal's execution does this; `None` when nothing that matters.
    pub fn bind_portal(&mut self, portal: &[u8], statement: Option<&Arc<Statement>>) {
        if !self.portals.is_empty() {
            self.portals.retain(|(known, _)| **known != *portal);
        }
        if let Some(statement) = statement.filter(|statement| statement.effect != Effect::Pure) {
            self.portals.push((portal.into(), Arc::clone(statement)));
        }
    }

    /// What executing this portal does, when it matters.
    pub fn portal(&self, portal: &[u8]) -> Option<&Arc<Statement>> {
        self.portals
            .iter()
            .find(|(known, _)| **known == *portal)
            .map(|(_, statement)| statement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_sync_among_copy_data_earns_no_reply() {
        let mut exchange = Exchange::new();
        for expect in [Expect::Execute(None), sync()] {
            exchange.push(expect);
        }
        exchange.begin_copy_in();
        assert!(exchange.copying_in && exchange.open_segment);
        assert_eq!((exchange.len(), exchange.segments()), (1, 0));
    }

    #[test]
    fn what_is_no_copy_message_ends_the_copy_and_the_sync_behind_it_counts() {
        let mut exchange = Exchange::new();
        for expect in [Expect::Execute(None), Expect::Execute(None), sync()] {
            exchange.push(expect);
        }
        exchange.begin_copy_in();
        assert_eq!((exchange.len(), exchange.segments()), (3, 1));
        assert!(!exchange.copying_in);
    }

    #[test]
    fn a_sync_behind_the_end_of_copy_data_counts() {
        let mut exchange = Exchange::new();
        for expect in [Expect::Execute(None), sync(), Expect::CopyEnd, sync()] {
            exchange.push(expect);
        }
        exchange.begin_copy_in();
        assert!(!exchange.copying_in);
        assert_eq!((exchange.len(), exchange.segments()), (3, 1));
    }
}
