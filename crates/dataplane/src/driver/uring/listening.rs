//! Accepting: one multishot accept per listener, and a rest for a listener when the process is out of descriptors or memory.

use super::{NOBODY, Op, Uring, user_data};
use crate::driver::{Event, Handle, Token};
use forebay_core::Instant;
use io_uring::opcode;
use io_uring::types::Fd;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

/// How long a listener rests when the process has no descriptor or memory left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Listener {
    pub(super) listener: TcpListener,
    pub(super) token: Token,
    pub(super) generation: u32,
    pub(super) armed: bool,
    pub(super) paused_until: Instant,
}

impl Uring {
    pub(super) fn arm_listeners_and_waker(&mut self) {
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
            self.submit(&entry.user_data(user_data(Op::Wake, NOBODY)));
        }
    }

    pub(super) fn on_accepted(
        &mut self,
        handle: Handle,
        result: i32,
        more: bool,
        events: &mut Vec<Event>,
    ) {
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
                    self.counters.accepts_failed += 1;
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
}

/// Whether an accept failed for a reason of that connection's own: it went away, a firewall says no, or its listener is gone.
fn concerns_one_connection(error: i32) -> bool {
    matches!(
        error,
        libc::ECONNABORTED | libc::EINTR | libc::EPROTO | libc::EPERM | libc::ECANCELED
    )
}
