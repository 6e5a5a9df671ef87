//! How a connection ends: what is in flight is cancelled or waited for, what is unsent leaves if it may, the peer's end is
//! waited for so that its last bytes do not turn ours into a reset, and only then does the place become free.

use super::connection::{Connection, Life};
use super::{GENERATION_BITS, Op, Uring, user_data};
use crate::driver::outbox::Outbox;
use crate::driver::{Event, Handle, Socket};
use crate::socket;
use io_uring::opcode;
use io_uring::types::Fd;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

/// A closing connection gets this long to take what it is still sent, and to close its side.
pub(super) const CLOSING_MAX: Duration = Duration::from_secs(3);

impl Uring {
    /// Cancels whatever is in flight.
    pub(super) fn cancel_all(&mut self, handle: Handle) {
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

    /// Takes the next step of a connection's end, if it is ending.
    pub(super) fn settle(&mut self, handle: Handle, events: &mut Vec<Event>) {
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
    pub(super) fn release(&mut self, handle: Handle) {
        let slot = &mut self.connections[handle.index as usize];
        let generation = (slot.generation + 1) & ((1 << GENERATION_BITS) - 1);
        *slot = Connection {
            generation,
            ..Connection::empty()
        };
        self.free.push(handle.index);
    }

    /// Cuts off connections that were given long enough to end.
    pub(super) fn sweep_closing(&mut self) {
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
}
