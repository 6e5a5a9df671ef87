//! What a protocol family must offer to the data plane: one page, no default methods.
//!
//! An engine is plain synchronous code. It is shown bytes and facts and answers with [`Orders`]; it never sees a socket, a clock or
//! randomness. A *session* is one client from accept to close; a *backend* is one database connection from dial to close, and
//! carries everything that belongs to the exchange under way (replies outstanding, half-forwarded messages), so that an idle client
//! costs as little as possible. `Shared` is what one worker keeps for all of them (interned settings and statements, caches).

use crate::notification::{Notification, Round};
use crate::orders::{CancelKey, Orders};
use crate::sessions::SessionFacts;
use crate::snapshot::{Credential, Proxy, TlsMode};
use crate::{Instant, Refusal};
use std::fmt;
use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A protocol family.
pub trait Engine: Sized + 'static {
    /// One client, from accept to close.
    type Session;
    /// One database connection, from dial to close. May move to another worker while idle.
    type Backend: Send;
    /// What one worker keeps for all its sessions and backends.
    type Shared;
    /// Work too slow for an event loop.
    type Work: Send + 'static;
    /// The result of that work.
    type Done: Send + 'static;

    /// What a worker needs before its first connection.
    fn shared(household: Household) -> Self::Shared;

    /// A client connected. A family whose server speaks first greets it here, or orders [`Order::Learn`] first.
    ///
    /// [`Order::Learn`]: crate::orders::Order::Learn
    fn session(
        shared: &mut Self::Shared,
        facts: ClientFacts,
        orders: &mut Orders<Self::Work>,
    ) -> Self::Session;

    /// What the target says of itself is known: the answer to [`Order::Learn`].
    ///
    /// [`Order::Learn`]: crate::orders::Order::Learn
    fn on_learned(
        shared: &mut Self::Shared,
        session: &mut Self::Session,
        said: &Arc<[u8]>,
        orders: &mut Orders<Self::Work>,
    );

    /// The client's TLS handshake is complete.
    fn on_client_tls(
        session: &mut Self::Session,
        facts: &TlsFacts,
        orders: &mut Orders<Self::Work>,
    );

    /// Bytes from the client; `backend` is its lease, if it has one.
    fn on_client_bytes(
        shared: &mut Self::Shared,
        session: &mut Self::Session,
        backend: Option<&mut Self::Backend>,
        now: Instant,
        input: &[u8],
        orders: &mut Orders<Self::Work>,
    );

    /// The pool of an admitted client is known.
    fn on_pool(
        shared: &mut Self::Shared,
        session: &mut Self::Session,
        pool: u64,
        orders: &mut Orders<Self::Work>,
    );

    /// Whether the session, which has asked for what `input` begins with, may have this idle backend: nothing that a reset leaves behind on
    /// it shows the session that others had it before. If not, another is found or made.
    fn suits(session: &Self::Session, backend: &Self::Backend, input: &[u8]) -> bool;

    /// Whether of all idle backends that suit it, the session had better have this one: it remembers what the session asks for.
    fn prefers(session: &Self::Session, backend: &Self::Backend, input: &[u8]) -> bool {
        Self::suits(session, backend, input)
    }

    /// The session has a backend; its settings are replayed here.
    fn on_leased(
        shared: &mut Self::Shared,
        session: &mut Self::Session,
        backend: &mut Self::Backend,
        now: Instant,
        orders: &mut Orders<Self::Work>,
    );

    /// Bytes from a backend; `session` is its leaseholder, if it has one.
    fn on_backend_bytes(
        shared: &mut Self::Shared,
        backend: &mut Self::Backend,
        session: Option<&mut Self::Session>,
        now: Instant,
        input: &[u8],
        orders: &mut Orders<Self::Work>,
    );

    /// The client is gone and this was its backend: make it clean, or say that it must be closed.
    fn on_client_gone(backend: &mut Self::Backend, orders: &mut Orders<Self::Work>) -> Farewell;

    /// What the client reads instead of an answer.
    fn on_refused(session: &mut Self::Session, refusal: &Refusal, orders: &mut Orders<Self::Work>);

    /// Whether `input`, what a waiting client has asked for, begins with a whole request: only then may an answer of ours stand for
    /// the database's, see [`Engine::on_lease_refused`].
    fn has_whole_request(session: &Self::Session, input: &[u8]) -> bool;

    /// A client that waits for a backend will not get one. `input` is what it has asked for. Returns whether the client was
    /// answered and stays; otherwise it is to be refused and closed.
    fn on_lease_refused(
        session: &mut Self::Session,
        refusal: &Refusal,
        input: &[u8],
        orders: &mut Orders<Self::Work>,
    ) -> bool;

    /// A connection to a target was made.
    fn backend(
        shared: &mut Self::Shared,
        facts: BackendFacts,
        orders: &mut Orders<Self::Work>,
    ) -> Self::Backend;

    /// The TLS handshake with the target is complete.
    fn on_backend_tls(
        backend: &mut Self::Backend,
        facts: &TlsFacts,
        orders: &mut Orders<Self::Work>,
    );

    /// Whether a login that failed now, or whose connection ended now, did so where a database would end it that does not know the
    /// protocol version asked for: worth another try with [`BackendFacts::oldest_version`].
    fn is_version_in_doubt(backend: &Self::Backend) -> bool;

    /// The backend will be closed: what it is told last, if it listens.
    fn on_backend_closing(backend: &mut Self::Backend, orders: &mut Orders<Self::Work>);

    /// Does slow work; runs on a thread of its own.
    fn work(work: Self::Work) -> Self::Done;

    /// A session's slow work is done.
    fn on_client_work(
        shared: &mut Self::Shared,
        session: &mut Self::Session,
        done: Self::Done,
        orders: &mut Orders<Self::Work>,
    );

    /// A backend's slow work is done.
    fn on_backend_work(
        shared: &mut Self::Shared,
        backend: &mut Self::Backend,
        done: Self::Done,
        orders: &mut Orders<Self::Work>,
    );

    /// Whether nothing stands between this backend and another session: the clean hand-over proof.
    fn is_clean(backend: &Self::Backend) -> bool;

    /// Whether a transaction is open on this backend.
    fn in_transaction(backend: &Self::Backend) -> bool;

    /// Which settings the backend holds, as a number that is equal for equal settings; 0 when unknown. The same value for a
    /// session is [`Engine::session_label`].
    fn backend_label(backend: &Self::Backend) -> u64;

    /// Which settings the session wants to find on its backend.
    fn session_label(session: &Self::Session) -> u64;

    /// Whether the session is between requests, with nothing open: it may be closed without loss.
    fn is_idle(session: &Self::Session, backend: Option<&Self::Backend>) -> bool;

    /// What operators are told of the session; `backend` is its lease, if it has one.
    fn describe(session: &Self::Session, backend: Option<&Self::Backend>) -> SessionFacts;

    /// Whether this key cancels this session.
    fn cancels(session: &Self::Session, key: &CancelKey) -> bool;

    /// What [`Order::Cancel`] asked for is done, or there was nothing to do: whoever asked is told, or its connection ends. `backend` is
    /// its lease, if it has one.
    ///
    /// [`Order::Cancel`]: crate::orders::Order::Cancel
    fn on_cancelled(
        session: &mut Self::Session,
        backend: Option<&mut Self::Backend>,
        found: bool,
        orders: &mut Orders<Self::Work>,
    );

    /// Whether the backend still does what the proxy asked of it on its own, ahead of its client's: a cancel request waits until that is
    /// done, for it would hit the wrong thing.
    fn is_preparing(backend: &Self::Backend) -> bool;

    /// How to cancel what the backend does now; `None` while nothing is outstanding, or without a key.
    fn cancel(backend: &Self::Backend) -> Option<Purpose>;

    /// What [`crate::orders::Order::Subscribe`] asked for is so: the session hears of those channels, and was handed what was told
    /// before. Or why not. What was kept of the input of both is shown again afterwards.
    fn on_subscribed(
        session: &mut Self::Session,
        number: u32,
        result: Result<(), &Refusal>,
        orders: &mut Orders<Self::Work>,
    );

    /// Something was told on a channel that the session asked for. It is kept until [`Engine::deliver`] or a boundary; an error when there
    /// is more of it than is kept for one client.
    fn on_notification(
        session: &mut Self::Session,
        told: &Arc<Notification>,
    ) -> Result<(), Refusal>;

    /// The client takes more: what was told goes to it, unless it must wait for a boundary.
    fn deliver(
        session: &mut Self::Session,
        backend: Option<&Self::Backend>,
        orders: &mut Orders<Self::Work>,
    );

    /// Whether what is told on its channels matters to the session from now on: the connection that listens was lost.
    fn is_listening(session: &Self::Session) -> bool;

    /// What a listening connection is to do next; nothing is under way on it.
    fn listen(backend: &mut Self::Backend, round: &Round, orders: &mut Orders<Self::Work>);

    /// A backend leaves for another worker: whatever refers to this worker's `Shared` is made whole again.
    fn on_backend_moved_in(shared: &mut Self::Shared, backend: &mut Self::Backend);
}

