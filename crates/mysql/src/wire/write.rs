//! Makes packets, appending to a buffer.
//!
//! Messages here are small; `packet` nevertheless splits what does not fit one packet, as the protocol wants it.

use super::{HEADER_BYTES, PAYLOAD_BYTES_MAX};

/// Appends one message with this sequence number, whose payload `write` appends, and says which number is next.
pub fn packet(out: &mut Vec<u8>, sequence: u8, write: impl FnOnce(&mut Vec<u8>)) -> u8 {
    let at = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    write(out);
    let payload = out.len() - at - HEADER_BYTES;
    if payload < PAYLOAD_BYTES_MAX {
        return header(out, at, payload, sequence);
    }
    split(out, at, payload, sequence)
}

/// Writes the header at `at`, and says which number is next.
fn header(out: &mut [u8], at: usize, payload: usize, sequence: u8) -> u8 {
    let len = u32::try_from(payload).expect("a packet's payload is at most 2^24 - 1 bytes");
    out[at..at + 3].copy_from_slice(&len.to_le_bytes()[..3]);
    out[at + 3] = sequence;
    sequence.wrapping_add(1)
}

/// Makes room for the headers between the pieces of a payload that begins behind the first of them, the last piece first.
fn split(out: &mut Vec<u8>, at: usize, payload: usize, sequence: u8) -> u8 {
    let more = payload / PAYLOAD_BYTES_MAX;
    out.resize(out.len() + more * HEADER_BYTES, 0);
    let first = at + HEADER_BYTES;
    for piece in (0..=more).rev() {
        let from = first + piece * PAYLOAD_BYTES_MAX;
        let len = (payload - piece * PAYLOAD_BYTES_MAX).min(PAYLOAD_BYTES_MAX);
        out.copy_within(from..from + len, from + piece * HEADER_BYTES);
        // Numbers wrap, and only their last byte is written.
        let number = sequence.wrapping_add((piece % 256) as u8);
        header(out, from + piece * HEADER_BYTES - HEADER_BYTES, len, number);
    }
    sequence.wrapping_add(((more + 1) % 256) as u8)
}

/// Appends a NUL-terminated string.
pub fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.push(0);
}

/// Appends a length-encoded number.
pub fn number(out: &mut Vec<u8>, number: u64) {
    let bytes = number.to_le_bytes();
    match number {
        0..=0xfa => out.push(bytes[0]),
        0xfb..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&bytes[..2]);
        }
        0x1_0000..=0xff_ffff => {
            out.push(0xfd);
            out.extend_from_slice(&bytes[..3]);
        }
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Appends a length-encoded string.
pub fn counted(out: &mut Vec<u8>, bytes: &[u8]) {
    number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a length-encoded string, or NULL.
pub fn counted_or_null(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => counted(out, bytes),
        None => out.push(0xfb),
    }
}

/// A client's command with its argument; commands begin an exchange, so their number is 0.
pub fn command(out: &mut Vec<u8>, command: u8, argument: &[u8]) {
    packet(out, 0, |out| {
        out.push(command);
        out.extend_from_slice(argument);
    });
}

/// `COM_QUERY`, for connections without [`QUERY_ATTRIBUTES`](super::capability::Capabilities::QUERY_ATTRIBUTES).
pub fn query(out: &mut Vec<u8>, sql: &[u8]) {
    command(out, super::command::QUERY, sql);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::header;

    #[test]
    fn a_made_packet_has_the_length_and_number_that_its_header_says() {
        let mut out = b"before".to_vec();
        assert_eq!(packet(&mut out, 255, |out| string(out, b"ab")), 0);
        let header = header(&out[6..]).expect("whole");
        assert_eq!((header.len, header.sequence), (out.len() - 6, 255));
        assert_eq!(&out[10..], b"ab\0");
    }

    #[test]
    fn a_query_begins_an_exchange() {
        let mut out = Vec::new();
        query(&mut out, b"SELECT 1");
        assert_eq!(out, b"\x09\0\0\0\x03SELECT 1");
    }

    #[test]
    fn null_and_empty_are_written_apart() {
        let mut out = Vec::new();
        counted_or_null(&mut out, None);
        counted_or_null(&mut out, Some(b""));
        counted_or_null(&mut out, Some(b"x"));
        assert_eq!(out, b"\xfb\0\x01x");
    }
}
