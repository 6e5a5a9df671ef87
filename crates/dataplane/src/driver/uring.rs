//! The io_uring driver: one ring, one issuer, task work deferred to the one `io_uring_enter` per turn, multishot receives from a
//! provided-buffer ring. All sends and receives that a turn asks for cost one system call together.
//!
//! A send is first tried without waiting. Only when the peer's window is full its rest is copied out of the shared buffers and
//! left to the kernel to finish, so that slow peers never hold buffers that others need.
//!
//! Needs Linux 6.1 (`IORING_SETUP_DEFER_TASKRUN`, provided-buffer rings, multishot receive); where the kernel or its policy
//! (containers' seccomp) says no, `Uring::new` fails with the reason and the worker takes epoll.

mod buffer_ring;
mod connection;
mod ending;
mod listening;
mod receiving;
mod sending;
mod silence;

use self::buffer_ring::BufferRing;
use self::connection::{Connection, Life};
use self::ending::CLOSING_MAX;
use self::listening::Listener;
use self::sending::Pieces;
use self::silence::{Place, Silence};
use super::outbox::{Outbox, Spare};
use super::{Counters, Driver, Event, Handle, Socket, Token, Wake};
use crate::buffer::{BufferPool, Chunk};
use crate::clock::Clock;
use crate::socket;
use forebay_core::Instant;
use io_uring::types::{CancelBuilder, Fd, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Arc;

/// Submission entries; a turn that wants more submits in between.
const SUBMISSIONS: u32 = 1024;
/// Completion entries.
const COMPLETIONS: u32 = 8192;
/// Size of a receive buffer.
const BUFFER_BYTES: usize = 16 * 1024;
/// Receive buffers; a power of two.
const BUFFERS: u16 = 256;
/// The buffer group of all receives.
const GROUP: u16 = 0;

/// What a completion belongs to; the upper bits of its user data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Op {
    Ignored,
    Accept,
    Receive,
    Send,
    Connect,
    Wake,
    Timer,
}

impl Op {
    fn from_bits(bits: u64) -> Op {
        [
            Op::Ignored,
            Op::Accept,
            Op::Receive,
            Op::Send,
            Op::Connect,
            Op::Wake,
            Op::Timer,
        ][(bits as usize).min(6)]
    }
}

const GENERATION_BITS: u32 = 28;

/// Stands where an operation belongs to no connection.
const NOBODY: Handle = Handle {
    index: 0,
    generation: 0,
};

fn user_data(op: Op, handle: Handle) -> u64 {
    (op as u64) << 60 | u64::from(handle.generation) << 32 | u64::from(handle.index)
}

/// The io_uring driver.
pub struct Uring {
    ring: IoUring,
    buffers: BufferPool,
    buffer_ring: BufferRing,
    connections: Vec<Connection>,
    free: Vec<u32>,
    listeners: Vec<Option<Listener>>,
    dirty: Vec<u32>,
    silence: Silence,
    /// Connections whose receive found no buffer.
    starved: Vec<Handle>,
    /// Connections that may be able to leave for another driver at once.
    leaving: Vec<Handle>,
    /// Connections on their way out, oldest first.
    closing: VecDeque<(Instant, Handle)>,
    #[expect(
        clippy::vec_box,
        reason = "a description must not move when more are added"
    )]
    pieces: Vec<Box<Pieces>>,
    pieces_used: usize,
    spare: Spare,
    waker: Arc<EventFd>,
    wake_buffer: Box<u64>,
    wake_armed: bool,
    /// Timers that run in the ring.
    timers: Vec<Timer>,
    clock: Clock,
    now: Instant,
    counters: Counters,
}

/// A timer that runs in the ring.
struct Timer {
    at: Instant,
    place: Place,
    /// The kernel copies it as it takes the entry.
    _pause: Box<Timespec>,
}

/// Wakes the ring by a readable event counter.
struct EventFd(OwnedFd);

impl Wake for EventFd {
    fn wake(&self) {
        let one = 1u64;
        // SAFETY: writes 8 bytes from a live u64 to a descriptor we own. A full counter already wakes the reader.
        unsafe { libc::write(self.0.as_raw_fd(), ptr::from_ref(&one).cast(), 8) };
    }
}

