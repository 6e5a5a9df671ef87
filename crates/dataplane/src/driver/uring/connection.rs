//! One connection of the ring: what is known about its socket, what of it is in flight, and how far its end has come.
//!
//! Memory that the kernel reads for it (chunks, the address to connect to) is kept here until the operation has completed.

use super::super::Token;
use super::super::outbox::Outbox;
use super::silence::Place;
use crate::buffer::Chunk;
use crate::driver::Handle;
use crate::socket;
use std::io;
use std::os::fd::RawFd;

/// How far the end of a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
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
pub(super) struct Connection {
    pub(super) fd: RawFd,
    pub(super) generation: u32,
    pub(super) token: Token,
    pub(super) life: Life,
    pub(super) wants_receive: bool,
    pub(super) receive_armed: bool,
    pub(super) receive_cancelled: bool,
    /// Nothing more will be received.
    pub(super) ended: bool,
    /// Nothing can be sent any more.
    pub(super) broken: bool,
    /// Why sending failed; told when what the peer had said before is received.
    pub(super) failure: Option<io::Error>,
    pub(super) connecting: Option<Box<socket::Address>>,
    pub(super) outbox: Outbox,
    pub(super) in_flight: InFlight,
    pub(super) dirty: bool,
    /// Whether `unsent` has been above `UNSENT_HIGH` since the last `Relaxed`.
    pub(super) tense: bool,
}

/// Chunks of the send under way.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    pub(super) active: bool,
    pub(super) patient: bool,
    /// Place in the order of entries of a send that tells only of failure.
    pub(super) silent: Option<Place>,
    pub(super) first: Option<Chunk>,
    pub(super) more: Vec<Chunk>,
    pub(super) bytes: usize,
}

impl Connection {
    pub(super) fn empty() -> Connection {
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

    pub(super) fn unsent(&self) -> usize {
        self.outbox.bytes() + self.in_flight.bytes
    }

    /// Whether its owner has not closed it.
    pub(super) fn is_owned(&self) -> bool {
        self.fd >= 0 && matches!(self.life, Life::Open | Life::Detaching)
    }

    /// Whether a receive is wanted: what comes after `close` is received only to see the peer's end.
    pub(super) fn may_receive(&self) -> bool {
        let wanted = match self.life {
            Life::Open => self.wants_receive || self.failure.is_some(),
            Life::Detaching | Life::Closing => false,
            Life::Lingering | Life::Leaving => true,
        };
        wanted && !self.ended
    }

    /// Whether this is the handle of a connection that takes more to send.
    pub(super) fn takes(&self, handle: Handle) -> bool {
        self.generation == handle.generation && self.is_owned() && !self.broken
    }

    /// Nothing can be sent any more.
    pub(super) fn on_broken(&mut self) {
        self.broken = true;
        self.outbox = Outbox::default();
    }
}
