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

/// Longest message that PostgreSQL itself accepts (`PQ_LARGE_MESSAGE_LIMIT`, just under 1 GiB).
const MESSAGE_BYTES_MAX: u32 = 0x3fff_ffff;

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
