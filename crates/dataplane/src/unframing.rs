//! A client's frames on their way in: what is in them is shown to the engine like bytes of a client without frames.
//!
//! Frames may hold far more than they are long. So they are read piece by piece, no further than the client would be received from, and no more
//! than so much before others have their turn; what was received and not read waits here. `sending.rs` makes frames of what goes out.

use crate::driver::Driver;
use crate::mailbox::{Letter, Ticket};
use crate::relay::Source;
use crate::worker::Worker;
use forebay_core::engine::Engine;
use forebay_core::framing::Framing;

/// Most bytes that are taken out of one client's frames in one go.
const READ_BYTES_MAX: usize = 1024 * 1024;

/// The frames of a client's connection.
pub struct Frames {
    /// What they are.
    pub(crate) framing: Box<dyn Framing>,
    /// What was received and not read. Whole frames wait here only while the client is not received from.
    rest: Vec<u8>,
    /// They are being read further up.
    is_reading: bool,
}

impl Frames {
    /// Whether no frame is half received.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<D: Driver, E: Engine> Worker<D, E> {
    /// From here on the client's bytes are in frames; what is there already, too.
    pub(crate) fn start_frames(&mut self, ticket: Ticket, framing: Box<dyn Framing>) {
        let Some(client) = self.clients.get_mut(ticket) else {
            return;
        };
        let rest = std::mem::take(&mut client.inbox.bytes);
        client.inbox.need = 0;
        if !rest.is_empty() {
            self.refeed.push(ticket);
        }
        client.frames = Some(Box::new(Frames {
            framing,
            rest,
            is_reading: false,
        }));
    }

    /// Whether the client's bytes are in frames.
    pub(crate) fn is_framed(&self, ticket: Ticket) -> bool {
        let client = self.clients.get(ticket);
        client.is_some_and(|client| client.frames.is_some())
    }

    /// What the client is told next begins an answer.
    pub(crate) fn begin_answer(&mut self, ticket: Ticket) {
        let client = self.clients.get_mut(ticket);
        if let Some(frames) = client.and_then(|client| client.frames.as_mut()) {
            frames.framing.on_answer();
        }
    }

    /// Reads frames of a client, what was kept of them and what has come, and shows what is in them.
    pub(crate) fn read_frames(&mut self, ticket: Ticket, more: &[u8]) {
        let client = self.clients.get_mut(ticket);
        let Some(frames) = client.and_then(|client| client.frames.as_mut()) else {
            return;
        };
        if frames.is_reading || !frames.rest.is_empty() {
            frames.rest.extend_from_slice(more);
        }
        if frames.is_reading {
            return;
        }
        frames.is_reading = true;
        let kept = std::mem::take(&mut frames.rest);
        let bytes = if kept.is_empty() { more } else { &kept };
        let read = self.show_framed(ticket, bytes);
        let client = self.clients.get_mut(ticket);
        let Some(frames) = client.and_then(|client| client.frames.as_mut()) else {
            return;
        };
        frames.is_reading = false;
        // What came meanwhile comes behind.
        let behind = std::mem::take(&mut frames.rest);
        frames.rest = [&bytes[read..], &behind].concat();
    }

    /// The client may be heard again: what waits here comes before what it sends. Whether it is still to be heard then.
    pub(crate) fn read_on(&mut self, ticket: Ticket) -> bool {
        self.read_frames(ticket, &[]);
        let client = self.clients.get(ticket);
        client.is_some_and(|client| !client.throttled)
    }

    /// Shows what is in these frames, as far as the client may be heard. Returns how many bytes were read.
    fn show_framed(&mut self, ticket: Ticket, bytes: &[u8]) -> usize {
        // Taken out for its memory: feeding needs the worker whole.
        let mut plain = std::mem::take(&mut self.unframed);
        let (mut at, mut shown) = (0, 0);
        while let Some(client) = self.clients.get_mut(ticket)
            && let Some(frames) = &mut client.frames
            && !client.throttled
        {
            if shown >= READ_BYTES_MAX {
                client.throttled = true;
                self.driver.receive(client.handle, false);
                let own = self.mailbox(self.crew.number);
                own.send(Letter::ReadOn(ticket));
                break;
            }
            plain.clear();
            match frames.framing.read(&bytes[at..], &mut plain) {
                Ok(0) if plain.is_empty() => break,
                Ok(read) => at += read,
                Err(refusal) => {
                    self.refuse_client(ticket, &refusal);
                    break;
                }
            }
            shown += plain.len();
            self.feed_client_messages(ticket, &Source::Bytes(&plain));
        }
        self.unframed = plain;
        at
    }
}
