//! The client/server protocol on the wire (MySQL's source documentation, "Client/Server Protocol"; MariaDB's documentation, "Clients &
//! Servers Protocol").
//!
//! Nothing here knows what a packet means to a session.

/// Length (3 bytes, little-endian) and sequence number of a packet.
pub const HEADER_BYTES: usize = 4;

/// Longest payload of one packet. A packet of exactly this length is continued by the next, which may be empty.
pub const PAYLOAD_BYTES_MAX: usize = 0xff_ffff;

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
}
