//! What a worker does I/O with: completion style, three implementations of one small interface.
//!
//! A driver decides nothing. It accepts, connects, receives into the worker's buffer pool, sends what it is given in order, and
//! tells what became of it. Calls only note what is wanted; [`Driver::turn`] does the work of many calls at once and returns the
//! events. After [`Driver::close`] nothing more is heard of a connection.

pub mod epoll;
mod outbox;
#[cfg(target_os = "linux")]
pub mod uring;

use crate::buffer::{Chunk, Slice};
use forebay_core::Instant;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

/// A connection of a driver. Handles are never mixed up: a closed connection's handle matches no later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Handle {
    /// The handle of a driver's place `index`, used for the `generation`th time.
    pub fn new(index: u32, generation: u32) -> Handle {
        Handle { index, generation }
    }

    /// The place, and how often it was used before.
    pub fn parts(self) -> (u32, u32) {
        (self.index, self.generation)
    }
}

/// A number that the worker gives to a connection or listener and gets back with each event.
pub type Token = u64;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A listener has a new connection. It is not received from before [`Driver::receive`] says so.
    Accepted {
        /// The listener's token.
        listener: Token,
        /// The new connection; its token is 0 until set.
        connection: Handle,
    },
    /// A connection was made, or not.
    Connected {
        /// The connection's token.
        token: Token,
        /// What came of it.
        result: io::Result<()>,
    },
    /// Bytes came.
    Received {
        /// The connection's token.
        token: Token,
        /// The bytes, never empty.
        bytes: Slice,
    },
    /// No more bytes will come: the peer closed its side (`None`), or receiving or sending failed.
    Ended {
        /// The connection's token.
        token: Token,
        /// What failed.
        error: Option<io::Error>,
    },
    /// What was unsent has been sent, after [`Driver::unsent`] had been above [`UNSENT_HIGH`].
    Relaxed {
        /// The connection's token.
        token: Token,
    },
    /// The connection has left this driver, with nothing of it in flight.
    Detached {
        /// The connection's token.
        token: Token,
        /// Its socket.
        socket: Socket,
    },
    /// Somebody called the waker.
    Woken,
}

/// With more unsent bytes than this on one side, the other side is not read.
pub const UNSENT_HIGH: usize = 64 * 1024;

/// A socket on its way from one driver to another.
#[derive(Debug)]
pub enum Socket {
    /// A connected TCP socket of the operating system.
    Os(OwnedFd),
    /// A connection of the simulation.
    Simulated(u64),
}

/// Wakes a worker from another thread.
pub trait Wake: Send + Sync {
    /// Makes the driver's turn return soon, with [`Event::Woken`].
    fn wake(&self);
}

/// What a worker's event loop needs.
pub trait Driver {
    /// `io_uring`, `epoll` or `sim`.
    fn name(&self) -> &'static str;

    /// Now, as read at the last turn.
    fn now(&self) -> Instant;

    /// Accepts from `listener` until [`Driver::unlisten`].
    fn listen(&mut self, listener: TcpListener, token: Token) -> io::Result<()>;

    /// Stops accepting; the listener is closed.
    fn unlisten(&mut self, token: Token);

    /// Connects to `address`.
    fn connect(&mut self, address: SocketAddr, token: Token) -> io::Result<Handle>;

    /// Takes over a connection of another driver.
    fn attach(&mut self, socket: Socket, token: Token) -> Handle;

    /// Lets a connection go to another driver; [`Event::Detached`] follows, after any bytes that were already received.
    fn detach(&mut self, connection: Handle);

    /// Changes a connection's token.
    fn set_token(&mut self, connection: Handle, token: Token);

    /// Whether to receive.
    fn receive(&mut self, connection: Handle, on: bool);

    /// Sends a chunk after all earlier ones.
    fn send(&mut self, connection: Handle, chunk: Chunk);

    /// Sends a copy of `bytes` after all earlier chunks.
    fn send_copy(&mut self, connection: Handle, bytes: &[u8]);

    /// Bytes that wait to be sent.
    fn unsent(&self, connection: Handle) -> usize;

    /// Closes a connection, at once or when all is sent (within reason: a peer that takes nothing is cut off by `sweep`).
    fn close(&mut self, connection: Handle, after_sending: bool);

    /// The peer's address.
    fn peer(&self, connection: Handle) -> Option<SocketAddr>;

    /// What wakes this driver from another thread.
    fn waker(&self) -> std::sync::Arc<dyn Wake>;

    /// Does what was asked for, waits until something happens or `until`, and appends what happened.
    fn turn(&mut self, until: Option<Instant>, events: &mut Vec<Event>) -> io::Result<()>;

    /// System calls made, receives without a buffer (metrics).
    fn counters(&self) -> Counters;
}

/// What a driver counts about itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    /// System calls on the data path.
    pub system_calls: u64,
    /// Receives that found no buffer.
    pub buffers_exhausted: u64,
    /// Accepts that failed for want of descriptors or memory.
    pub accepts_failed: u64,
}
