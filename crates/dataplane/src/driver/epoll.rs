//! The readiness driver: one wait per turn for all connections, then plain receives and sends.
//!
//! ```text
//!   turn ─► send what was queued ─► wait ─► accept ─► receive ─► cut off those whose time is over
//! ```
//!
//! Works wherever there is epoll or kqueue, containers included. A message costs one receive and one send, and a wait is shared
//! by all that is ready. A connection that has much to receive gets a bounded share of each turn; its turn comes again before the
//! driver waits.

mod connection;
mod listening;
mod readiness;

use super::{Counters, Driver, Event, Handle, Socket, Token, UNSENT_HIGH, Wake};
use crate::buffer::{BufferPool, Chunk};
use crate::clock::Clock;
use crate::socket;
use connection::{Connection, Life, Received, Sent, Tools};
use forebay_core::Instant;
use listening::{LISTENER, Listener};
use readiness::{Readiness, Ready, WAKER};
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Size of a receive buffer.
const BUFFER_BYTES: usize = 16 * 1024;
/// Receive buffers.
const BUFFERS: u16 = 256;
/// Most receives from one connection in a turn.
const RECEIVES_MAX: usize = 4;
/// A closing connection gets this long to take what it is still sent, and to close its side.
const CLOSING_MAX: Duration = Duration::from_secs(3);
/// How long to wait for a buffer when all of them are held.
const BUFFER_PAUSE: Duration = Duration::from_millis(1);

/// The readiness driver.
pub struct Epoll {
    readiness: Readiness,
    slots: Vec<Slot>,
    free: Vec<u32>,
    listeners: Vec<Option<Listener>>,
    /// Connections with something to send.
    dirty: Vec<Handle>,
    /// Connections that may have something to receive, in order of arrival.
    queued: VecDeque<Handle>,
    /// Connections whose attaching or connecting failed at once.
    failed: Vec<(Handle, io::Error)>,
    /// Connections that may be able to leave at once.
    leaving: Vec<Handle>,
    /// Connections on their way out, oldest first.
    closing: VecDeque<(Instant, Handle)>,
    ready: Vec<Ready>,
    tools: Tools,
    clock: Clock,
    now: Instant,
}

/// A place for a connection. The generation tells apart those that had it one after the other.
#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    connection: Option<Connection>,
}

fn key(handle: Handle) -> u64 {
    u64::from(handle.generation) << 32 | u64::from(handle.index)
}

impl Epoll {
    /// A driver with the best readiness that the system has.
    pub fn new(clock: Clock) -> io::Result<Epoll> {
        Ok(Epoll::with(Readiness::new()?, clock))
    }

    /// A driver with the readiness that works on all systems; tests use it where there is a better one.
    pub fn portable(clock: Clock) -> io::Result<Epoll> {
        Ok(Epoll::with(Readiness::portable()?, clock))
    }

    fn with(readiness: Readiness, clock: Clock) -> Epoll {
        Epoll {
            readiness,
            slots: Vec::new(),
            free: Vec::new(),
            listeners: Vec::new(),
            dirty: Vec::new(),
            queued: VecDeque::new(),
            failed: Vec::new(),
            leaving: Vec::new(),
            closing: VecDeque::new(),
            ready: Vec::new(),
            tools: Tools {
                buffers: BufferPool::new(BUFFERS, BUFFER_BYTES),
                spare: Default::default(),
                counters: Counters::default(),
                pieces: Vec::new(),
            },
            clock,
            now: clock.now(),
        }
    }

    fn get(&mut self, handle: Handle) -> Option<&mut Connection> {
        get(&mut self.slots, handle)
    }

    /// A connection that its owner has not closed.
    fn owned(&mut self, handle: Handle) -> Option<&mut Connection> {
        self.get(handle).filter(|connection| connection.is_owned())
    }

