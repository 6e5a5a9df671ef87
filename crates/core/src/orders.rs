//! What an engine may tell the data plane to do with the bytes it was shown, and with the connections they came from.
//!
//! An engine is shown the unconsumed bytes of one connection and pushes orders; `Forward` and `Swallow` consume from the front,
//! in order. What no order consumed stays, and is shown again together with what arrives next (not before `Need` is met). Bytes
//! that the engine makes itself live in one scratch buffer, so that an exchange allocates nothing.

use crate::engine::StartupParameters;
use crate::framing::Framing;
use crate::notification::{Channel, Notification};
use crate::{CloseReason, Instant, PinReason, Refusal, StatementShape};
use std::sync::Arc;
use std::time::Duration;

/// One instruction. `E` is the engine's own kind of slow work, see [`Order::Work`].
#[derive(Debug)]
pub enum Order<E> {
    /// The next bytes of the input go to the other connection of this lease, unchanged.
    Forward(usize),
    /// The next bytes of the input are consumed and go nowhere.
    Swallow(usize),
    /// These scratch bytes go to the client.
    ToClient(Made),
    /// These scratch bytes go to the backend.
    ToBackend(Made),
    /// Do not show this input again before it is at least this long.
    Need(usize),
    /// Do not show the client's input again before [`Order::Resume`] or the next fact about the session.
    Pause,
    /// The client's input may be shown again.
    Resume,
    /// From the next byte on, the connection that was shown speaks TLS. Bytes already received belong to TLS.
    StartTls,
    /// From the next byte on, either way, what the client sends and is sent is in these frames. Bytes already received belong to them.
    Frame(Box<dyn Framing>),
    /// What the client is told next begins the answer to its last request, for [`Framing::on_answer`]. Only clients with frames need it.
    Answer,
    /// Work too slow for an event loop (key derivation): run it elsewhere, come back with the result.
    Work(E),
    /// The client has proven who it is; find its pool.
    Admit(Box<Admission>),
    /// The session needs a backend; show no more of the client's input before it has one.
    Lease,
    /// Clean at a boundary: the backend may serve another session.
    Release,
    /// The session keeps its backend from now on; because of this statement, where it is known.
    Pin(PinReason, Option<Box<StatementShape>>),
    /// The pin's cause ended.
    Unpin,
    /// How long the client may be silent without a backend; `None`: as long as the proxy's configuration allows.
    IdleLimit(Option<Duration>),
    /// The client's login is complete.
    ClientReady,
    /// The backend's login is complete; what it said of its limits.
    BackendReady {
        /// Connections that ordinary users may open, as the database reports it.
        connections_usable: u32,
        /// `max_connections` itself.
        connections_max: u32,
    },
    /// The backend cannot be used.
    BackendFailed(Box<Refusal>),
    /// The client asks to cancel what another client does; [`crate::engine::Engine::on_cancelled`] follows.
    Cancel(Box<CancelKey>),
    /// The client cannot be spoken to before it is known what the target says of itself; [`crate::engine::Engine::on_learned`]
    /// follows, or a refusal.
    Learn,
    /// What the target says of itself, for clients to come.
    Remember(Arc<[u8]>),
    /// The client's request was answered; it had arrived at this instant.
    Answered {
        /// When its last byte came in.
        since: Instant,
    },
    /// So many requests were received (metrics).
    Requests(u32),
    /// Settings were replayed before a lease (metrics).
    Replayed,
    /// The database was asked what a session holds (metrics).
    Probed,
    /// A statement was prepared again (metrics).
    Reprepared,
    /// The session asks to hear what is told on these channels, besides those that it has asked for; with none it only asks to be handed
    /// what was told so far. [`crate::engine::Engine::on_subscribed`] answers with the same number.
    Subscribe {
        /// Which question of this session's.
        number: u32,
        /// Which channels.
        channels: Vec<Channel>,
    },
    /// The session needs to hear nothing more of these channels.
    Unsubscribe(Vec<Channel>),
    /// So many notifications are on their way to the client (metrics).
    Notified(u32),
    /// A listening connection was told this.
    Heard(Arc<Notification>),
    /// A listening connection has done its round, or the database did not want to listen.
    RoundDone(Result<(), Box<Refusal>>),
    /// Tell the client no, then close it.
    Refuse(Box<Refusal>),
    /// Close the connection that was shown, after what is queued for it is sent.
    Close(CloseReason),
    /// The backend's last word was passed on: close both connections, the client's after what is queued for it is sent.
    CloseBoth(CloseReason),
    /// Both connections are in doubt: count it, log it, close both.
    Bug(&'static str),
}

/// A range of the scratch buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// Which pool a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The database user.
    pub user: String,
    /// The database; empty where a live connection may change it.
    pub database: String,
    /// What else makes backends differ that a live connection cannot change (flags of a handshake), as the engine numbers it; 0 where
    /// nothing does.
    pub handshake: u32,
    /// Set for a connection that must have a backend of its own from start to end (for replication, or for what can only be set when
    /// a backend starts): the backend's startup parameters.
    pub dedicated: Option<StartupParameters>,
    /// Of the passwords of its user the client has proven the one before.
    pub is_previous: bool,
}