impl Uring {
    /// Sets up a ring, or says why the kernel does not allow it.
    pub fn new(clock: Clock) -> io::Result<Uring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let buffers = BufferPool::new(BUFFERS, BUFFER_BYTES);
        let buffer_ring = BufferRing::register(&ring)?;
        // SAFETY: a plain system call; the result is checked before it is owned.
        let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if event < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `event` is a descriptor that was just made and belongs to nobody else.
        let event = unsafe { OwnedFd::from_raw_fd(event) };
        let now = clock.now();
        Ok(Uring {
            ring,
            buffers,
            buffer_ring,
            connections: Vec::new(),
            free: Vec::new(),
            listeners: Vec::new(),
            dirty: Vec::new(),
            silence: Silence::default(),
            starved: Vec::new(),
            leaving: Vec::new(),
            closing: VecDeque::new(),
            pieces: Vec::new(),
            pieces_used: 0,
            spare: Spare::default(),
            waker: Arc::new(EventFd(event)),
            wake_buffer: Box::new(0),
            wake_armed: false,
            timers: Vec::new(),
            clock,
            now,
            counters: Counters::default(),
        })
    }

    fn add(&mut self, fd: RawFd, token: Token) -> Handle {
        let index = self.free.pop().unwrap_or_else(|| {
            self.connections.push(Connection::empty());
            (self.connections.len() - 1) as u32
        });
        let slot = &mut self.connections[index as usize];
        slot.fd = fd;
        slot.token = token;
        Handle {
            index,
            generation: slot.generation,
        }
    }

    fn get(&mut self, handle: Handle) -> Option<&mut Connection> {
        self.connections
            .get_mut(handle.index as usize)
            .filter(|connection| connection.generation == handle.generation && connection.fd >= 0)
    }

    /// A connection that its owner has not closed.
    fn owned(&mut self, handle: Handle) -> Option<&mut Connection> {
        self.get(handle).filter(|connection| connection.is_owned())
    }

    /// Queues an entry, submitting first if the queue is full.
    fn submit(&mut self, entry: &squeue::Entry) {
        self.silence.on_queued();
        // SAFETY: every entry names memory that lives until its completion: chunks and addresses are kept in their connection,
        // vectors in `pieces` until the kernel has taken the entry, the wake buffer in `self`.
        while unsafe { self.ring.submission().push(entry).is_err() } {
            self.counters.system_calls += 1;
            // An error here (EBUSY, EINTR) leaves the entries queued; the next round tries again.
            let _ = self.ring.submit();
        }
    }

    fn on_connected(&mut self, handle: Handle, result: i32, events: &mut Vec<Event>) {
        let Some(connection) = self.get(handle) else {
            return;
        };
        connection.connecting = None;
        let result = if result < 0 {
            connection.ended = true;
            connection.on_broken();
            Err(io::Error::from_raw_os_error(-result))
        } else {
            Ok(())
        };
        if connection.life == Life::Open {
            events.push(Event::Connected {
                token: connection.token,
                result,
            });
        }
        if connection.may_receive() {
            self.arm_receive(handle);
        }
        self.mark_dirty(handle);
        self.settle(handle, events);
    }

    fn on_completion(&mut self, entry: &cqueue::Entry, events: &mut Vec<Event>) {
        let data = entry.user_data();
        let handle = Handle {
            index: data as u32,
            generation: (data >> 32) as u32 & ((1 << GENERATION_BITS) - 1),
        };
        match Op::from_bits(data >> 60) {
            Op::Ignored | Op::Timer => {}
            Op::Receive => self.on_received(handle, entry, events),
            Op::Send => self.on_sent(handle, entry.result(), events),
            Op::Accept => {
                self.on_accepted(handle, entry.result(), cqueue::more(entry.flags()), events)
            }
            Op::Connect => self.on_connected(handle, entry.result(), events),
            Op::Wake => {
                self.wake_armed = false;
                events.push(Event::Woken);
            }
        }
    }

    /// Sees to it that the ring completes something at `until`, if it does not before. Deadlines are rarely new: a timer that runs
    /// already costs nothing, unlike a timeout given to every wait.
    fn arm_timer(&mut self, now: Instant, until: Instant) {
        let taken = self.silence.taken(self.ring.submission().len());
        self.timers
            .retain(|timer| timer.at > now || timer.place > taken);
        if self.timers.iter().any(|timer| timer.at <= until) {
            return;
        }
        let wait = until.since(now);
        let pause = Timespec::new()
            .sec(wait.as_secs())
            .nsec(wait.subsec_nanos());
        let pause = Box::new(pause);
        let entry = opcode::Timeout::new(&raw const *pause).build();
        self.submit(&entry.user_data(user_data(Op::Timer, NOBODY)));
        self.timers.push(Timer {
            at: until,
            place: self.silence.taken(0),
            _pause: pause,
        });
    }

    fn enter(&mut self, until: Option<Instant>) -> io::Result<()> {
        let closing = self.closing.front().map(|(since, _)| *since + CLOSING_MAX);
        let resting = self.listeners.iter().flatten();
        let resting = resting
            .filter(|listener| !listener.armed)
            .map(|listener| listener.paused_until)
            .min();
        let until = [until, closing, resting].into_iter().flatten().min();
        let mut want = 1;
        if let Some(until) = until {
            let now = self.clock.now();
            if until <= now {
                want = 0;
            } else {
                self.arm_timer(now, until);
            }
        }
        self.counters.system_calls += 1;
        let queued = self.ring.submission().len() as u32;
        // Not `submit_and_wait`: it leaves deferred work undone when nothing is waited for, so that a caller in a hurry would
        // never see a completion.
        // SAFETY: the entries were described where they were queued; no further argument is passed.
        let result = unsafe {
            let submitter = self.ring.submitter();
            submitter.enter::<libc::sigset_t>(queued, want, EnterFlags::GETEVENTS.bits(), None)
        };
        match result {
            Ok(_) => Ok(()),
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        // What was asked for reaches the kernel, above all the closing of sockets whose places are free already.
        let _ = self.ring.submit();
        // What is in flight ends before its memory goes, and listeners' addresses are free when we return.
        let patience = Timespec::new().sec(1);
        let _ = self
            .ring
            .submitter()
            .register_sync_cancel(Some(patience), CancelBuilder::any());
        for entry in self.ring.completion() {
            if Op::from_bits(entry.user_data() >> 60) == Op::Accept && entry.result() >= 0 {
                // SAFETY: the kernel gave us this descriptor and nobody has heard of it.
                drop(unsafe { OwnedFd::from_raw_fd(entry.result()) });
            }
        }
        for connection in &self.connections {
            if connection.fd >= 0 {
                // SAFETY: the slot owns its descriptor.
                drop(unsafe { OwnedFd::from_raw_fd(connection.fd) });
            }
        }
    }
}