    /// Gives a connection a place and has its readiness reported.
    fn add(&mut self, connection: Connection) -> (Handle, io::Result<()>) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).expect("fewer connections than descriptors")
        });
        let slot = &mut self.slots[index as usize];
        let handle = Handle {
            index,
            generation: slot.generation,
        };
        let connection = slot.connection.insert(connection);
        self.tools.counters.system_calls += 1;
        let added = self.readiness.add(connection.socket.as_fd(), key(handle));
        (handle, added)
    }

    /// Frees a connection's place; its handle matches nothing any more.
    fn take(&mut self, handle: Handle) -> Option<Connection> {
        let slot = self.slots.get_mut(handle.index as usize)?;
        if slot.generation != handle.generation {
            return None;
        }
        let connection = slot.connection.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(handle.index);
        Some(connection)
    }

    fn drop_connection(&mut self, handle: Handle) {
        if let Some(connection) = self.take(handle) {
            let told = self.readiness.before_close(connection.socket.as_fd());
            self.tools.counters.system_calls += 1 + u64::from(told);
        }
    }

    fn mark_dirty(&mut self, handle: Handle) {
        if let Some(connection) = get(&mut self.slots, handle)
            && connection.may_send()
            && !connection.dirty
        {
            connection.dirty = true;
            self.dirty.push(handle);
        }
    }

    fn queue(&mut self, handle: Handle) {
        if let Some(connection) = get(&mut self.slots, handle)
            && connection.may_receive()
            && !connection.queued
        {
            connection.queued = true;
            self.queued.push_back(handle);
        }
    }

    fn send_dirty(&mut self, events: &mut Vec<Event>) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for handle in dirty.drain(..) {
            if let Some(connection) = self.get(handle) {
                connection.dirty = false;
                self.send_now(handle, events);
            }
        }
        // Those with more to send than one turn allows have been added meanwhile.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
    }

    fn send_now(&mut self, handle: Handle, events: &mut Vec<Event>) {
        let Some(connection) = get(&mut self.slots, handle) else {
            return;
        };
        if !connection.may_send() {
            return;
        }
        match connection.send(&mut self.tools) {
            Sent::Failed(error) => {
                connection.on_send_failed(error);
                if connection.is_owned() && connection.may_receive() {
                    return self.queue(handle);
                }
                return self.on_end(handle, None, events);
            }
            Sent::Some if !connection.dirty => {
                connection.dirty = true;
                self.dirty.push(handle);
            }
            Sent::All | Sent::Blocked | Sent::Some => {}
        }
        if connection.relaxes() && connection.life == Life::Open {
            events.push(Event::Relaxed {
                token: connection.token,
            });
        }
        self.settle(handle, events);
    }

    /// Nothing more will be received, or nothing at all can be done.
    fn on_end(&mut self, handle: Handle, error: Option<io::Error>, events: &mut Vec<Event>) {
        let Some(connection) = self.get(handle) else {
            return;
        };
        let error = error.or(connection.failure.take());
        if error.is_some() {
            connection.on_broken();
        }
        if (!connection.ended || error.is_some()) && connection.life == Life::Open {
            events.push(Event::Ended {
                token: connection.token,
                error,
            });
        }
        connection.ended = true;
        self.settle(handle, events);
    }

    /// Takes the next step of a connection's end, if it is ending.
    fn settle(&mut self, handle: Handle, events: &mut Vec<Event>) {
        let Some(connection) = self.get(handle) else {
            return;
        };
        if connection.connecting || !connection.outbox.is_empty() {
            return;
        }
        let over = connection.ended || connection.broken;
        match connection.life {
            Life::Open => {}
            Life::Detaching => {
                if let Some(connection) = self.take(handle) {
                    self.tools.counters.system_calls += 1;
                    self.readiness.remove(connection.socket.as_fd());
                    events.push(Event::Detached {
                        token: connection.token,
                        socket: Socket::Os(OwnedFd::from(connection.socket)),
                    });
                }
            }
            Life::Lingering | Life::Leaving if over => self.drop_connection(handle),
            Life::Lingering => {
                connection.life = Life::Leaving;
                socket::end_writing(connection.socket.as_raw_fd());
                self.tools.counters.system_calls += 1;
                self.queue(handle);
            }
            Life::Leaving => {}
        }
    }

    /// Tells what failed before it began, and lets go those that may leave at once.
    fn tell_early(&mut self, events: &mut Vec<Event>) {
        for (handle, error) in std::mem::take(&mut self.failed) {
            match self.get(handle).map(|connection| connection.connecting) {
                Some(true) => self.on_connected(handle, Err(error), events),
                Some(false) => self.on_end(handle, Some(error), events),
                None => {}
            }
        }
        for handle in std::mem::take(&mut self.leaving) {
            self.settle(handle, events);
        }
    }

    fn on_connected(&mut self, handle: Handle, result: io::Result<()>, events: &mut Vec<Event>) {
        let Some(connection) = self.get(handle) else {
            return;
        };
        connection.connecting = false;
        connection.blocked = false;
        if result.is_err() {
            connection.ended = true;
            connection.on_broken();
        }
        if connection.life == Life::Open {
            events.push(Event::Connected {
                token: connection.token,
                result,
            });
        }
        self.settle(handle, events);
    }

    fn on_ready(&mut self, ready: Ready, events: &mut Vec<Event>) {
        if ready.key == WAKER {
            return events.push(Event::Woken);
        }
        let (index, generation) = (ready.key as u32, (ready.key >> 32) as u32);
        if ready.key & LISTENER != 0 {
            let index = index & !(LISTENER as u32);
            if let Some(Some(listener)) = self.listeners.get_mut(index as usize) {
                listener.ready = true;
            }
            return;
        }
        self.on_connection_ready(Handle { index, generation }, ready, events);
    }

    fn on_connection_ready(&mut self, handle: Handle, ready: Ready, events: &mut Vec<Event>) {
        let Some(connection) = get(&mut self.slots, handle) else {
            return;
        };
        connection.readable |= ready.readable;
        connection.may_have_ended |= ready.may_have_ended;
        if connection.connecting {
            if !ready.writable {
                return;
            }
            self.tools.counters.system_calls += 1;
            let result = match connection.socket.take_error() {
                Ok(None) => Ok(()),
                Ok(Some(error)) | Err(error) => Err(error),
            };
            self.on_connected(handle, result, events);
        } else if ready.writable && connection.blocked {
            connection.blocked = false;
        }
        self.send_now(handle, events);
        self.queue(handle);
    }

    fn receive_queued(&mut self, events: &mut Vec<Event>) {
        for _ in 0..self.queued.len() {
            let Some(handle) = self.queued.pop_front() else {
                return;
            };
            let Some(connection) = self.get(handle) else {
                continue;
            };
            connection.queued = false;
            if !self.receive_some(handle, events) {
                // The others would find no buffer either; this one comes first the next time.
                if let Some(connection) = self.get(handle) {
                    connection.queued = true;
                    self.queued.push_front(handle);
                }
                return;
            }
            self.queue(handle);
        }
    }

    /// Receives a connection's share of a turn. Whether there were buffers.
    fn receive_some(&mut self, handle: Handle, events: &mut Vec<Event>) -> bool {
        for _ in 0..RECEIVES_MAX {
            let Some(connection) = get(&mut self.slots, handle) else {
                return true;
            };
            if !connection.may_receive() {
                return true;
            }
            match connection.receive(&mut self.tools) {
                Received::Bytes(bytes) if connection.is_owned() => events.push(Event::Received {
                    token: connection.token,
                    bytes,
                }),
                Received::Bytes(_) => {}
                Received::Nothing => return true,
                Received::NoBuffer => return false,
                Received::End(error) => self.on_end(handle, error, events),
            }
        }
        true
    }

    /// Cuts off connections that were given long enough to end.
    fn sweep_closing(&mut self) {
        while let Some(&(since, handle)) = self.closing.front() {
            if get(&mut self.slots, handle).is_some() && self.now < since + CLOSING_MAX {
                break;
            }
            self.closing.pop_front();
            self.drop_connection(handle);
        }
    }

    /// How long to wait when the caller waits until `until`.
    fn timeout(&self, until: Option<Instant>, told: bool) -> Option<Duration> {
        let now = self.clock.now();
        let mut timeout = until.map(|until| until.since(now));
        let mut at_most = |bound: Duration| {
            timeout = Some(timeout.map_or(bound, |timeout| timeout.min(bound)));
        };
        if told || !self.dirty.is_empty() {
            at_most(Duration::ZERO);
        }
        if !self.queued.is_empty() {
            let starved = !self.tools.buffers.any_free();
            at_most(if starved {
                BUFFER_PAUSE
            } else {
                Duration::ZERO
            });
        }
        for listener in self.listeners.iter().flatten() {
            if listener.ready {
                at_most(listener.paused_until.since(now));
            }
        }
        if let Some((since, _)) = self.closing.front() {
            at_most((*since + CLOSING_MAX).since(now));
        }
        timeout
    }
}