/// What all workers of a process have in common, as far as engines are concerned.
#[derive(Clone)]
pub struct Household {
    /// Random.
    pub secret: [u8; 32],
    /// Random.
    pub hasher: RandomState,
    /// Grow whenever a client was seen to change a schema.
    pub schema_version: Arc<SchemaVersions>,
}

impl fmt::Debug for Household {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The secret is what names are made with that no client must guess.
        f.debug_struct("Household").finish_non_exhaustive()
    }
}

/// How often clients were seen to change a schema, counted apart for what has no tables in common.
#[derive(Debug)]
pub struct SchemaVersions(Box<[AtomicU64]>);

/// Counts kept apart. Two scopes that share one count prepare anew for each other's changes, no more.
const SCHEMA_VERSIONS: usize = 256;

impl Default for SchemaVersions {
    fn default() -> SchemaVersions {
        SchemaVersions((0..SCHEMA_VERSIONS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl SchemaVersions {
    /// The count of a scope.
    pub fn of(&self, scope: u64) -> u64 {
        self.count(scope).load(Ordering::Relaxed)
    }

    /// A schema was changed in this scope.
    pub fn grow(&self, scope: u64) {
        self.count(scope).fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self, scope: u64) -> &AtomicU64 {
        let places = self.0.len() as u64;
        let place = usize::try_from(scope % places).expect("a remainder is less than a length");
        &self.0[place]
    }
}

/// What is known of a client when it connects.
pub struct ClientFacts {
    /// Whose endpoint it came to.
    pub proxy: Arc<Proxy>,
    /// Process number to show to it, unique among all clients of this process.
    pub process: u32,
    /// Number of the session, never used twice in this process.
    pub session: u64,
    /// What a backend last ordered to be remembered of the endpoint's target, if one has.
    pub target: Option<Arc<[u8]>>,
    /// Fresh randomness for its cancel secret, nonces and salts.
    pub entropy: [u8; 64],
}

impl fmt::Debug for ClientFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFacts")
            .field("proxy", &self.proxy.name)
            .field("process", &self.process)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// What is known after a TLS handshake.
#[derive(Debug, Clone, Default)]
pub struct TlsFacts {
    /// The protocol agreed on by ALPN.
    pub alpn: Option<Vec<u8>>,
    /// `tls-server-end-point` channel binding data (RFC 5929) of the server's certificate.
    pub server_end_point: Option<Vec<u8>>,
    /// Whether the client showed a certificate that was verified.
    pub client_certificate: bool,
    /// SHA-256 of the certificate that we showed to a client, DER.
    pub own_certificate: Option<[u8; 32]>,
}

/// Names and values of a startup message as a client sent them: their encoding is the database's.
pub type StartupParameters = Vec<(Vec<u8>, Vec<u8>)>;

/// The first of the process numbers that clients are shown: above what an operating system gives (`PID_MAX_LIMIT` of Linux), so that none
/// is a server process's, and far above what a server counts its connections to.
pub const PROCESS_MIN: u32 = 1 << 22;

/// Why a database connection is made.
#[derive(Clone, PartialEq, Eq)]
pub enum Purpose {
    /// For a pool.
    Pooled,
    /// For one session from start to end, with these startup parameters.
    Dedicated(StartupParameters),
    /// To listen on channels for all sessions of its database.
    Listener,
    /// To hear what the target says of itself before any login, and end.
    Scout,
    /// To cancel what another connection does, with that connection's key, and end.
    Cancel {
        /// The database's process number.
        process: u32,
        /// Its secret; empty for a family whose cancel requests log in.
        secret: Vec<u8>,
    },
}

impl fmt::Debug for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Purpose::Pooled => "Pooled",
            Purpose::Dedicated(_) => "Dedicated",
            Purpose::Listener => "Listener",
            Purpose::Scout => "Scout",
            Purpose::Cancel { .. } => "Cancel",
        })
    }
}