impl Driver for Uring {
    fn name(&self) -> &'static str {
        "io_uring"
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn listen(&mut self, listener: TcpListener, token: Token) -> io::Result<()> {
        let generation = self.listeners.len() as u32;
        self.listeners.push(Some(Listener {
            listener,
            token,
            generation,
            armed: false,
            paused_until: Instant::ZERO,
        }));
        Ok(())
    }

    fn unlisten(&mut self, token: Token) {
        for index in 0..self.listeners.len() {
            let Some(listener) = self.listeners[index].take_if(|listener| listener.token == token)
            else {
                continue;
            };
            let handle = Handle {
                index: index as u32,
                generation: listener.generation,
            };
            self.submit(
                &opcode::AsyncCancel::new(user_data(Op::Accept, handle))
                    .build()
                    .user_data(0),
            );
            // The descriptor closes now; the kernel's accept holds the socket until its cancellation is seen.
            let _ = self.ring.submit();
        }
    }

    fn connect(&mut self, address: SocketAddr, token: Token) -> io::Result<Handle> {
        let fd = socket::for_connecting(&address)?.into_raw_fd();
        let handle = self.add(fd, token);
        let connection = &mut self.connections[handle.index as usize];
        let stored = connection
            .connecting
            .insert(Box::new(socket::Address::new(&address)));
        let entry = opcode::Connect::new(Fd(fd), stored.pointer().cast(), stored.len()).build();
        self.submit(&entry.user_data(user_data(Op::Connect, handle)));
        Ok(handle)
    }

    fn attach(&mut self, socket: Socket, token: Token) -> Handle {
        match socket {
            Socket::Os(fd) => self.add(fd.into_raw_fd(), token),
            Socket::Simulated(_) => {
                unreachable!("sockets of the simulation stay in the simulation")
            }
        }
    }

