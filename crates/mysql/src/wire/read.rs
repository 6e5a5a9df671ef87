//! Looks into payloads: fixed and length-encoded numbers and strings (MySQL's documentation, "Basic Data Types").
//!
//! Everything borrows from the payload; nothing is allocated, and every length is held against what is left before it is used.

use super::DecodeError;
use memchr::memchr;

/// Walks over the fields of a payload.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// Whether all was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// So many bytes.
    #[inline]
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// As many bytes as the array has.
    #[inline]
    pub fn array<const LEN: usize>(&mut self) -> Result<[u8; LEN], DecodeError> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*bytes)
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// One byte.
    #[inline]
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    /// A 16-bit number.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    /// A 24-bit number.
    #[inline]
    pub fn u24(&mut self) -> Result<u32, DecodeError> {
        self.array()
            .map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
    }

    /// A 32-bit number.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    /// A 64-bit number.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Bytes up to a NUL, which is consumed too.
    pub fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        let end = memchr(0, self.0).ok_or(DecodeError::Truncated)?;
        let (text, rest) = (&self.0[..end], &self.0[end + 1..]);
        self.0 = rest;
        Ok(text)
    }

    /// Bytes up to a NUL, which is consumed too, or to the end: the last field of packets that some leave unterminated.
    pub fn string_or_rest(&mut self) -> &'a [u8] {
        self.string().unwrap_or_else(|_| self.rest())
    }

    /// A length-encoded number, or `None` where 0xfb stands for NULL.
    #[inline]
    pub fn number_or_null(&mut self) -> Result<Option<u64>, DecodeError> {
        match self.byte()? {
            small @ 0..=0xfa => Ok(Some(u64::from(small))),
            0xfb => Ok(None),
            0xfc => Ok(Some(u64::from(self.u16()?))),
            0xfd => Ok(Some(u64::from(self.u24()?))),
            0xfe => Ok(Some(self.u64()?)),
            0xff => Err(DecodeError::LengthPrefix),
        }
    }

    /// A length-encoded number.
    #[inline]
    pub fn number(&mut self) -> Result<u64, DecodeError> {
        self.number_or_null()?.ok_or(DecodeError::LengthPrefix)
    }

    /// A length-encoded string, or `None` where 0xfb stands for NULL.
    #[inline]
    pub fn counted_or_null(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        let Some(len) = self.number_or_null()? else {
            return Ok(None);
        };
        // A length that the machine cannot count is longer than the packet, too.
        self.bytes(usize::try_from(len).unwrap_or(usize::MAX))
            .map(Some)
    }

    /// A length-encoded string.
    #[inline]
    pub fn counted(&mut self) -> Result<&'a [u8], DecodeError> {
        self.counted_or_null()?.ok_or(DecodeError::LengthPrefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::write;

    #[test]
    fn numbers_are_read_as_they_were_written_at_every_edge() {
        for (number, len) in [
            (0, 1),
            (0xfa, 1),
            (0xfb, 3),
            (0xff, 3),
            (0xffff, 3),
            (0x1_0000, 4),
            (0xff_ffff, 4),
            (0x100_0000, 9),
            (u64::MAX, 9),
        ] {
            let mut out = Vec::new();
            write::number(&mut out, number);
            assert_eq!(out.len(), len, "{number}");
            let mut fields = Fields(&out);
            assert_eq!(fields.number(), Ok(number));
            assert!(fields.is_empty());
            for cut in 0..len {
                assert_eq!(Fields(&out[..cut]).number(), Err(DecodeError::Truncated));
            }
        }
    }

    #[test]
    fn null_is_told_from_empty_and_0xff_is_no_length() {
        assert_eq!(Fields(b"\xfb").counted_or_null(), Ok(None));
        assert_eq!(Fields(b"\0").counted_or_null(), Ok(Some(&b""[..])));
        assert_eq!(Fields(b"\xfb").counted(), Err(DecodeError::LengthPrefix));
        assert_eq!(Fields(b"\xff").number(), Err(DecodeError::LengthPrefix));
    }

    #[test]
    fn lengths_beyond_the_payload_are_refused_before_they_are_used() {
        assert_eq!(Fields(b"\x02a").counted(), Err(DecodeError::Truncated));
        let huge = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xffa";
        assert_eq!(Fields(huge).counted(), Err(DecodeError::Truncated));
    }

    #[test]
    fn strings_end_at_a_nul_or_where_that_is_allowed_at_the_end() {
        let mut fields = Fields(b"ab\0cd");
        assert_eq!(fields.string(), Ok(&b"ab"[..]));
        assert_eq!(fields.string(), Err(DecodeError::Truncated));
        assert_eq!(fields.string_or_rest(), b"cd");
        assert!(fields.is_empty());
    }
}