/// What is known of a database connection when it is made.
pub struct BackendFacts {
    /// Who logs in.
    pub credential: Arc<Credential>,
    /// Into which database.
    pub database: Arc<str>,
    /// What its sessions have in common that a live connection cannot change, see [`Admission::handshake`].
    ///
    /// [`Admission::handshake`]: crate::orders::Admission::handshake
    pub handshake: u32,
    /// How much TLS the target must have.
    pub tls: TlsMode,
    /// Run once after login; empty for none.
    pub init_query: Arc<str>,
    /// What for.
    pub purpose: Purpose,
    /// The target was found not to know our newest protocol version: speak the oldest one that serves.
    pub oldest_version: bool,
    /// Fresh randomness for nonces.
    pub entropy: [u8; 32],
}

impl fmt::Debug for BackendFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An initialization query may hold a password.
        f.debug_struct("BackendFacts")
            .field("credential", &self.credential)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

/// What becomes of a backend whose client vanished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// It is clean: the next session may have it.
    Clean,
    /// Orders were given that make it clean; `Release` will follow.
    Cleaning,
    /// It must be closed; nothing is running on it.
    Close,
    /// It must be closed, and what it runs must be cancelled.
    CancelAndClose,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_printed() {
        let household = Household {
            secret: [171; 32],
            hasher: RandomState::new(),
            schema_version: Arc::default(),
        };
        assert_eq!(format!("{household:?}"), "Household { .. }");
    }

    #[test]
    fn a_changed_schema_counts_in_its_own_scope() {
        let versions = SchemaVersions::default();
        versions.grow(7);
        assert_eq!([versions.of(7), versions.of(8)], [1, 0]);
    }
}
