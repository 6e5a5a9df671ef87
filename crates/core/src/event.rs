//! What workers report upwards, for the log. A worker never waits for a reader: the sink drops and counts.

use crate::{CloseReason, PinReason, Refusal, StatementShape};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

/// One thing that happened, and where.
#[derive(Debug, Clone)]
pub struct Event {
    /// Which worker saw it.
    pub worker: u16,
    /// `DBProxyName`, where it concerns one.
    pub proxy: Option<Arc<str>>,
    /// `DBProxyEndpointName`, where it concerns a client.
    pub endpoint: Option<Arc<str>>,
    /// Number of the client connection, unique in this process, where it concerns one.
    pub client: Option<u64>,
    /// Number of the database connection, unique in this process, where it concerns one.
    pub backend: Option<u64>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum EventKind {
    /// A worker runs, on this driver, chosen for this reason.
    WorkerStarted {
        /// `io_uring`, `epoll` or `sim`.
        driver: &'static str,
        /// Why it was chosen.
        why: Arc<str>,
    },
    /// A client's session began.
    ClientReady {
        /// The database user.
        user: Arc<str>,
        /// The database.
        database: Arc<str>,
        /// Its address.
        peer: Arc<str>,
        /// Whether it came by TLS.
        tls: bool,
    },
    /// A client was told no.
    ClientRefused {
        /// What it was told.
        refusal: Refusal,
        /// Its address.
        peer: Arc<str>,
        /// What the log keeps beyond what the client reads.
        detail: Arc<str>,
    },
    /// A client connection ended.
    ClientClosed {
        /// Why.
        reason: CloseReason,
    },
    /// A session now keeps its backend.
    SessionPinned {
        /// Why.
        reason: PinReason,
        /// The statement that did it, where it is known.
        statement: Option<Arc<StatementShape>>,
        /// The database user.
        user: Arc<str>,
        /// The database.
        database: Arc<str>,
    },
    /// A pin ended.
    SessionUnpinned {
        /// Why it had been pinned.
        reason: PinReason,
        /// The statement that did it, where it is known.
        statement: Option<Arc<StatementShape>>,
        /// The database user.
        user: Arc<str>,
        /// The database.
        database: Arc<str>,
        /// How long it was pinned.
        lasted: Duration,
        /// The session goes on without; otherwise the pin ended with it.
        goes_on: bool,
    },
    /// A database connection is ready for use.
    BackendReady {
        /// `host:port`.
        target: Arc<str>,
        /// The database user.
        user: Arc<str>,
        /// The database.
        database: Arc<str>,
        /// Whether it runs over TLS.
        tls: bool,
    },
    /// A database was found to know another of a user's two passwords than it did before.
    PasswordFound {
        /// `host:port`.
        target: Arc<str>,
        /// The database user.
        user: Arc<str>,
        /// It is the one before.
        is_previous: bool,
    },
    /// A database connection could not be made.
    BackendFailed {
        /// `host:port`.
        target: Arc<str>,
        /// The database user.
        user: Arc<str>,
        /// The database.
        database: Arc<str>,
        /// Why; names no secret.
        refusal: Refusal,
    },
    /// A database connection ended.
    BackendClosed {
        /// Why.
        reason: CloseReason,
        /// What the database said, if it said anything.
        detail: Arc<str>,
    },
    /// A database connection went to another worker, whose clients had waited longer.
    BackendMoved {
        /// The worker it went to.
        to: u16,
    },
    /// The database's own limit was read.
    LimitsRead {
        /// `host:port`.
        target: Arc<str>,
        /// `max_connections` of the database.
        max_connections: u32,
        /// How many of them this proxy may use.
        usable: u32,
    },
    /// Something that cannot happen happened; both connections of the session were closed.
    Bug {
        /// Number that the client was told.
        incident: u64,
        /// What was found.
        what: &'static str,
    },
    /// New connections cannot be accepted: the process has no file descriptor or memory left. Told once a minute while it lasts.
    AcceptsFail,
    /// A worker has no more clients after a drain.
    Drained,
}

/// Where workers put events; cheap to clone.
#[derive(Debug, Clone)]
pub struct EventSink {
    sender: Option<SyncSender<Event>>,
    dropped: Arc<AtomicU64>,
    details: Arc<AtomicBool>,
}

impl EventSink {
    /// A sink that feeds `sender` and counts what does not fit.
    pub fn new(sender: SyncSender<Event>) -> EventSink {
        EventSink {
            sender: Some(sender),
            dropped: Arc::default(),
            details: Arc::default(),
        }
    }

    /// A sink that forgets everything (tests).
    pub fn null() -> EventSink {
        EventSink {
            sender: None,
            dropped: Arc::default(),
            details: Arc::default(),
        }
    }

    /// Reports an event; never waits.
    pub fn send(&self, event: Event) {
        let Some(sender) = &self.sender else { return };
        if let Err(TrySendError::Full(_)) = sender.try_send(event) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether anybody reads what happens to each single connection. Workers do not even describe it otherwise.
    pub fn wants_details(&self) -> bool {
        self.details.load(Ordering::Relaxed)
    }

    /// Asks for what happens to each single connection, or no longer.
    pub fn set_details(&self, wanted: bool) {
        self.details.store(wanted, Ordering::Relaxed);
    }

    /// Events that did not fit since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}
