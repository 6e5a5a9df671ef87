//! One connection of the readiness driver: what is known about its socket, and one bounded step of sending or receiving.

use super::super::outbox::{Outbox, Spare};
use super::{BUFFER_BYTES, Counters, Token, UNSENT_HIGH};
use crate::buffer::{BufferPool, Chunk, Slice};
use socket2::Socket;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;

/// Most pieces of one vectored send.
const PIECES_MAX: usize = 16;
/// Most sends for one connection in a turn; what is left goes in the next one.
const SENDS_MAX: usize = 16;

#[cfg(target_os = "linux")]
const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
// Elsewhere it suffices that Rust's runtime ignores SIGPIPE.
#[cfg(not(target_os = "linux"))]
const SEND_FLAGS: i32 = libc::MSG_DONTWAIT;

/// How far the end of a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Open,
    /// Leaves for another driver when all is sent.
    Detaching,
    /// Closed by its owner; sends what is left.
    Lingering,
    /// All is sent and the end was told; waits for the peer's.
    Leaving,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    pub socket: Socket,
    pub token: Token,
    pub life: Life,
    /// The peer's host has not answered yet.
    pub connecting: bool,
    pub wants_receive: bool,
    /// There may be something to receive.
    pub readable: bool,
    /// A short receive is no proof that nothing is left.
    pub may_have_ended: bool,
    /// There was no room to send, until an edge says otherwise.
    pub blocked: bool,
    /// Nothing more will be received.
    pub ended: bool,
    /// Nothing can be sent any more.
    pub broken: bool,
    /// Why sending failed; told when what the peer had said before is received.
    pub failure: Option<io::Error>,
    /// Stands in the driver's list of those to receive from.
    pub queued: bool,
    /// Stands in the driver's list of those to send to.
    pub dirty: bool,
    /// Whether `unsent` has been above [`UNSENT_HIGH`] since the last `Relaxed`.
    pub tense: bool,
    pub outbox: Outbox,
}

/// What the connections of a driver share.
#[derive(Debug)]
pub struct Tools {
    pub buffers: BufferPool,
    pub spare: Spare,
    pub counters: Counters,
    /// Chunks of the send under way.
    pub pieces: Vec<Chunk>,
}

/// What became of sending.
#[derive(Debug)]
pub enum Sent {
    All,
    /// The peer takes no more for now.
    Blocked,
    /// Enough for one turn.
    Some,
    Failed(io::Error),
}

/// What became of receiving.
#[derive(Debug)]
pub enum Received {
    Bytes(Slice),
    Nothing,
    NoBuffer,
    End(Option<io::Error>),
}

impl Connection {
    pub fn new(socket: Socket, token: Token, connecting: bool) -> Connection {
        Connection {
            socket,
            token,
            life: Life::Open,
            connecting,
            wants_receive: false,
            readable: false,
            may_have_ended: false,
            blocked: connecting,
            ended: false,
            broken: false,
            failure: None,
            queued: false,
            dirty: false,
            tense: false,
            outbox: Outbox::default(),
        }
    }

    /// Whether its owner has not closed it.
    pub fn is_owned(&self) -> bool {
        matches!(self.life, Life::Open | Life::Detaching)
    }

    /// Whether to receive now: what comes after `close` is read only to see the peer's end.
    pub fn may_receive(&self) -> bool {
        let wanted = match self.life {
            Life::Open => self.wants_receive || self.failure.is_some(),
            Life::Detaching => false,
            Life::Lingering | Life::Leaving => true,
        };
        wanted && self.readable && !self.ended && !self.connecting
    }

    /// Whether there is something that can be sent now.
    pub fn may_send(&self) -> bool {
        !self.blocked && !self.outbox.is_empty()
    }

    /// Queues a chunk. Behind a slow peer the pool's buffers must not wait.
    pub fn push(&mut self, chunk: Chunk, spare: &mut Spare) {
        let chunk = match chunk {
            Chunk::Received(slice) if self.blocked => Chunk::owned(slice.to_vec()),
            chunk => chunk,
        };
        self.outbox.push(chunk, spare);
        self.note_tension();
    }

    /// Queues a copy of `bytes`.
    pub fn push_copy(&mut self, bytes: &[u8], spare: &mut Spare) {
        self.outbox.push_copy(bytes, spare);
        self.note_tension();
    }

    fn note_tension(&mut self) {
        self.tense |= self.outbox.bytes() > UNSENT_HIGH;
    }

