//! The io_uring driver: one ring, one issuer, task work deferred to the one `io_uring_enter` per turn, multishot receives from a
//! provided-buffer ring. All sends and receives that a turn asks for cost one system call together.
//!
//! A send is first tried without waiting. Only when the peer's window is full its rest is copied out of the shared buffers and
//! left to the kernel to finish, so that slow peers never hold buffers that others need.
//!
//! Needs Linux 6.1 (`IORING_SETUP_DEFER_TASKRUN`, provided-buffer rings, multishot receive); where the kernel or its policy
//! (containers' seccomp) says no, `Uring::new` fails with the reason and the worker takes epoll.

use super::outbox::{Outbox, Spare};
use super::{Counters, Driver, Event, Handle, Socket, Token, UNSENT_HIGH, Wake};
use crate::buffer::{BufferPool, Chunk};
use crate::clock::Clock;
use crate::socket;
use forebay_core::Instant;
use io_uring::types::{BufRingEntry, CancelBuilder, Fd, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

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
/// Most pieces of one vectored send.
const PIECES_MAX: usize = 16;
/// A closing connection gets this long to take what it is still sent, and to close its side.
const CLOSING_MAX: Duration = Duration::from_secs(3);
/// How long a listener rests when the process has no descriptor or memory left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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

fn user_data(op: Op, handle: Handle) -> u64 {
    (op as u64) << 60 | u64::from(handle.generation) << 32 | u64::from(handle.index)
}

/// How far the end of a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Open,
    /// Waits for receives to end, then leaves for another driver.
    Detaching,
    /// Closed by its owner; waits for its unsent bytes to leave.
    Lingering,
    /// All is sent and the end was told; waits for the peer's.
    Leaving,
    /// Waits for what is in flight to end.
    Closing,
}

#[derive(Debug)]
struct Connection {
    fd: RawFd,
    generation: u32,
    token: Token,
    life: Life,
    wants_receive: bool,
    receive_armed: bool,
    receive_cancelled: bool,
    /// Nothing more will be received.
    ended: bool,
    /// Nothing can be sent any more.
    broken: bool,
    /// Why sending failed; told when what the peer had said before is received.
    failure: Option<io::Error>,
    connecting: Option<Box<socket::Address>>,
    outbox: Outbox,
    in_flight: InFlight,
    dirty: bool,
    /// Whether `unsent` has been above [`UNSENT_HIGH`] since the last `Relaxed`.
    tense: bool,
}

/// Chunks of the send under way.
#[derive(Debug, Default)]
struct InFlight {
    active: bool,
    patient: bool,
    first: Option<Chunk>,
    more: Vec<Chunk>,
    bytes: usize,
}

struct Listener {
    listener: TcpListener,
    token: Token,
    generation: u32,
    armed: bool,
    paused_until: Instant,
}

/// A vectored send's description; must stay where it is until the next enter.
struct Pieces {
    header: libc::msghdr,
    vectors: [libc::iovec; PIECES_MAX],
}

