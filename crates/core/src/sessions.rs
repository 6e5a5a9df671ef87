//! Who is connected and what for, as an operator asks for it: the question, the rows of the answer, and what an engine adds to a row.
//!
//! Nothing in here is a secret, and no constant of a statement: whoever may look at a process may see it.

use crate::{PinReason, StatementShape};
use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

/// Most rows of one answer.
pub const ROWS_MAX: usize = 10_000;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionsAsked {
    /// Only those that keep a database connection for themselves.
    pub pinned: bool,
    /// Which come first.
    pub sort: SessionsSort,
    /// Most rows, 1 to [`ROWS_MAX`].
    pub limit: usize,
}

impl Default for SessionsAsked {
    fn default() -> SessionsAsked {
        SessionsAsked {
            pinned: false,
            sort: SessionsSort::Client,
            limit: 100,
        }
    }
}

/// Which sessions come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SessionsSort {
    /// Those that connected first.
    #[default]
    Client,
    /// Those whose state has lasted longest; among pinned ones, those pinned longest.
    Age,
}

/// The answer.
#[derive(Debug, Clone, Default)]
pub struct SessionsReport {
    /// Client connections that were looked at.
    pub clients: u64,
    /// Those among them that were asked for; more than there are rows, if the limit cut some off.
    pub matching: u64,
    /// Workers that did not answer in time, whose clients are missing.
    pub workers_silent: u64,
    /// The first ones.
    pub rows: Vec<SessionRow>,
}

impl SessionsReport {
    /// Puts rows in order and cuts off what is beyond the limit.
    pub fn arrange(&mut self, asked: &SessionsAsked) {
        match asked.sort {
            SessionsSort::Client => self.rows.sort_by_key(|row| row.client),
            SessionsSort::Age => self
                .rows
                .sort_by_key(|row| (Reverse(row.age(asked.pinned)), row.client)),
        }
        self.rows.truncate(asked.limit);
    }
}

/// One session.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// Number of the client connection, as in the log.
    pub client: u64,
    /// Its worker.
    pub worker: u16,
    /// Its address.
    pub address: Arc<str>,
    /// `DBProxyName`.
    pub proxy: Arc<str>,
    /// `DBProxyEndpointName`.
    pub endpoint: Arc<str>,
    /// The database user, once it is admitted.
    pub user: Option<Arc<str>>,
    /// The database.
    pub database: Option<Arc<str>>,
    /// What it calls itself.
    pub application: Option<Box<str>>,
    /// Whether it came by TLS.
    pub tls: bool,
    /// What it does.
    pub state: SessionState,
    /// For how long.
    pub lasts: Duration,
    /// For how long its transaction has been open, if one is.
    pub transaction: Option<Duration>,
    /// Why it keeps its database connection, if it does.
    pub pin: Option<PinRow>,
    /// Its database connection.
    pub backend: Option<BackendRow>,
}

impl SessionRow {
    /// What [`SessionsSort::Age`] goes by.
    fn age(&self, pinned: bool) -> Duration {
        match &self.pin {
            Some(pin) if pinned => pin.lasts,
            _ => self.lasts,
        }
    }
}

/// Why a session keeps its database connection.
#[derive(Debug, Clone)]
pub struct PinRow {
    /// The reason that began it.
    pub reason: PinReason,
    /// For how long.
    pub lasts: Duration,
    /// The statement that did it, where it is known.
    pub statement: Option<Arc<StatementShape>>,
}

/// The database connection that a session has.
#[derive(Debug, Clone)]
pub struct BackendRow {
    /// Its number, as in the log.
    pub number: u64,
    /// The process that serves it, as the database calls it.
    pub process: u32,
    /// `host:port`.
    pub target: Arc<str>,
}

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// It logs in, or asks to cancel another.
    Login,
    /// It has asked for nothing that is not answered.
    Idle,
    /// It waits for a database connection.
    Waiting,
    /// The database is at work for it.
    Active,
    /// Its transaction is open, and the database waits for it.
    InTransaction,
}

impl SessionState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            SessionState::Login => "login",
            SessionState::Idle => "idle",
            SessionState::Waiting => "waiting",
            SessionState::Active => "active",
            SessionState::InTransaction => "in_transaction",
        }
    }
}

/// What only an engine knows of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// What it calls itself; not longer than [`SessionFacts::APPLICATION_CHARS_MAX`].
    pub application: Option<Box<str>>,
    /// [`SessionState::Idle`], [`SessionState::Active`] or [`SessionState::InTransaction`].
    pub state: SessionState,
    /// The process that serves it, as the database calls it.
    pub process: u32,
}

impl SessionFacts {
    /// Longest name of an application that is told.
    pub const APPLICATION_CHARS_MAX: usize = 64;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(client: u64, lasts: u64, pinned: Option<u64>) -> SessionRow {
        SessionRow {
            client,
            worker: 0,
            address: "127.0.0.1:5".into(),
            proxy: "orders".into(),
            endpoint: "default".into(),
            user: None,
            database: None,
            application: None,
            tls: false,
            state: SessionState::Idle,
            lasts: Duration::from_secs(lasts),
            transaction: None,
            pin: pinned.map(|seconds| PinRow {
                reason: PinReason::Listen,
                lasts: Duration::from_secs(seconds),
                statement: None,
            }),
            backend: None,
        }
    }

    fn arranged(asked: SessionsAsked) -> Vec<u64> {
        let mut report = SessionsReport {
            rows: vec![row(3, 1, Some(9)), row(1, 2, None), row(2, 3, Some(4))],
            ..SessionsReport::default()
        };
        report.arrange(&asked);
        report.rows.iter().map(|row| row.client).collect()
    }

    #[test]
    fn rows_come_by_number_or_by_age_and_no_more_than_asked_for() {
        let asked = SessionsAsked::default();
        assert_eq!(arranged(asked), [1, 2, 3]);
        let by_age = SessionsAsked {
            sort: SessionsSort::Age,
            ..asked
        };
        assert_eq!(arranged(by_age), [2, 1, 3]);
        let longest_pinned = SessionsAsked {
            pinned: true,
            limit: 1,
            ..by_age
        };
        assert_eq!(arranged(longest_pinned), [3]);
    }
}
