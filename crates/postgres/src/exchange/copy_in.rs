//! Data that a client sends for COPY FROM STDIN, and the Syncs among them.
//!
//! A server that reads data ignores a Sync (`CopyGetData`); one that fails the COPY before it reads any (a trigger before the statement, a
//! view) finds the Sync afterwards, and answers it. Which of the two it was shows only in the number of its answers. So nothing is sent
//! behind a statement that may read data before the server says whether it does, and a Sync is held as long as the server would still have
//! it unread if it fails now: until data follow.
//!
//! ```text
//!             Execute, Query                CopyInResponse              CopyDone, CopyFail of an Execute
//!        No ─────────────────▶ Maybe ──────────────────────▶ Reading ──────────────────────────────────▶ No
//!         ▲                     │  ▲                          │   │
//!         └─────────────────────┘  └──────────────────────────┘   └─▶ No, with an error: Syncs that are held are sent now
//!            any other answer       CopyDone, CopyFail of a Query
//! ```

use super::{Exchange, Expect};

/// Whether a server reads COPY data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyIn {
    /// It does not.
    No,
    /// What was sent last may make it do so: nothing is sent behind it.
    Maybe,
    /// It does, and the client has not ended its data.
    Reading {
        /// Syncs that came since the last data.
        held: u32,
    },
}

/// Most Syncs that are held; more are ignored.
const HELD_MAX: u32 = 1000;

impl Exchange {
    /// Whether a server reads COPY data.
    #[inline]
    pub fn copy_in(&self) -> CopyIn {
        self.copy_in
    }

    /// Whether the server reads COPY data, and the client has not ended it.
    #[inline]
    pub fn is_copying_in(&self) -> bool {
        matches!(self.copy_in, CopyIn::Reading { .. })
    }

    /// The server reads COPY data from now on. False if something was sent behind: it cannot be told what the server makes of it.
    #[must_use]
    pub fn begin_copy_in(&mut self) -> bool {
        self.copy_in = CopyIn::Reading { held: 0 };
        self.expects.len() == 1
    }

    /// The client sent a Sync while the server reads data.
    pub fn hold_sync(&mut self) {
        if let CopyIn::Reading { held } = &mut self.copy_in {
            *held = HELD_MAX.min(*held + 1);
        }
    }

    /// The client sends data: the server that reads them has ignored the Syncs before.
    #[inline]
    pub fn copy_data(&mut self) {
        if let CopyIn::Reading { held } = &mut self.copy_in {
            *held = 0;
        }
    }

    /// The client has sent the last of its data. A Query may have another COPY.
    pub fn end_copy_data(&mut self) {
        if self.is_copying_in() {
            self.copy_in = match self.expects.back() {
                Some(Expect::Execute(_)) => CopyIn::No,
                _ => CopyIn::Maybe,
            };
        }
    }

    /// What was to be answered next has failed. Returns how many Syncs the server would find now.
    pub fn fail_copy_in(&mut self) -> u32 {
        match self.copy_in {
            CopyIn::Reading { held } => {
                self.copy_in = CopyIn::No;
                held
            }
            // What may read data was sent last: something before it has failed.
            CopyIn::Maybe if self.expects.len() > 1 => 0,
            CopyIn::Maybe | CopyIn::No => {
                self.copy_in = CopyIn::No;
                0
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ExpectQuery;
    use super::*;
    use crate::sql::Effect;
    use crate::statements::Named;
    use crate::statements::Statement;
    use forebay_core::Instant;

    /// What may read data was sent and does.
    fn reading(expect: Expect) -> Exchange {
        let mut exchange = Exchange::new();
        exchange.push(expect);
        assert_eq!(exchange.copy_in(), CopyIn::Maybe);
        assert!(exchange.begin_copy_in());
        exchange
    }

    fn execute() -> Expect {
        Expect::Execute(Some(Statement::unread()))
    }

    fn query() -> Expect {
        Expect::Query(Box::new(ExpectQuery {
            effects: vec![Effect::CopyIn, Effect::CopyIn],
            done: 0,
            since: Instant::ZERO,
            tag: None,
            named: Named::default(),
        }))
    }

    #[test]
    fn syncs_count_if_the_copy_fails_before_it_reads_anything() {
        let mut exchange = reading(execute());
        exchange.hold_sync();
        exchange.hold_sync();
        assert_eq!(exchange.fail_copy_in(), 2);
        assert_eq!(exchange.copy_in(), CopyIn::No);
    }

    #[test]
    fn a_server_that_reads_data_has_ignored_the_syncs_before_them() {
        let mut exchange = reading(execute());
        exchange.hold_sync();
        exchange.copy_data();
        exchange.hold_sync();
        assert_eq!(exchange.fail_copy_in(), 1);
    }

    #[test]
    fn an_execute_reads_once_and_a_query_perhaps_again() {
        let mut exchange = reading(execute());
        exchange.end_copy_data();
        assert_eq!(exchange.copy_in(), CopyIn::No);
        let mut exchange = reading(query());
        exchange.end_copy_data();
        assert_eq!(exchange.copy_in(), CopyIn::Maybe);
        exchange.pop();
        assert_eq!(exchange.copy_in(), CopyIn::No);
    }

    #[test]
    fn what_fails_before_it_says_nothing_of_what_may_read_data() {
        let mut exchange = Exchange::new();
        exchange.push(Expect::PlainQuery(Instant::ZERO));
        exchange.push(execute());
        assert_eq!(exchange.fail_copy_in(), 0);
        assert_eq!(exchange.copy_in(), CopyIn::Maybe);
        exchange.pop();
        assert_eq!(exchange.fail_copy_in(), 0);
        assert_eq!(exchange.copy_in(), CopyIn::No);
    }

    #[test]
    fn a_copy_that_was_not_seen_coming_is_told_if_something_is_behind_it() {
        let mut exchange = Exchange::new();
        exchange.push(Expect::Execute(None));
        assert!(exchange.begin_copy_in());
        exchange.push(Expect::Sync(Instant::ZERO));
        assert!(!exchange.begin_copy_in());
    }
}
