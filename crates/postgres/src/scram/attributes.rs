//! Reads SCRAM's `a=value,b=value` lists (RFC 5802 section 5.1) without copying.
//!
//! Strict where RFC 5802 is: a letter, `=`, a value without comma; no empty attribute, no trailing comma. What a value
//! must be is the reader's business; the shared forms (nonce, base64 of a fixed size, decimal) are checked here.
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Part, SALT_BYTES_MAX, ScramError};

/// Refuses what no SCRAM message can be, before anything is parsed: empty, longer than `bytes_max`, with a zero byte.
pub(super) fn check_message(message: &[u8], bytes_max: usize) -> Result<(), ScramError> {
    if message.len() > bytes_max {
        return Err(ScramError::MessageTooLong);
    }
    if message.is_empty() || memchr::memchr(0, message).is_some() {
        return Err(ScramError::Malformed(Part::Message));
    }
    Ok(())
}

/// A cursor over the attributes of one message.
pub(super) struct Attributes<'a> {
    list: &'a [u8],
    /// Where the next attribute starts; beyond the end once the last one was taken.
    next_at: usize,
}

impl<'a> Attributes<'a> {
    pub(super) fn new(list: &'a [u8]) -> Self {
        Attributes { list, next_at: 0 }
    }

    /// Where in the list the next attribute starts.
    pub(super) fn next_at(&self) -> usize {
        self.next_at
    }

    /// The next attribute, `None` after the last one.
    pub(super) fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, ScramError> {
        let Some(rest) = self.list.get(self.next_at..) else {
            return Ok(None);
        };
        let end = memchr::memchr(b',', rest).unwrap_or(rest.len());
        match &rest[..end] {
            [name, b'=', value @ ..] if name.is_ascii_alphabetic() => {
                self.next_at += end + 1;
                Ok(Some((*name, value)))
            }
            _ => Err(ScramError::Malformed(Part::Message)),
        }
    }

    /// The value of the next attribute, which must be `name`.
    pub(super) fn expect(&mut self, name: u8, part: Part) -> Result<&'a [u8], ScramError> {
        match self.next() {
            Ok(Some((found, value))) if found == name => Ok(value),
            _ => Err(ScramError::Malformed(part)),
        }
    }

    /// Like [`expect`](Self::expect) for the first attribute of a message, where `m=` announces a mandatory extension.
    pub(super) fn expect_first(&mut self, name: u8, part: Part) -> Result<&'a [u8], ScramError> {
        if self.list.starts_with(b"m=") {
            return Err(ScramError::UnsupportedExtension);
        }
        self.expect(name, part)
    }

    /// Passes over the optional extensions that may end a message (RFC 5802 section 5.1: ignored when unknown).
    pub(super) fn skip_extensions(&mut self) -> Result<(), ScramError> {
        while self.next()?.is_some() {}
        Ok(())
    }
}

/// A nonce: one or more printable ASCII characters other than the comma, which no value contains anyway.
pub(super) fn check_nonce(nonce: &[u8]) -> Result<(), ScramError> {
    if nonce.is_empty() {
        return Err(ScramError::Malformed(Part::Nonce));
    }
    if !nonce.iter().all(u8::is_ascii_graphic) {
        return Err(ScramError::UnprintableNonce);
    }
    Ok(())
}

/// Base64 of exactly 32 bytes: a key, a proof or a signature.
pub(super) fn decode_key(value: &[u8], part: Part) -> Result<[u8; 32], ScramError> {
    // One byte more than needed: the decoder insists on whole groups of three.
    let mut decoded = [0; 33];
    match STANDARD.decode_slice(value, &mut decoded) {
        Ok(32) => Ok(*decoded.first_chunk().expect("33 bytes hold 32")),
        _ => Err(ScramError::Malformed(part)),
    }
}

/// Base64 of 1 to [`SALT_BYTES_MAX`] bytes; the size is checked before anything is allocated.
pub(super) fn decode_salt(value: &[u8], part: Part) -> Result<Box<[u8]>, ScramError> {
    if value.len() > SALT_BYTES_MAX.div_ceil(3) * 4 {
        return Err(ScramError::SaltTooLong);
    }
    let salt = STANDARD
        .decode(value)
        .map_err(|_| ScramError::Malformed(part))?;
    match salt.len() {
        0 => Err(ScramError::Malformed(part)),
        1..=SALT_BYTES_MAX => Ok(salt.into_boxed_slice()),
        _ => Err(ScramError::SaltTooLong),
    }
}

/// A positive decimal number, digits only, that PostgreSQL's `int` can hold.
pub(super) fn decode_iterations(value: &[u8], part: Part) -> Result<NonZeroU32, ScramError> {
    let digits = value.len() <= 10 && value.iter().all(u8::is_ascii_digit);
    str::from_utf8(value)
        .ok()
        .filter(|_| digits)
        .and_then(|text| text.parse::<NonZeroU32>().ok())
        .filter(|iterations| i32::try_from(iterations.get()).is_ok())
        .ok_or(ScramError::Malformed(part))
}
