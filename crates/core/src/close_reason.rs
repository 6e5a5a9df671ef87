//! Why a connection ended, for logs and metrics; what the client reads about it, if anything, is a [`crate::Refusal`].

/// Why a client or a backend connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client said goodbye.
    ClientQuit,
    /// The client closed its connection without a word, between transactions.
    ClientGone,
    /// The client vanished while a request was under way or a transaction was open.
    ClientGoneMidway,
    /// Its session was pinned and ended: what it left behind cannot be told.
    WasPinned,
    /// Another client ended it (KILL).
    Killed,
    /// The proxy refused the client.
    Refused,
    /// The client's bytes broke the protocol.
    ClientProtocol,
    /// TLS failed on this connection.
    Tls,
    /// Reading from or writing to the socket failed.
    Io,
    /// The backend closed its connection, or died.
    BackendGone,
    /// The backend's bytes broke the protocol.
    BackendProtocol,
    /// The backend could not be proven clean.
    NotClean,
    /// The session that was to have it could have noticed who had it before.
    Unsuitable,
    /// The backend reached its maximum age.
    MaxAge,
    /// More idle backends than `MaxIdleConnectionsPercent` allows.
    IdleTrimmed,
    /// Its place was given to a pool that had clients waiting.
    GivenUp,
    /// Configuration changed: its target, its user or its limits are no longer wanted.
    Reconfigured,
    /// The backend could not be set up (login, initialization query).
    SetupFailed,
    /// A connection that only carries a cancel request has done so.
    CancelDone,
    /// The proxy drains or shuts down.
    Drain,
    /// "Cannot happen" happened.
    Bug,
}

impl CloseReason {
    /// The name in logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            CloseReason::ClientQuit => "client_quit",
            CloseReason::ClientGone => "client_gone",
            CloseReason::ClientGoneMidway => "client_gone_midway",
            CloseReason::WasPinned => "was_pinned",
            CloseReason::Killed => "killed",
            CloseReason::Refused => "refused",
            CloseReason::ClientProtocol => "client_protocol",
            CloseReason::Tls => "tls",
            CloseReason::Io => "io",
            CloseReason::BackendGone => "backend_gone",
            CloseReason::BackendProtocol => "backend_protocol",
            CloseReason::NotClean => "not_clean",
            CloseReason::Unsuitable => "unsuitable",
            CloseReason::MaxAge => "max_age",
            CloseReason::IdleTrimmed => "idle_trimmed",
            CloseReason::GivenUp => "given_up",
            CloseReason::Reconfigured => "reconfigured",
            CloseReason::SetupFailed => "setup_failed",
            CloseReason::CancelDone => "cancel_done",
            CloseReason::Drain => "drain",
            CloseReason::Bug => "bug",
        }
    }
}
