//! Sending: one send in flight per connection, in the order of its outbox.
//!
//! A send is first tried without waiting, and tells only of failure (`silence.rs`): its completion would end the wait that the
//! same system call begins. If not all was sent, the rest is left to the kernel, which waits for room and tells when it is done.

use super::super::outbox::{Outbox, Spare};
use super::connection::{InFlight, Life};
use super::{Op, Uring, user_data};
use crate::buffer::Chunk;
use crate::driver::{Event, Handle, UNSENT_HIGH};
use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use std::io;

/// Most pieces of one vectored send.
const PIECES_MAX: usize = 16;

/// A vectored send's description; must stay as it is until the kernel has taken its entry.
pub(super) struct Pieces {
    header: libc::msghdr,
    vectors: [libc::iovec; PIECES_MAX],
}

impl Uring {
    /// Marks a connection for sending at the next turn.
    pub(super) fn mark_dirty(&mut self, handle: Handle) {
        let Some(connection) = self.get(handle) else {
            return;
        };
        if !connection.dirty && !connection.in_flight.active {
            connection.dirty = true;
            self.dirty.push(handle.index);
        }
    }

    pub(super) fn note_tension(&mut self, handle: Handle) {
        if let Some(connection) = self.get(handle)
            && connection.unsent() > UNSENT_HIGH
        {
            connection.tense = true;
        }
    }

    pub(super) fn send_dirty(&mut self) {
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
        // `MSG_WAITALL` makes a send of a part a failure, which is told in any case.
        let flags =
            libc::MSG_NOSIGNAL | libc::MSG_WAITALL | if patient { 0 } else { libc::MSG_DONTWAIT };
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
        let entry = entry.user_data(user_data(Op::Send, handle));
        // Whoever waits to hear that all is sent is told at once; else the wait is for something new.
        let silent = !patient
            && connection.life == Life::Open
            && !connection.tense
            && connection.outbox.is_empty();
        if silent {
            connection.in_flight.silent = Some(self.silence.expect(handle));
            self.submit(&entry.flags(squeue::Flags::SKIP_SUCCESS));
        } else {
            self.submit(&entry);
        }
    }

    /// After all completions were seen: silent sends of which nothing was heard have sent everything.
    pub(super) fn on_silence(&mut self, events: &mut Vec<Event>) {
        let submission = self.ring.submission();
        if submission.cq_overflow() {
            // What a send has to tell may wait for room.
            return;
        }
        let taken = self.silence.taken(submission.len());
        drop(submission);
        while let Some((place, handle)) = self.silence.next_done(taken) {
            if let Some(connection) = self.get(handle)
                && connection.in_flight.silent == Some(place)
            {
                let bytes = connection.in_flight.bytes;
                self.on_sent(handle, i32::try_from(bytes).unwrap_or(i32::MAX), events);
            }
        }
    }

    pub(super) fn on_sent(&mut self, handle: Handle, result: i32, events: &mut Vec<Event>) {
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
