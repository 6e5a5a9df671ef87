//! Every "no" that a client can hear from the proxy itself. Errors of the database pass untouched and are not here.
//!
//! Each engine maps every variant to its wire form in `errors.rs`, in one `match` without a wildcard. The texts of RDS Proxy are
//! in the ledger (`docs/ledger/errors.md`).

use std::sync::Arc;

/// Who has to act for the refusal to go away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The client sent something it should not have.
    Client,
    /// The database or the way to it.
    Backend,
    /// Configuration or limits.
    Operator,
    /// A bug of ours.
    Proxy,
}

/// What a database means that refuses the proxy's own login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetRefusal {
    /// User and password are not what it knows.
    Credentials,
    /// The database that was named is not there, or not for this user.
    Database,
    /// It has as many connections as it may have, in all or for this user.
    Full,
    /// It starts up or shuts down, and serves nobody.
    Unavailable,
    /// What one client asked for at its start is wrong or not allowed: no fault of the database's.
    Settings,
    /// Anything else.
    Other,
}

/// What a client is told instead of being served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No backend became free within `ConnectionBorrowTimeout`.
    BorrowTimeout,
    /// The queue of clients that wait for a backend is full.
    QueueFull {
        /// The bound of that queue.
        max: u32,
    },
    /// The proxy has as many clients as it may have.
    TooManyClients {
        /// The bound.
        max: u32,
    },
    /// Clients connect faster than the proxy may accept them.
    ConnectRate {
        /// The bound, in connections per second.
        max: u32,
    },
    /// So many logins are under way that another one's keys cannot be derived soon.
    TooManyLogins,
    /// The proxy requires TLS and the client did not ask for it.
    TlsRequired,
    /// The proxy requires a client certificate and the client showed none.
    CertificateRequired,
    /// No secret is registered for this user.
    NoCredentials {
        /// The user's name as the client gave it.
        user: String,
    },
    /// The password (or the proof made from it) is wrong.
    WrongPassword {
        /// The user's name as the client gave it.
        user: String,
    },
    /// The startup message names no user.
    MissingUser,
    /// The client asked for a mechanism that is not offered.
    UnsupportedAuth,
    /// This user's password is only asked for in clear text, and the client came without TLS.
    ClearTextNeedsTls {
        /// The user's name as the client gave it.
        user: String,
    },
    /// What the client says of the TLS channel is not what the proxy sees of it: somebody may sit between them. The text says what.
    ChannelBinding(&'static str),
    /// The client's login asks for something of the protocol that does not exist here; the text says for what.
    FeatureNotSupported(&'static str),
    /// The client did not finish its login in time.
    LoginTimeout,
    /// The protocol version is not spoken here.
    ProtocolVersion {
        /// Major version asked for.
        major: u16,
        /// Minor version asked for.
        minor: u16,
    },
    /// The client broke the protocol; the text says where.
    ProtocolViolation(&'static str),
    /// The client's connection is to be compressed in a way that does not exist.
    CompressionLevel,
    /// What is in a frame of the client's cannot be read, or is not what the frame says.
    BrokenFrame,
    /// The client's frames are not numbered one after the other.
    FrameOutOfOrder,
    /// A message is longer than is allowed at this point.
    MessageTooLarge {
        /// The bound, in bytes.
        max: u32,
    },
    /// Nothing came from the client for `IdleClientTimeout`.
    IdleClientTimeout,
    /// The client's own setting of how long its session may be idle was exceeded.
    IdleSessionTimeout,
    /// The client's TLS has encrypted almost as much as its keys may.
    TlsKeysWorn,
    /// The proxy shuts down.
    ShuttingDown,
    /// The client itself cancelled while it waited in the queue.
    Cancelled,
    /// The database cannot be reached; the text is for the log and names no secret.
    TargetUnreachable {
        /// What failed, e.g. `connection refused`.
        detail: Arc<str>,
    },
    /// The database and the proxy do not trust each other: its TLS certificate, ours, or the kind of proof it asks for. The text is for
    /// the log and names no secret.
    TargetAuthentication {
        /// What failed, e.g. `the peer's certificate has expired`.
        detail: Arc<str>,
    },
    /// The database refused the proxy's own login; its SQLSTATE-like code and text.
    TargetRefused {
        /// What is to be made of it, as the engine reads the code.
        means: TargetRefusal,
        /// The database's error code.
        code: Arc<str>,
        /// The database's message.
        message: Arc<str>,
    },
    /// The backend was lost while it worked for this client.
    BackendLost,
    /// The connection was lost that listened for this client.
    ListenerLost,
    /// More is told on the channels that the client listens on than it takes.
    TooFarBehind {
        /// The bound, in bytes.
        max: u32,
    },
    /// What was told on a channel is written in an encoding that the client does not read, and is not converted here.
    NotificationEncoding,
    /// The settings of the client's startup message were refused by the database.
    SettingRefused {
        /// The database's error code.
        code: Arc<str>,
        /// The database's message.
        message: Arc<str>,
    },
    /// "Cannot happen" happened; the incident number is in the log.
    Bug {
        /// Number of the incident in the log.
        incident: u64,
    },
}

impl Refusal {
    /// The names in logs and metric labels.
    pub const NAMES: [&'static str; 35] = [
        "borrow_timeout",
        "queue_full",
        "too_many_clients",
        "connect_rate",
        "too_many_logins",
        "tls_required",
        "certificate_required",
        "no_credentials",
        "wrong_password",
        "missing_user",
        "unsupported_auth",
        "clear_text_needs_tls",
        "channel_binding",
        "feature_not_supported",
        "login_timeout",
        "protocol_version",
        "protocol_violation",
        "message_too_large",
        "idle_client_timeout",
        "tls_keys_worn",
        "shutting_down",
        "cancelled",
        "target_unreachable",
        "target_authentication",
        "target_refused",
        "backend_lost",
        "setting_refused",
        "bug",
        "idle_session_timeout",
        "listener_lost",
        "too_far_behind",
        "notification_encoding",
        "compression_level",
        "broken_frame",
        "frame_out_of_order",
    ];

    /// Its place in [`Refusal::NAMES`].
    pub fn number(&self) -> usize {
        match self {
            Refusal::BorrowTimeout => 0,
            Refusal::QueueFull { .. } => 1,
            Refusal::TooManyClients { .. } => 2,
            Refusal::ConnectRate { .. } => 3,
            Refusal::TooManyLogins => 4,
            Refusal::TlsRequired => 5,
            Refusal::CertificateRequired => 6,
            Refusal::NoCredentials { .. } => 7,
            Refusal::WrongPassword { .. } => 8,
            Refusal::MissingUser => 9,
            Refusal::UnsupportedAuth => 10,
            Refusal::ClearTextNeedsTls { .. } => 11,
            Refusal::ChannelBinding(_) => 12,
            Refusal::FeatureNotSupported(_) => 13,
            Refusal::LoginTimeout => 14,
            Refusal::ProtocolVersion { .. } => 15,
            Refusal::ProtocolViolation(_) => 16,
            Refusal::MessageTooLarge { .. } => 17,
            Refusal::IdleClientTimeout => 18,
            Refusal::TlsKeysWorn => 19,
            Refusal::ShuttingDown => 20,
            Refusal::Cancelled => 21,
            Refusal::TargetUnreachable { .. } => 22,
            Refusal::TargetAuthentication { .. } => 23,
            Refusal::TargetRefused { .. } => 24,
            Refusal::BackendLost => 25,
            Refusal::SettingRefused { .. } => 26,
            Refusal::Bug { .. } => 27,
            Refusal::IdleSessionTimeout => 28,
            Refusal::ListenerLost => 29,
            Refusal::TooFarBehind { .. } => 30,
            Refusal::NotificationEncoding => 31,
            Refusal::CompressionLevel => 32,
            Refusal::BrokenFrame => 33,
            Refusal::FrameOutOfOrder => 34,
        }
    }

    /// The name in logs and metric labels.
    pub fn as_str(&self) -> &'static str {
        Refusal::NAMES[self.number()]
    }

    /// Whether a login that ends with it failed for its authentication or for TLS, be it the client's or ours with the database
    /// (`ClientConnectionsSetupFailedAuth`).
    pub fn is_authentication(&self) -> bool {
        match self {
            Refusal::TlsRequired
            | Refusal::CertificateRequired
            | Refusal::NoCredentials { .. }
            | Refusal::WrongPassword { .. }
            | Refusal::MissingUser
            | Refusal::UnsupportedAuth
            | Refusal::ClearTextNeedsTls { .. }
            | Refusal::ChannelBinding(_)
            | Refusal::TargetAuthentication { .. } => true,
            Refusal::TargetRefused { means, .. } => *means == TargetRefusal::Credentials,
            Refusal::BorrowTimeout
            | Refusal::QueueFull { .. }
            | Refusal::TooManyClients { .. }
            | Refusal::ConnectRate { .. }
            | Refusal::TooManyLogins
            | Refusal::FeatureNotSupported(_)
            | Refusal::LoginTimeout
            | Refusal::ProtocolVersion { .. }
            | Refusal::ProtocolViolation(_)
            | Refusal::CompressionLevel
            | Refusal::BrokenFrame
            | Refusal::FrameOutOfOrder
            | Refusal::MessageTooLarge { .. }
            | Refusal::IdleClientTimeout
            | Refusal::IdleSessionTimeout
            | Refusal::TlsKeysWorn
            | Refusal::ShuttingDown
            | Refusal::Cancelled
            | Refusal::TargetUnreachable { .. }
            | Refusal::BackendLost
            | Refusal::ListenerLost
            | Refusal::TooFarBehind { .. }
            | Refusal::NotificationEncoding
            | Refusal::SettingRefused { .. }
            | Refusal::Bug { .. } => false,
        }
    }

    /// Who has to act.
    pub fn blame(&self) -> Blame {
        match self {
            Refusal::BorrowTimeout
            | Refusal::QueueFull { .. }
            | Refusal::TooManyClients { .. }
            | Refusal::ConnectRate { .. }
            | Refusal::TooManyLogins
            | Refusal::NoCredentials { .. }
            | Refusal::ShuttingDown => Blame::Operator,
            Refusal::TlsRequired
            | Refusal::CertificateRequired
            | Refusal::WrongPassword { .. }
            | Refusal::MissingUser
            | Refusal::UnsupportedAuth
            | Refusal::ClearTextNeedsTls { .. }
            | Refusal::ChannelBinding(_)
            | Refusal::FeatureNotSupported(_)
            | Refusal::LoginTimeout
            | Refusal::ProtocolVersion { .. }
            | Refusal::ProtocolViolation(_)
            | Refusal::CompressionLevel
            | Refusal::BrokenFrame
            | Refusal::FrameOutOfOrder
            | Refusal::MessageTooLarge { .. }
            | Refusal::IdleClientTimeout
            | Refusal::IdleSessionTimeout
            | Refusal::TlsKeysWorn
            | Refusal::Cancelled
            | Refusal::TooFarBehind { .. }
            | Refusal::NotificationEncoding
            | Refusal::SettingRefused { .. } => Blame::Client,
            Refusal::TargetUnreachable { .. }
            | Refusal::TargetAuthentication { .. }
            | Refusal::TargetRefused { .. }
            | Refusal::BackendLost
            | Refusal::ListenerLost => Blame::Backend,
            Refusal::Bug { .. } => Blame::Proxy,
        }
    }
}