/// What identifies the session to cancel.
#[derive(Clone, PartialEq, Eq)]
pub struct CancelKey {
    /// The process number that it was given at its login.
    pub process: u32,
    /// What proves the right to cancel it: a secret of 4 to 256 bytes, or who asks, where the family trusts that.
    pub secret: Vec<u8>,
    /// The session is to end, not only what it does.
    pub ends: bool,
}

impl std::fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelKey")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

/// Orders of one call and the bytes they speak of; emptied and used again.
#[derive(Debug)]
pub struct Orders<E> {
    list: Vec<Order<E>>,
    made: Vec<u8>,
}

impl<E> Default for Orders<E> {
    fn default() -> Orders<E> {
        Orders {
            list: Vec::new(),
            made: Vec::new(),
        }
    }
}

impl<E> Orders<E> {
    /// Pushes any order. For bytes and forwarding prefer the methods below, which join neighbours.
    #[inline]
    pub fn push(&mut self, order: Order<E>) {
        self.list.push(order);
    }

    /// The next `len` bytes go to the other side.
    #[inline]
    pub fn forward(&mut self, len: usize) {
        match self.list.last_mut() {
            Some(Order::Forward(before)) => *before += len,
            _ if len == 0 => {}
            _ => self.list.push(Order::Forward(len)),
        }
    }

    /// The next `len` bytes go nowhere.
    #[inline]
    pub fn swallow(&mut self, len: usize) {
        match self.list.last_mut() {
            Some(Order::Swallow(before)) => *before += len,
            _ if len == 0 => {}
            _ => self.list.push(Order::Swallow(len)),
        }
    }

    /// Bytes for the client, written by `write`.
    pub fn to_client(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.made.len();
        write(&mut self.made);
        let end = self.made.len();
        match self.list.last_mut() {
            Some(Order::ToClient(before)) if before.end == start => before.end = end,
            _ if start == end => {}
            _ => self.list.push(Order::ToClient(Made { start, end })),
        }
    }

    /// Bytes for the backend, written by `write`.
    pub fn to_backend(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.made.len();
        write(&mut self.made);
        let end = self.made.len();
        match self.list.last_mut() {
            Some(Order::ToBackend(before)) if before.end == start => before.end = end,
            _ if start == end => {}
            _ => self.list.push(Order::ToBackend(Made { start, end })),
        }
    }

    /// Refuses the client.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.list.push(Order::Refuse(Box::new(refusal)));
    }

    /// Takes all orders and their bytes; give both back with [`Orders::reuse`].
    #[inline]
    pub fn take(&mut self) -> (Vec<Order<E>>, Vec<u8>) {
        (
            std::mem::take(&mut self.list),
            std::mem::take(&mut self.made),
        )
    }

    /// Gives emptied buffers back so that their memory is used again. Unusually large ones are let go.
    #[inline]
    pub fn reuse(&mut self, mut list: Vec<Order<E>>, mut made: Vec<u8>) {
        /// Scratch memory kept between calls.
        const KEPT_BYTES_MAX: usize = 64 * 1024;
        list.clear();
        made.clear();
        if self.list.capacity() < list.capacity() {
            self.list = list;
        }
        if self.made.capacity() < made.capacity() && made.capacity() <= KEPT_BYTES_MAX {
            self.made = made;
        }
    }

    /// Orders so far (tests).
    pub fn list(&self) -> &[Order<E>] {
        &self.list
    }

    /// The bytes of a made order.
    pub fn bytes(&self, made: Made) -> &[u8] {
        &self.made[made.start..made.end]
    }
}