/// The ring through which buffers are lent to the kernel.
struct BufferRing {
    entries: *mut BufRingEntry,
    bytes: usize,
    tail: u16,
    lent: u16,
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
    /// When the timers that run in the ring complete.
    timers: Vec<Instant>,
    /// The next timer's time, at a place that does not move.
    pause: Box<Timespec>,
    clock: Clock,
    now: Instant,
    counters: Counters,
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
            pause: Box::new(Timespec::new()),
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
        // SAFETY: every entry names memory that lives until its completion: chunks and addresses are kept in their connection,
        // vectors in `pieces` until the next enter, the wake buffer in `self`.
        while unsafe { self.ring.submission().push(entry).is_err() } {
            self.counters.system_calls += 1;
            // An error here (EBUSY, EINTR) leaves the entries queued; the next round tries again.
            let _ = self.ring.submit();
        }
    }

    fn arm_receive(&mut self, handle: Handle) {
        let Some(connection) = self.get(handle) else {
            return;
        };
        if connection.receive_armed || connection.ended || connection.connecting.is_some() {
            return;
        }
        connection.receive_armed = true;
        connection.receive_cancelled = false;
        let entry = opcode::RecvMulti::new(Fd(connection.fd), GROUP)
            .build()
            .user_data(user_data(Op::Receive, handle));
        self.submit(&entry);
    }

    fn cancel_receive(&mut self, handle: Handle) {
        let Some(connection) = self.get(handle) else {
            return;
        };
        if !connection.receive_armed || connection.receive_cancelled {
            return;
        }
        connection.receive_cancelled = true;
        let entry = opcode::AsyncCancel::new(user_data(Op::Receive, handle)).build();
        self.submit(&entry.user_data(0));
    }

    /// Cancels whatever is in flight.
    fn cancel_all(&mut self, handle: Handle) {
        self.cancel_receive(handle);
        let Some(connection) = self.get(handle) else {
            return;
        };
        let (sending, connecting) = (connection.in_flight.active, connection.connecting.is_some());
        for (op, active) in [(Op::Send, sending), (Op::Connect, connecting)] {
            if active {
                let entry = opcode::AsyncCancel::new(user_data(op, handle)).build();
                self.submit(&entry.user_data(0));
            }
        }
    }

    /// Marks a connection for sending at the next turn.
    fn mark_dirty(&mut self, handle: Handle) {
        let Some(connection) = self.get(handle) else {
            return;
        };
        if !connection.dirty && !connection.in_flight.active {
            connection.dirty = true;
            self.dirty.push(handle.index);
        }
    }

    fn note_tension(&mut self, handle: Handle) {
        if let Some(connection) = self.get(handle)
            && connection.unsent() > UNSENT_HIGH
        {
            connection.tense = true;
        }
    }

    fn send_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            let connection = &mut self.connections[index as usize];
            connection.dirty = false;
            let handle = Handle {
                index,
                generation: connection.generation,
            };
            if connection.fd >= 0 && !connection.in_flight.active && connection.connecting.is_none()
            {
                self.start_send(handle, false);
            }
        }
        self.dirty = dirty;
    }

    /// Starts to send what is in the outbox. `patient` leaves the waiting to the kernel.
    fn start_send(&mut self, handle: Handle, patient: bool) {
        let Some(connection) = self.connections.get_mut(handle.index as usize) else {
            return;
        };
        let Some(first) = connection.outbox.pop() else {
            return;
        };
        let flags = libc::MSG_NOSIGNAL
            | if patient {
                libc::MSG_WAITALL
            } else {
                libc::MSG_DONTWAIT
            };
        let flight = &mut connection.in_flight;
        flight.active = true;
        flight.patient = patient;
        flight.bytes = first.len();
        let fd = Fd(connection.fd);
        let entry = if patient || connection.outbox.is_empty() {
            let entry = opcode::Send::new(fd, first.as_ptr(), first.len() as u32)
                .flags(flags)
                .build();
            flight.first = Some(first);
            entry
        } else {
            if self.pieces_used == self.pieces.len() {
                // SAFETY: both are plain C structures for which all zeroes is a valid value.
                self.pieces.push(Box::new(unsafe { std::mem::zeroed() }));
            }
            let pieces = &mut self.pieces[self.pieces_used];
            self.pieces_used += 1;
            pieces.vectors[0] = vector(&first);
            flight.first = Some(first);
            let mut count = 1;
            while count < PIECES_MAX
                && let Some(chunk) = connection.outbox.pop()
            {
                pieces.vectors[count] = vector(&chunk);
                flight.bytes += chunk.len();
                flight.more.push(chunk);
                count += 1;
            }
            pieces.header.msg_iov = pieces.vectors.as_mut_ptr();
            pieces.header.msg_iovlen = count as _;
            opcode::SendMsg::new(fd, &raw const pieces.header)
                .flags(flags as u32)
                .build()
        };
        self.submit(&entry.user_data(user_data(Op::Send, handle)));
    }

    fn on_sent(&mut self, handle: Handle, result: i32, events: &mut Vec<Event>) {
        let Some(connection) = self.connections.get_mut(handle.index as usize) else {
            return;
        };
        if connection.generation != handle.generation {
            return;
        }
        let flight = std::mem::take(&mut connection.in_flight);
        if connection.life == Life::Closing {
            // Cancelled, perhaps half-way: the rest is not wanted any more.
            return self.settle(handle, events);
        }
        let blocked = result == -libc::EAGAIN || result == -libc::EINTR;
        if result < 0 && !blocked {
            drop(flight);
            return self.on_send_failed(handle, io::Error::from_raw_os_error(-result), events);
        }
        let sent = usize::try_from(result).unwrap_or(0);
        let whole = sent == flight.bytes;
        put_back_unsent(&mut connection.outbox, flight, sent, &mut self.spare);
        if !whole {
            connection.outbox.release_buffers();
        }
        if connection.tense && connection.unsent() <= UNSENT_HIGH / 2 {
            connection.tense = false;
            if connection.life == Life::Open {
                events.push(Event::Relaxed {
                    token: connection.token,
                });
            }
        }
        if connection.outbox.is_empty() {
            return self.settle(handle, events);
        }
        self.start_send(handle, !whole);
    }

    /// Sending has failed. What the peer said before may still wait to be received, often the reason: it is told first.
    fn on_send_failed(&mut self, handle: Handle, error: io::Error, events: &mut Vec<Event>) {
        let Some(connection) = self.get(handle) else {
            return;
        };
        let told = connection.broken || connection.life != Life::Open;
        connection.on_broken();
        if !told && connection.wants_receive && !connection.ended {
            connection.failure = Some(error);
            // So that the receive ends, whatever it was that failed.
            // SAFETY: a plain system call on a descriptor that the slot owns.
            unsafe { libc::shutdown(connection.fd, libc::SHUT_RDWR) };
            return self.arm_receive(handle);
        }
        if !told {
            events.push(Event::Ended {
                token: connection.token,
                error: Some(error),
            });
        }
        self.settle(handle, events);
    }

    fn on_received(&mut self, handle: Handle, entry: &cqueue::Entry, events: &mut Vec<Event>) {
        let flags = entry.flags();
        let filled = cqueue::buffer_select(flags).map(|id| {
            self.buffer_ring.lent -= 1;
            let len = usize::try_from(entry.result()).unwrap_or(0);
            self.buffers.filled(id, len)
        });
        let Some(connection) = self.connections.get_mut(handle.index as usize) else {
            return;
        };
        if connection.generation != handle.generation || connection.fd < 0 {
            return;
        }
        if !cqueue::more(flags) {
            connection.receive_armed = false;
            connection.receive_cancelled = false;
        }
        let rearm = !connection.receive_armed && connection.may_receive();
        match entry.result() {
            len if len > 0 => {
                if let (Some(bytes), true) = (filled, connection.is_owned()) {
                    events.push(Event::Received {
                        token: connection.token,
                        bytes,
                    });
                }
                if rearm {
                    return self.arm_receive(handle);
                }
            }
            error if error == -libc::ENOBUFS => {
                self.counters.buffers_exhausted += 1;
                if rearm {
                    return self.starved.push(handle);
                }
            }
            error if error == -libc::ECANCELED || error == -libc::EINTR => {
                if rearm {
                    return self.arm_receive(handle);
                }
            }
            end => {
                connection.ended = true;
                let failure = connection.failure.take();
                let error = (end < 0).then(|| io::Error::from_raw_os_error(-end));
                if end < 0 {
                    connection.on_broken();
                }
                if connection.is_owned() {
                    events.push(Event::Ended {
                        token: connection.token,
                        error: failure.or(error),
                    });
                }
            }
        }
        self.settle(handle, events);
    }

    /// Takes the next step of a connection's end, if it is ending.
    fn settle(&mut self, handle: Handle, events: &mut Vec<Event>) {
        let Some(connection) = self.get(handle) else {
            return;
        };
        let idle = !connection.receive_armed
            && !connection.in_flight.active
            && connection.connecting.is_none();
        let sent = connection.outbox.is_empty() && !connection.in_flight.active;
        let over = connection.ended || connection.broken;
        match connection.life {
            Life::Open => {}
            Life::Detaching if idle && sent => {
                let (fd, token) = (connection.fd, connection.token);
                self.release(handle);
                // SAFETY: the slot gave the descriptor up; nothing of it is in flight.
                let socket = Socket::Os(unsafe { OwnedFd::from_raw_fd(fd) });
                events.push(Event::Detached { token, socket });
            }
            Life::Lingering | Life::Leaving if over && sent => {
                connection.life = Life::Closing;
                self.cancel_all(handle);
                self.settle(handle, events);
            }
            Life::Lingering if !over && sent && connection.connecting.is_none() => {
                connection.life = Life::Leaving;
                // Not by the ring: the kernel leaves that operation to a thread, which looks the descriptor up later, when it
                // may belong to another connection.
                socket::end_writing(connection.fd);
                self.arm_receive(handle);
            }
            Life::Closing if idle => {
                let fd = Fd(connection.fd);
                self.release(handle);
                self.submit(&opcode::Close::new(fd).build().user_data(0));
            }
            _ => {}
        }
    }

    /// Frees a slot; its handle matches nothing any more.
    fn release(&mut self, handle: Handle) {
        let slot = &mut self.connections[handle.index as usize];
        let generation = (slot.generation + 1) & ((1 << GENERATION_BITS) - 1);
        *slot = Connection {
            generation,
            ..Connection::empty()
        };
        self.free.push(handle.index);
    }

    /// Cuts off connections that were given long enough to end.
    fn sweep_closing(&mut self) {
        while let Some(&(since, handle)) = self.closing.front() {
            if self.get(handle).is_some() && self.now < since + CLOSING_MAX {
                break;
            }
            self.closing.pop_front();
            if let Some(connection) = self.get(handle) {
                connection.outbox = Outbox::default();
                connection.life = Life::Closing;
                self.cancel_all(handle);
                self.settle(handle, &mut Vec::new());
            }
        }
    }

    fn lend_buffers(&mut self) {
        let mut lent_more = false;
        while let Some(id) = self.buffers.take() {
            self.buffer_ring.lend(id, self.buffers.address(id));
            lent_more = true;
        }
        if lent_more {
            self.buffer_ring.publish();
        }
        if self.buffer_ring.lent > 0 {
            for handle in std::mem::take(&mut self.starved) {
                let wants = self.get(handle).map(|connection| connection.may_receive());
                if wants == Some(true) {
                    self.arm_receive(handle);
                }
            }
        }
    }

    fn arm_listeners_and_waker(&mut self) {
        for index in 0..self.listeners.len() {
            let Some(listener) = &mut self.listeners[index] else {
                continue;
            };
            if !listener.armed && listener.paused_until <= self.now {
                listener.armed = true;
                let handle = Handle {
                    index: index as u32,
                    generation: listener.generation,
                };
                let entry = opcode::AcceptMulti::new(Fd(listener.listener.as_raw_fd()))
                    .flags(libc::SOCK_CLOEXEC)
                    .build()
                    .user_data(user_data(Op::Accept, handle));
                self.submit(&entry);
            }
        }
        if !self.wake_armed {
            self.wake_armed = true;
            let buffer = ptr::from_mut(&mut *self.wake_buffer).cast();
            let entry = opcode::Read::new(Fd(self.waker.0.as_raw_fd()), buffer, 8).build();
            let handle = Handle {
                index: 0,
                generation: 0,
            };
            self.submit(&entry.user_data(user_data(Op::Wake, handle)));
        }
    }

    fn on_accepted(&mut self, handle: Handle, result: i32, more: bool, events: &mut Vec<Event>) {
        let listener = self
            .listeners
            .get_mut(handle.index as usize)
            .and_then(Option::as_mut);
        let token = listener
            .filter(|listener| listener.generation == handle.generation)
            .map(|listener| {
                listener.armed &= more;
                if result < 0 && !concerns_one_connection(-result) {
                    listener.paused_until = self.now + ACCEPT_PAUSE;
                }
                listener.token
            });
        if result < 0 {
            return;
        }
        let Some(listener) = token else {
            // SAFETY: the kernel gave us this descriptor; its listener is gone, so nobody else knows it.
            drop(unsafe { OwnedFd::from_raw_fd(result) });
            return;
        };
        let connection = self.add(result, 0);
        events.push(Event::Accepted {
            listener,
            connection,
        });
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
        self.timers.retain(|timer| *timer > now);
        if self.timers.iter().any(|timer| *timer <= until) {
            return;
        }
        self.timers.push(until);
        let wait = until.since(now);
        let pause = Timespec::new()
            .sec(wait.as_secs())
            .nsec(wait.subsec_nanos());
        // The kernel copies it when the entry is submitted, which is before anybody changes it.
        *self.pause = pause;
        let entry = opcode::Timeout::new(&raw const *self.pause).build();
        let handle = Handle {
            index: 0,
            generation: 0,
        };
        self.submit(&entry.user_data(user_data(Op::Timer, handle)));
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
                    Some(libc::ETIME | libc::EINTR | libc::EBUSY)
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether an accept failed for a reason of that connection's own: it went away, a firewall says no, or its listener is gone.
fn concerns_one_connection(error: i32) -> bool {
    matches!(
        error,
        libc::ECONNABORTED | libc::EINTR | libc::EPROTO | libc::EPERM | libc::ECANCELED
    )
}

/// After a send of `sent` bytes: what is left goes back to the front, in order.
fn put_back_unsent(outbox: &mut Outbox, flight: InFlight, mut sent: usize, spare: &mut Spare) {
    let mut left = Vec::new();
    for mut chunk in flight.first.into_iter().chain(flight.more) {
        let part = sent.min(chunk.len());
        sent -= part;
        chunk.advance(part);
        if chunk.is_empty() {
            spare.give(chunk)
        } else {
            left.push(chunk)
        }
    }
    for chunk in left.into_iter().rev() {
        outbox.unpop(chunk);
    }
}

fn vector(chunk: &Chunk) -> libc::iovec {
    libc::iovec {
        iov_base: chunk.as_ptr().cast_mut().cast(),
        iov_len: chunk.len(),
    }
}

impl Connection {
    fn empty() -> Connection {
        Connection {
            fd: -1,
            generation: 0,
            token: 0,
            life: Life::Open,
            wants_receive: false,
            receive_armed: false,
            receive_cancelled: false,
            ended: false,
            broken: false,
            failure: None,
            connecting: None,
            outbox: Outbox::default(),
            in_flight: InFlight::default(),
            dirty: false,
            tense: false,
        }
    }

    fn unsent(&self) -> usize {
        self.outbox.bytes() + self.in_flight.bytes
    }

    /// Whether its owner has not closed it.
    fn is_owned(&self) -> bool {
        self.fd >= 0 && matches!(self.life, Life::Open | Life::Detaching)
    }

    /// Whether a receive is wanted: what comes after `close` is received only to see the peer's end.
    fn may_receive(&self) -> bool {
        let wanted = match self.life {
            Life::Open => self.wants_receive || self.failure.is_some(),
            Life::Detaching | Life::Closing => false,
            Life::Lingering | Life::Leaving => true,
        };
        wanted && !self.ended
    }

    /// Whether this is the handle of a connection that takes more to send.
    fn takes(&self, handle: Handle) -> bool {
        self.generation == handle.generation && self.is_owned() && !self.broken
    }

    /// Nothing can be sent any more.
    fn on_broken(&mut self) {
        self.broken = true;
        self.outbox = Outbox::default();
    }
}

impl BufferRing {
    fn register(ring: &IoUring) -> io::Result<BufferRing> {
        let bytes = usize::from(BUFFERS) * size_of::<BufRingEntry>();
        // SAFETY: a fresh anonymous mapping, page-aligned as the kernel wants it; checked before use.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let buffer_ring = BufferRing {
            entries: memory.cast(),
            bytes,
            tail: 0,
            lent: 0,
        };
        // SAFETY: the mapping holds BUFFERS entries and lives as long as the ring (`Uring` drops the ring first).
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(memory as u64, BUFFERS, GROUP, 0)?
        };
        Ok(buffer_ring)
    }

    /// Writes an entry; the kernel sees it after `publish`.
    fn lend(&mut self, id: u16, address: *mut u8) {
        let slot = usize::from(self.tail & (BUFFERS - 1));
        // SAFETY: the slot lies inside the mapping, and at most BUFFERS entries are lent at a time, so the kernel has
        // consumed what stood there. Fields are set one by one because the tail overlays a reserved field of entry 0.
        unsafe {
            let entry = &mut *self.entries.add(slot);
            entry.set_addr(address as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        self.lent += 1;
    }

    fn publish(&self) {
        // SAFETY: the tail field of the ring, shared with the kernel, aligned and alive.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `register` and nobody uses it any more.
        unsafe { libc::munmap(self.entries.cast(), self.bytes) };
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
        self.pieces_used = 0;
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
        self.sweep_closing();
        Ok(())
    }

    fn counters(&self) -> Counters {
        self.counters
    }
}
