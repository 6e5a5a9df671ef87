//! The client/server protocol on the wire (MySQL's source documentation, "Client/Server Protocol"; MariaDB's documentation, "Clients &
//! Servers Protocol").
//!
//! `header` and `message` find packets and messages in bytes; `greeting`, `response` and `auth` read and make what is said up to the
//! login; `reply` and `tracker` read what ends a statement, `column` and `row` its result; `statement` is what clients say of prepared statements; `read` and `write` are what these are made of.
//! `capability`, `status` and `command` are the numbers, `compression` the frames around all this. Readers take payloads, that is packets without their headers, and borrow from
//! them. Nothing here knows what a packet means to a session.

pub mod auth;
pub mod capability;
pub mod column;
pub mod command;
pub mod compression;
pub mod greeting;
pub mod read;
pub mod reply;
pub mod response;
pub mod row;
pub mod statement;
pub mod status;
pub mod tracker;
pub mod write;

use std::borrow::Cow;
use std::fmt;

/// Length (3 bytes, little-endian) and sequence number of a packet.
pub const HEADER_BYTES: usize = 4;

/// Longest payload of one packet. A packet of exactly this length is continued by the next, which may be empty.
pub const PAYLOAD_BYTES_MAX: usize = 0xff_ffff;

/// Longest message that a server takes, whatever is configured (`max_allowed_packet` ends at 1 GiB).
pub const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// A packet's header: how long it is in all, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Length of the whole packet, header included.
    pub len: usize,
    /// Counts the packets of one exchange, both ways, modulo 256.
    pub sequence: u8,
}

impl Header {
    /// Whether the message goes on in the next packet.
    #[inline]
    pub fn is_continued(self) -> bool {
        self.len == HEADER_BYTES + PAYLOAD_BYTES_MAX
    }
}

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// A field runs past the end of its packet, or a string is not terminated.
    Truncated,
    /// A length-encoded number begins with 0xff, or with 0xfb where there is no NULL.
    LengthPrefix,
    /// The packet is none of those that may stand here.
    Unexpected,
    /// A version of the protocol before that of MySQL 4.1.
    OldProtocol,
    /// The packets of one message are not numbered one after the other.
    OutOfOrder,
    /// The message is longer than any server takes.
    TooLong,
}

impl DecodeError {
    /// For error messages.
    pub fn as_str(self) -> &'static str {
        match self {
            DecodeError::Truncated => "malformed packet",
            DecodeError::LengthPrefix => "malformed length in a packet",
            DecodeError::Unexpected => "unexpected packet",
            DecodeError::OldProtocol => "protocol older than that of MySQL 4.1",
            DecodeError::OutOfOrder => "packets out of order",
            DecodeError::TooLong => "message of more than 1 GiB",
        }
    }
}

/// The header at the start of `bytes`, or `None` when it is not whole yet. Every three bytes are a length.
#[inline]
pub fn header(bytes: &[u8]) -> Option<Header> {
    let [a, b, c, sequence, ..] = *bytes else {
        return None;
    };
    let payload = u32::from_le_bytes([a, b, c, 0]) as usize;
    Some(Header {
        len: HEADER_BYTES + payload,
        sequence,
    })
}

/// A whole message: one packet, or several of which all but the last are full.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// All packets with their headers.
    pub bytes: &'a [u8],
    /// How many packets it is made of.
    pub packets: usize,
    /// The last packet's number; an answer counts on from here.
    pub sequence: u8,
}