    /// Whether the time for `Relaxed` has come.
    pub fn relaxes(&mut self) -> bool {
        let relaxes = self.tense && self.outbox.bytes() <= UNSENT_HIGH / 2;
        self.tense &= !relaxes;
        relaxes
    }

    /// Nothing can be sent any more.
    pub fn on_broken(&mut self) {
        self.broken = true;
        self.outbox = Outbox::default();
    }

    /// Sending has failed. What the peer said before may still wait here, often the reason.
    pub fn on_send_failed(&mut self, error: io::Error) {
        self.on_broken();
        self.failure = Some(error);
        self.readable = true;
        self.may_have_ended = true;
    }

    /// Sends until all is sent, the peer takes no more, or it is enough for one turn.
    pub fn send(&mut self, tools: &mut Tools) -> Sent {
        for _ in 0..SENDS_MAX {
            let Some(first) = self.outbox.pop() else {
                return Sent::All;
            };
            let (result, whole) = if self.outbox.is_empty() {
                self.send_one(first, tools)
            } else {
                self.send_several(first, tools)
            };
            tools.counters.system_calls += 1;
            match result {
                Ok(()) if whole => {}
                Ok(()) => return self.block(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.block(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Sent::Failed(error),
            }
        }
        if self.outbox.is_empty() {
            Sent::All
        } else {
            Sent::Some
        }
    }

    /// Sends one chunk; what is left goes back. Whether all of it went.
    fn send_one(&mut self, mut chunk: Chunk, tools: &mut Tools) -> (io::Result<()>, bool) {
        let result = self.socket.send_with_flags(&chunk, SEND_FLAGS);
        chunk.advance(*result.as_ref().unwrap_or(&0));
        let whole = chunk.is_empty();
        if whole {
            tools.spare.give(chunk);
        } else {
            self.outbox.unpop(chunk);
        }
        (result.map(drop), whole)
    }

    /// Sends several chunks at once; what is left goes back in order. Whether all of them went.
    fn send_several(&mut self, first: Chunk, tools: &mut Tools) -> (io::Result<()>, bool) {
        let pieces = &mut tools.pieces;
        pieces.push(first);
        while pieces.len() < PIECES_MAX
            && let Some(chunk) = self.outbox.pop()
        {
            pieces.push(chunk);
        }
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        for (slice, chunk) in slices.iter_mut().zip(pieces.iter()) {
            *slice = IoSlice::new(chunk);
        }
        let slices = &slices[..pieces.len()];
        let result = self.socket.send_vectored_with_flags(slices, SEND_FLAGS);
        let mut left: usize = pieces.iter().map(|chunk| chunk.len()).sum();
        left -= *result.as_ref().unwrap_or(&0);
        let whole = left == 0;
        // From the last one back, so that each goes before those that follow it.
        while let Some(mut chunk) = pieces.pop() {
            let kept = left.min(chunk.len());
            left -= kept;
            chunk.advance(chunk.len() - kept);
            if kept == 0 {
                tools.spare.give(chunk);
            } else {
                self.outbox.unpop(chunk);
            }
        }
        (result.map(drop), whole)
    }

    /// The peer takes no more: the pool's buffers are freed for others.
    fn block(&mut self) -> Sent {
        self.blocked = true;
        self.outbox.release_buffers();
        Sent::Blocked
    }

    /// Receives once.
    pub fn receive(&mut self, tools: &mut Tools) -> Received {
        let Some(id) = tools.buffers.take() else {
            tools.counters.buffers_exhausted += 1;
            return Received::NoBuffer;
        };
        let address = tools.buffers.address(id).cast::<MaybeUninit<u8>>();
        // SAFETY: a taken buffer is this long and nobody else's until it is filled or put back.
        let buffer = unsafe { std::slice::from_raw_parts_mut(address, BUFFER_BYTES) };
        tools.counters.system_calls += 1;
        let result = self.socket.recv_with_flags(buffer, libc::MSG_DONTWAIT);
        if let Ok(len @ 1..) = result {
            self.readable = len == BUFFER_BYTES || self.may_have_ended;
            return Received::Bytes(tools.buffers.filled(id, len));
        }
        tools.buffers.put_back(id);
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Received::Nothing,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.broken => {
                self.readable = false;
                self.may_have_ended = false;
                Received::Nothing
            }
            result => Received::End(self.failure.take().or(result.err())),
        }
    }
}