    fn detach(&mut self, handle: Handle) {
        let Some(connection) = self.owned(handle) else {
            return;
        };
        connection.life = Life::Detaching;
        connection.wants_receive = false;
        self.cancel_receive(handle);
        self.leaving.push(handle);
    }

    fn set_token(&mut self, handle: Handle, token: Token) {
        if let Some(connection) = self.owned(handle) {
            connection.token = token;
        }
    }

    fn receive(&mut self, handle: Handle, on: bool) {
        let Some(connection) = self.owned(handle) else {
            return;
        };
        if connection.wants_receive == on {
            return;
        }
        connection.wants_receive = on;
        if on {
            self.arm_receive(handle)
        } else {
            self.cancel_receive(handle)
        }
    }

    fn send(&mut self, handle: Handle, chunk: Chunk) {
        let Uring {
            connections, spare, ..
        } = self;
        let Some(connection) = connections.get_mut(handle.index as usize) else {
            return;
        };
        if !connection.takes(handle) {
            return;
        }
        let chunk = match chunk {
            // Behind a slow send the pool's buffers must not wait.
            Chunk::Received(slice)
                if connection.in_flight.patient || connection.connecting.is_some() =>
            {
                Chunk::owned(slice.to_vec())
            }
            chunk => chunk,
        };
        connection.outbox.push(chunk, spare);
        self.note_tension(handle);
        self.mark_dirty(handle);
    }

    fn send_copy(&mut self, handle: Handle, bytes: &[u8]) {
        let Uring {
            connections, spare, ..
        } = self;
        let Some(connection) = connections.get_mut(handle.index as usize) else {
            return;
        };
        if !connection.takes(handle) {
            return;
        }
        connection.outbox.push_copy(bytes, spare);
        self.note_tension(handle);
        self.mark_dirty(handle);
    }

    fn unsent(&self, handle: Handle) -> usize {
        let connection = self.connections.get(handle.index as usize);
        connection
            .filter(|connection| {
                connection.generation == handle.generation && connection.is_owned()
            })
            .map_or(0, Connection::unsent)
    }

    fn close(&mut self, handle: Handle, after_sending: bool) {
        let now = self.now;
        let Some(connection) = self.owned(handle) else {
            return;
        };
        connection.wants_receive = false;
        if after_sending && !connection.broken {
            connection.life = Life::Lingering;
            self.closing.push_back((now, handle));
            self.arm_receive(handle);
            self.settle(handle, &mut Vec::new());
            return;
        }
        connection.life = Life::Closing;
        connection.outbox = Outbox::default();
        if connection.receive_armed
            || connection.in_flight.active
            || connection.connecting.is_some()
        {
            self.closing.push_back((now, handle));
            self.cancel_all(handle);
        }
        self.settle(handle, &mut Vec::new());
    }

    fn peer(&self, handle: Handle) -> Option<SocketAddr> {
        let connection = self.connections.get(handle.index as usize)?;
        (connection.generation == handle.generation)
            .then(|| socket::peer_of(connection.fd))
            .flatten()
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.waker) as Arc<dyn Wake>
    }

    fn turn(&mut self, until: Option<Instant>, events: &mut Vec<Event>) -> io::Result<()> {
        let told_before = events.len();
        for handle in std::mem::take(&mut self.leaving) {
            self.settle(handle, events);
        }
        let until = if events.len() == told_before {
            until
        } else {
            Some(self.now)
        };
        self.send_dirty();
        self.lend_buffers();
        self.arm_listeners_and_waker();
        self.enter(until)?;
        if self.ring.submission().is_empty() {
            self.pieces_used = 0;
        }
        self.now = self.clock.now();
        // Completions are copied out in blocks, because handling one may queue submissions on the same ring.
        loop {
            let mut block: [Option<cqueue::Entry>; 64] = [const { None }; 64];
            let mut count = 0;
            for entry in self.ring.completion().take(64) {
                block[count] = Some(entry);
                count += 1;
            }
            for entry in block.iter().flatten() {
                self.on_completion(entry, events);
            }
            if count < block.len() {
                break;
            }
        }
        self.on_silence(events);
        self.sweep_closing();
        Ok(())
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