impl<'a> Message<'a> {
    /// What the message says, borrowed where it is one packet.
    pub fn payload(&self) -> Cow<'a, [u8]> {
        if self.packets == 1 {
            return Cow::Borrowed(&self.bytes[HEADER_BYTES..]);
        }
        let mut payload = Vec::with_capacity(self.bytes.len() - self.packets * HEADER_BYTES);
        for packet in self.bytes.chunks(HEADER_BYTES + PAYLOAD_BYTES_MAX) {
            payload.extend_from_slice(&packet[HEADER_BYTES..]);
        }
        Cow::Owned(payload)
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("len", &self.bytes.len())
            .field("packets", &self.packets)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// The message at the start of `bytes`; `Ok(Err(len))` says that it is not whole, and how many bytes there must be at least.
///
/// # Errors
/// [`DecodeError::OutOfOrder`] where a packet's number does not follow from the one before, [`DecodeError::TooLong`].
pub fn message(bytes: &[u8]) -> Result<Result<Message<'_>, usize>, DecodeError> {
    let (mut len, mut packets, mut last) = (0, 0, None);
    loop {
        let Some(header) = header(&bytes[len..]) else {
            return Ok(Err(len + HEADER_BYTES));
        };
        if last.is_some_and(|last: u8| last.wrapping_add(1) != header.sequence) {
            return Err(DecodeError::OutOfOrder);
        }
        len += header.len;
        packets += 1;
        last = Some(header.sequence);
        if len - packets * HEADER_BYTES > MESSAGE_BYTES_MAX {
            return Err(DecodeError::TooLong);
        }
        let Some(whole) = bytes.get(..len) else {
            return Ok(Err(len));
        };
        if !header.is_continued() {
            return Ok(Ok(Message {
                bytes: whole,
                packets,
                sequence: header.sequence,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_how_long_the_packet_is_and_whether_it_is_continued() {
        assert_eq!(header(&[1, 0, 0]), None);
        let small = header(&[0x02, 0x01, 0, 7, 0xaa]).expect("whole");
        assert_eq!((small.len, small.sequence), (4 + 0x0102, 7));
        assert!(!small.is_continued());
        assert!(header(&[0xff; 4]).expect("whole").is_continued());
    }

    #[test]
    fn a_message_of_one_packet_is_borrowed_and_ends_where_the_next_begins() {
        let bytes = [1, 0, 0, 3, b'x', 9, 9];
        let message = message(&bytes).expect("in order").expect("whole");
        assert_eq!((message.bytes.len(), message.sequence), (5, 3));
        assert!(matches!(message.payload(), Cow::Borrowed(b"x")));
    }

    #[test]
    fn a_message_that_is_not_whole_says_how_much_there_must_be() {
        assert_eq!(message(&[]), Ok(Err(4)));
        assert_eq!(message(&[5, 0, 0, 0, 1]), Ok(Err(9)));
        assert_eq!(
            message(&[0xff, 0xff, 0xff, 0]),
            Ok(Err(PAYLOAD_BYTES_MAX + HEADER_BYTES))
        );
    }

    #[test]
    fn a_full_packet_is_continued_even_by_an_empty_one() {
        for (len, packets) in [
            (PAYLOAD_BYTES_MAX - 1, 1),
            (PAYLOAD_BYTES_MAX, 2),
            (PAYLOAD_BYTES_MAX + 1, 2),
            (2 * PAYLOAD_BYTES_MAX, 3),
        ] {
            let payload: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let mut bytes = Vec::new();
            let next = write::packet(&mut bytes, 255, |out| out.extend_from_slice(&payload));
            let message = message(&bytes).expect("in order").expect("whole");
            assert_eq!(
                (message.packets, message.bytes.len()),
                (packets, bytes.len())
            );
            assert_eq!(message.sequence.wrapping_add(1), next);
            assert!(*message.payload() == *payload, "{len}");
        }
    }

    #[test]
    fn packets_of_one_message_that_are_out_of_order_are_refused() {
        let mut bytes = Vec::new();
        write::packet(&mut bytes, 0, |out| {
            out.resize(HEADER_BYTES + PAYLOAD_BYTES_MAX, 0)
        });
        let at = bytes.len() - 1;
        bytes[at] = 2;
        assert_eq!(message(&bytes).err(), Some(DecodeError::OutOfOrder));
    }
}
