//! Framing and field reading shared by both directions of the PostgreSQL protocol (chapter "Message Formats").
//!
//! A message is a type byte, a length that counts itself, and a body; the first packets of a connection have no
//! type byte and are read in `login.rs`. Lengths are checked before anything is allocated.

/// Why bytes could not be read as a protocol message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// The length field is below its own four bytes or above the reader's limit.
    Length(u32),
    /// The body ended before its last field.
    Truncated,
    /// A string was not terminated or not UTF-8.
    BadString,
    /// Bytes were left over after the last field.
    Trailing(usize),
    /// No message of this direction has this type byte.
    UnknownType(u8),
}

/// One whole message cut out of a byte stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The type byte.
    pub kind: u8,
    /// The body, without type and length.
    pub body: &'a [u8],
    /// Bytes the whole message took.
    pub size: usize,
}

/// Cuts the first whole message off `bytes`; `None` while more bytes are needed.
///
/// `body_max` bounds the body in bytes.
///
/// # Errors
/// [`DecodeError::Length`] when the length field cannot be true or exceeds the bound.
pub fn split_frame(bytes: &[u8], body_max: usize) -> Result<Option<Frame<'_>>, DecodeError> {
    let Some(header) = bytes.first_chunk::<5>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
    let body = (length as usize)
        .checked_sub(4)
        .filter(|body| *body <= body_max)
        .ok_or(DecodeError::Length(length))?;
    let size = 5 + body;
    Ok((bytes.len() >= size).then(|| Frame {
        kind: header[0],
        body: &bytes[5..size],
        size,
    }))
}

/// Appends one message to `out`; the length is filled in once the body is known.
pub(crate) fn put_message(out: &mut Vec<u8>, kind: u8, body: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    put_sized(out, body);
}

/// Appends a length that counts itself, and what it measures.
pub(crate) fn put_sized(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = u32::try_from(out.len() - start).expect("model messages stay far below 4 GB");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

pub(crate) fn put_i16(out: &mut Vec<u8>, value: i16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_str(out: &mut Vec<u8>, value: &str) {
    out.extend_from_slice(value.as_bytes());
    out.push(0);
}

/// Appends a count as the protocol's 16-bit number.
pub(crate) fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u16::try_from(count).expect("lists in messages are at most 65535 long");
    out.extend_from_slice(&count.to_be_bytes());
}

/// Appends a nullable value: length -1 stands for NULL.
pub(crate) fn put_value(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None => put_i32(out, -1),
        Some(bytes) => {
            put_i32(
                out,
                i32::try_from(bytes.len()).expect("model values stay below 2 GB"),
            );
            out.extend_from_slice(bytes);
        }
    }
}

/// Reads the fields of one body in order.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self
            .rest
            .split_at_checked(count)
            .ok_or(DecodeError::Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated)?;
        self.rest = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// A string up to its zero byte.
    pub(crate) fn str(&mut self) -> Result<&'a str, DecodeError> {
        let end = self
            .rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or(DecodeError::BadString)?;
        let text = std::str::from_utf8(&self.rest[..end]).map_err(|_| DecodeError::BadString)?;
        self.rest = &self.rest[end + 1..];
        Ok(text)
    }

    pub(crate) fn string(&mut self) -> Result<String, DecodeError> {
        self.str().map(str::to_owned)
    }

    /// A nullable value with its length.
    pub(crate) fn value(&mut self) -> Result<Option<Vec<u8>>, DecodeError> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| DecodeError::Truncated)?;
                Ok(Some(self.take(length)?.to_vec()))
            }
        }
    }

    /// A counted list. Each element takes at least one byte, so the count never makes us allocate more than the
    /// body could hold.
    pub(crate) fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = u16::from_be_bytes(self.array()?) as usize;
        (0..count).map(|_| element(self)).collect()
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn end(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_only_when_whole() {
        let mut bytes = Vec::new();
        put_message(&mut bytes, b'Q', |body| put_str(body, "select 1"));
        for cut in 0..bytes.len() {
            assert_eq!(split_frame(&bytes[..cut], 100), Ok(None), "cut at {cut}");
        }
        let frame = split_frame(&bytes, 100).expect("valid").expect("whole");
        assert_eq!((frame.kind, frame.size), (b'Q', bytes.len()));
    }

    #[test]
    fn impossible_lengths_are_refused_from_the_header_alone() {
        assert_eq!(
            split_frame(&[b'Q', 0, 0, 0, 3], 100),
            Err(DecodeError::Length(3))
        );
        assert_eq!(
            split_frame(&[b'Q', 0, 0, 1, 0], 100),
            Err(DecodeError::Length(256))
        );
    }

    #[test]
    fn fields_never_read_past_the_body() {
        assert_eq!(Fields::new(&[0, 0]).i32(), Err(DecodeError::Truncated));
        assert_eq!(Fields::new(b"abc").str(), Err(DecodeError::BadString));
        assert_eq!(
            Fields::new(&[0, 0, 0, 9, 1]).value(),
            Err(DecodeError::Truncated)
        );
    }
}
