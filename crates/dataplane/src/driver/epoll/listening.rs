//! Accepting: some connections per listener and turn, and a rest for a listener when the process is out of descriptors or memory.

use super::Epoll;
use super::connection::Connection;
use crate::driver::{Event, Token};
use forebay_core::Instant;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::Duration;

/// Most connections accepted from one listener in a turn.
const ACCEPTS_MAX: usize = 64;
/// How long a listener rests when the process has no descriptor or memory left for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Set in the keys of listeners.
pub(super) const LISTENER: u64 = 1 << 31;

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) listener: TcpListener,
    pub(super) token: Token,
    /// There may be connections to accept.
    pub(super) ready: bool,
    pub(super) paused_until: Instant,
}

impl Epoll {
    pub(super) fn add_listener(&mut self, listener: TcpListener, token: Token) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let free = self.listeners.iter().position(Option::is_none);
        let index = free.unwrap_or(self.listeners.len());
        self.readiness
            .add(listener.as_fd(), LISTENER | index as u64)?;
        if free.is_none() {
            self.listeners.push(None);
        }
        self.listeners[index] = Some(Listener {
            listener,
            token,
            ready: false,
            paused_until: Instant::ZERO,
        });
        Ok(())
    }

    pub(super) fn remove_listener(&mut self, token: Token) {
        for slot in &mut self.listeners {
            if let Some(listener) = slot.take_if(|listener| listener.token == token) {
                self.readiness.remove(listener.listener.as_fd());
            }
        }
    }

    pub(super) fn accept_ready(&mut self, events: &mut Vec<Event>) {
        for index in 0..self.listeners.len() {
            for _ in 0..ACCEPTS_MAX {
                match &self.listeners[index] {
                    Some(listener) if listener.ready && listener.paused_until <= self.now => {}
                    _ => break,
                }
                self.accept(index, events);
            }
        }
    }

    /// Accepts one connection.
    fn accept(&mut self, index: usize, events: &mut Vec<Event>) {
        let Some(listener) = &mut self.listeners[index] else {
            return;
        };
        let token = listener.token;
        self.tools.counters.system_calls += 1;
        let accepted = listener.listener.accept().and_then(|(stream, _)| {
            let (handle, added) = self.add(Connection::new(stream.into(), 0, false));
            added
                .map(|()| handle)
                .inspect_err(|_| self.drop_connection(handle))
        });
        let listener = self.listeners[index]
            .as_mut()
            .expect("it was there and nobody is asked in between");
        match accepted {
            Ok(connection) => events.push(Event::Accepted {
                listener: token,
                connection,
            }),
            Err(error) => match error.raw_os_error() {
                _ if error.kind() == io::ErrorKind::WouldBlock => listener.ready = false,
                // Only this one connection is concerned: it went away, or a firewall says no.
                Some(libc::ECONNABORTED | libc::EINTR | libc::EPROTO | libc::EPERM) => {}
                _ => {
                    listener.paused_until = self.now + ACCEPT_PAUSE;
                    self.tools.counters.accepts_failed += 1;
                }
            },
        }
    }
}
