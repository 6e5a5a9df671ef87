//! Receiving: one multishot receive per connection, into buffers that the kernel picks from the buffer ring.
//!
//! A receive that finds no buffer ends; it is armed again when buffers have come back.

use super::{GROUP, Op, Uring, user_data};
use crate::driver::{Event, Handle};
use io_uring::types::Fd;
use io_uring::{cqueue, opcode};
use std::io;

impl Uring {
    pub(super) fn arm_receive(&mut self, handle: Handle) {
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

    pub(super) fn cancel_receive(&mut self, handle: Handle) {
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

    pub(super) fn on_received(
        &mut self,
        handle: Handle,
        entry: &cqueue::Entry,
        events: &mut Vec<Event>,
    ) {
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

    pub(super) fn lend_buffers(&mut self) {
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
}
