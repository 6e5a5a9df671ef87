//! The frontend/backend protocol on the wire (PostgreSQL documentation, chapter "Frontend/Backend Protocol", versions 3.0 and 3.2).
//!
//! `header` finds messages in bytes, `startup` reads what comes before the first typed message, `read` looks into message bodies,
//! `write` makes messages. Nothing here knows what a message means.

pub mod read;
pub mod startup;
pub mod write;

/// Type byte and length word of a typed message.
pub const HEADER_BYTES: usize = 5;

/// A typed message's header: what it is and how long it is in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The type byte.
    pub kind: u8,
    /// Length of the whole message, header included.
    pub len: usize,
}

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The length word is below 4 or above what the protocol allows (1 GiB).
    Length,
    /// A field runs past the end of its message, or a string is not terminated.
    Truncated,
}

impl DecodeError {
    /// For error messages.
    pub fn as_str(self) -> &'static str {
        match self {
            DecodeError::Length => "invalid message length",
            DecodeError::Truncated => "invalid message format",
        }
    }
}

/// Longest length word that either side may send: what a server can allocate (`MaxAllocSize`, just under 1 GiB).
const MESSAGE_BYTES_MAX: u32 = 0x3fff_ffff;

/// Longest length word of a client's message of any length (`PQ_LARGE_MESSAGE_LIMIT`, libpq.h): `MaxAllocSize - 1`.
const LARGE_MESSAGE_MAX: usize = 0x3fff_fffe;

/// Longest length word of a client's message that holds names or nothing (`PQ_SMALL_MESSAGE_LIMIT`, libpq.h).
const SMALL_MESSAGE_MAX: usize = 10_000;

impl Header {
    /// Whether a server refuses a client's message of this kind for its length (`SocketBackend`, postgres.c; `CopyGetData`,
    /// copyfromparse.c). Kinds that do not exist are not told by their length.
    #[inline]
    pub fn is_too_long(self) -> bool {
        let max = match self.kind {
            b'X' | b'C' | b'D' | b'E' | b'H' | b'S' | b'c' | b'f' => SMALL_MESSAGE_MAX,
            _ => LARGE_MESSAGE_MAX,
        };
        self.len - 1 > max
    }
}

/// The header at the start of `bytes`, or `None` when it is not whole yet.
#[inline]
pub fn header(bytes: &[u8]) -> Result<Option<Header>, DecodeError> {
    let [kind, a, b, c, d, ..] = *bytes else {
        return Ok(None);
    };
    let len = u32::from_be_bytes([a, b, c, d]);
    if !(4..=MESSAGE_BYTES_MAX).contains(&len) {
        return Err(DecodeError::Length);
    }
    Ok(Some(Header {
        kind,
        len: len as usize + 1,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of `SocketBackend` (postgres.c, PostgreSQL 14 to 18).
    #[test]
    fn messages_of_a_client_are_as_long_as_postgresql_allows() {
        for (kinds, max) in [(&b"QFBPd"[..], 0x3fff_fffe_u32), (b"XCDEHScf", 10_000)] {
            for &kind in kinds {
                for (word, is_too_long) in [(4, false), (max, false), (max + 1, true)] {
                    let [a, b, c, d] = word.to_be_bytes();
                    let header = header(&[kind, a, b, c, d]).ok().flatten();
                    assert_eq!(
                        header.map(Header::is_too_long),
                        Some(is_too_long),
                        "{} {word}",
                        char::from(kind)
                    );
                }
            }
        }
    }
}
