//! Looks into message bodies. Every reader takes the bytes after the header and borrows from them.

use super::DecodeError;
use memchr::memchr;

/// Walks over the fields of a body.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// Bytes up to a NUL, which is consumed too.
    pub fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        let end = memchr(0, self.0).ok_or(DecodeError::Truncated)?;
        let (text, rest) = (&self.0[..end], &self.0[end + 1..]);
        self.0 = rest;
        Ok(text)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&first, rest) = self.0.split_first().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(first)
    }

    /// A big-endian 32-bit number.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    /// A big-endian 16-bit number.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(*number))
    }
}

/// The fields of an ErrorResponse or NoticeResponse that the proxy itself looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorFields<'a> {
    /// Severity, not localised where the server sends that (`V`), else `S`.
    pub severity: &'a [u8],
    /// SQLSTATE (`C`).
    pub code: &'a [u8],
    /// Primary message (`M`).
    pub message: &'a [u8],
}

impl<'a> ErrorFields<'a> {
    /// Reads a body; a malformed one yields what could be read.
    pub fn read(body: &'a [u8]) -> ErrorFields<'a> {
        let mut fields = Fields(body);
        let mut error = ErrorFields::default();
        while let Ok(kind) = fields.byte()
            && kind != 0
            && let Ok(text) = fields.string()
        {
            match kind {
                b'V' => error.severity = text,
                b'S' if error.severity.is_empty() => error.severity = text,
                b'C' => error.code = text,
                b'M' => error.message = text,
                _ => {}
            }
        }
        error
    }

    /// Whether the session ends with this error.
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity, b"FATAL" | b"PANIC")
    }
}

/// The columns of a DataRow as text; `None` for NULL.
pub fn data_row(body: &[u8]) -> Result<Vec<Option<&[u8]>>, DecodeError> {
    let mut fields = Fields(body);
    let count = fields.u16()?;
    // A column takes at least its length word, which bounds the allocation.
    let mut columns = Vec::with_capacity(usize::from(count).min(body.len() / 4));
    for _ in 0..count {
        let len = fields.u32()?;
        if len == u32::MAX {
            columns.push(None);
            continue;
        }
        let (value, rest) = fields
            .0
            .split_at_checked(len as usize)
            .ok_or(DecodeError::Truncated)?;
        fields.0 = rest;
        columns.push(Some(value));
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unlocalised_severity_wins() {
        let error = ErrorFields::read(b"SFEHLER\0VERROR\0C42601\0Mno\0\0");
        assert_eq!(
            (error.severity, error.code, error.message),
            (&b"ERROR"[..], &b"42601"[..], &b"no"[..])
        );
        assert!(!error.is_fatal());
    }

    #[test]
    fn a_cut_error_yields_what_was_read() {
        assert_eq!(ErrorFields::read(b"C42601\0Mno").code, b"42601");
        assert_eq!(ErrorFields::read(b""), ErrorFields::default());
    }

    #[test]
    fn a_row_knows_null_from_empty() {
        let row = data_row(b"\0\x03\0\0\0\x01x\xff\xff\xff\xff\0\0\0\0").expect("well-formed");
        assert_eq!(row, [Some(&b"x"[..]), None, Some(&b""[..])]);
        assert_eq!(data_row(b"\0\x01\0\0\0\x05x"), Err(DecodeError::Truncated));
    }
}