fn get(slots: &mut [Slot], handle: Handle) -> Option<&mut Connection> {
    slots
        .get_mut(handle.index as usize)
        .filter(|slot| slot.generation == handle.generation)?
        .connection
        .as_mut()
}

impl Driver for Epoll {
    fn name(&self) -> &'static str {
        "epoll"
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn listen(&mut self, listener: TcpListener, token: Token) -> io::Result<()> {
        self.add_listener(listener, token)
    }

    fn unlisten(&mut self, token: Token) {
        self.remove_listener(token);
    }

    fn connect(&mut self, address: SocketAddr, token: Token) -> io::Result<Handle> {
        let socket = socket2::Socket::from(socket::for_connecting(&address)?);
        socket.set_nonblocking(true)?;
        let begun = match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
            begun => begun,
        };
        self.tools.counters.system_calls += 1;
        let (handle, added) = self.add(Connection::new(socket, token, true));
        if let Err(error) = begun.and(added) {
            self.failed.push((handle, error));
        }
        Ok(handle)
    }

    fn attach(&mut self, socket: Socket, token: Token) -> Handle {
        let socket = match socket {
            Socket::Os(fd) => socket2::Socket::from(fd),
            Socket::Simulated(_) => {
                unreachable!("sockets of the simulation stay in the simulation")
            }
        };
        let (handle, added) = self.add(Connection::new(socket, token, false));
        if let Err(error) = added {
            self.failed.push((handle, error));
        }
        handle
    }

    fn detach(&mut self, handle: Handle) {
        if let Some(connection) = self.owned(handle) {
            connection.wants_receive = false;
            connection.life = Life::Detaching;
            self.leaving.push(handle);
        }
    }

    fn set_token(&mut self, handle: Handle, token: Token) {
        if let Some(connection) = self.owned(handle) {
            connection.token = token;
        }
    }

    fn receive(&mut self, handle: Handle, on: bool) {
        if let Some(connection) = self.owned(handle) {
            connection.wants_receive = on;
            self.queue(handle);
        }
    }

    fn send(&mut self, handle: Handle, chunk: Chunk) {
        if let Some(connection) = get(&mut self.slots, handle)
            && connection.is_owned()
            && !connection.broken
        {
            connection.push(chunk, &mut self.tools.spare);
            self.mark_dirty(handle);
        }
    }

    fn send_copy(&mut self, handle: Handle, bytes: &[u8]) {
        if let Some(connection) = get(&mut self.slots, handle)
            && connection.is_owned()
            && !connection.broken
        {
            connection.push_copy(bytes, &mut self.tools.spare);
            self.mark_dirty(handle);
        }
    }

    fn unsent(&self, handle: Handle) -> usize {
        self.slots
            .get(handle.index as usize)
            .filter(|slot| slot.generation == handle.generation)
            .and_then(|slot| slot.connection.as_ref())
            .filter(|connection| connection.is_owned())
            .map_or(0, |connection| connection.outbox.bytes())
    }

    fn close(&mut self, handle: Handle, after_sending: bool) {
        let now = self.now;
        let Some(connection) = self.owned(handle) else {
            return;
        };
        connection.wants_receive = false;
        if !after_sending || connection.broken {
            return self.drop_connection(handle);
        }
        connection.life = Life::Lingering;
        self.closing.push_back((now, handle));
        self.queue(handle);
        self.settle(handle, &mut Vec::new());
    }

    fn peer(&self, handle: Handle) -> Option<SocketAddr> {
        let slot = self.slots.get(handle.index as usize)?;
        let connection = slot.connection.as_ref()?;
        (slot.generation == handle.generation)
            .then(|| socket::peer_of(connection.socket.as_raw_fd()))
            .flatten()
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.readiness.waker()
    }

    fn turn(&mut self, until: Option<Instant>, events: &mut Vec<Event>) -> io::Result<()> {
        let told_before = events.len();
        self.send_dirty(events);
        self.tell_early(events);
        let timeout = self.timeout(until, events.len() > told_before);
        let mut ready = std::mem::take(&mut self.ready);
        self.tools.counters.system_calls += 1;
        let waited = self.readiness.wait(timeout, &mut ready);
        self.now = self.clock.now();
        for ready in ready.drain(..) {
            self.on_ready(ready, events);
        }
        self.ready = ready;
        waited?;
        self.accept_ready(events);
        self.receive_queued(events);
        self.sweep_closing();
        Ok(())
    }

    fn counters(&self) -> Counters {
        self.tools.counters
    }
}
