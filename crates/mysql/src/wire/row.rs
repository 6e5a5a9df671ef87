//! Values of rows, of both protocols (MySQL's documentation, "Text Resultset Row", "Binary Protocol Resultset Row", "Binary Protocol
//! Value").
//!
//! For the answers to our own questions, for what we answer ourselves, and for parameters of statements. Clients' rows are passed on by
//! their headers.

use super::column::field_type;
use super::read::Fields;
use super::{DecodeError, write};

/// The values of a text row; `None` for NULL. Ends after the first that is malformed.
pub fn text_values(payload: &[u8]) -> impl Iterator<Item = Result<Option<&[u8]>, DecodeError>> {
    let mut fields = Fields(payload);
    std::iter::from_fn(move || {
        if fields.is_empty() {
            return None;
        }
        let value = fields.counted_or_null();
        if value.is_err() {
            fields.rest();
        }
        Some(value)
    })
}

/// The values of a text row of exactly so many columns.
///
/// # Errors
/// [`DecodeError::Truncated`] for fewer, [`DecodeError::Unexpected`] for more, [`DecodeError::LengthPrefix`].
pub fn text_row<const COLUMNS: usize>(
    payload: &[u8],
) -> Result<[Option<&[u8]>; COLUMNS], DecodeError> {
    let mut fields = Fields(payload);
    let mut row = [None; COLUMNS];
    for value in &mut row {
        *value = fields.counted_or_null()?;
    }
    match fields.is_empty() {
        true => Ok(row),
        false => Err(DecodeError::Unexpected),
    }
}

/// Appends a text row and says which number is next.
pub fn write_text_row(out: &mut Vec<u8>, sequence: u8, values: &[Option<&[u8]>]) -> u8 {
    write::packet(out, sequence, |out| {
        values
            .iter()
            .for_each(|value| write::counted_or_null(out, *value));
    })
}

/// A value of the binary protocol.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// A number with a sign.
    Signed(i64),
    /// A number without.
    Unsigned(u64),
    /// FLOAT.
    Float(f32),
    /// DOUBLE.
    Double(f64),
    /// A date or time in its parts, as the wire has them: of 0, 4, 7, 8, 11 or 12 bytes.
    Time(&'a [u8]),
    /// Everything else, as text or bytes.
    Bytes(&'a [u8]),
}

/// Takes one value of this type ([`field_type`]) from a binary row, or from the parameters of COM_STMT_EXECUTE. NULL is said elsewhere,
/// and takes no place.
///
/// # Errors
/// [`DecodeError::Truncated`], [`DecodeError::LengthPrefix`], [`DecodeError::Unexpected`] for a type that there is not.
pub fn value<'a>(
    fields: &mut Fields<'a>,
    kind: u8,
    is_unsigned: bool,
) -> Result<Value<'a>, DecodeError> {
    use field_type as t;
    let (signed, unsigned) = match kind {
        t::NULL => return Ok(Value::Null),
        t::FLOAT => {
            return fields
                .array()
                .map(|it| Value::Float(f32::from_le_bytes(it)));
        }
        t::DOUBLE => {
            return fields
                .array()
                .map(|it| Value::Double(f64::from_le_bytes(it)));
        }
        t::DATE | t::DATETIME | t::TIMESTAMP | t::TIME => {
            let len = fields.byte()?;
            return fields.bytes(usize::from(len)).map(Value::Time);
        }
        t::TINY => fields
            .byte()
            .map(|it| (i64::from(it as i8), u64::from(it)))?,
        t::SHORT | t::YEAR => fields
            .u16()
            .map(|it| (i64::from(it as i16), u64::from(it)))?,
        t::LONG | t::INT24 => fields
            .u32()
            .map(|it| (i64::from(it as i32), u64::from(it)))?,
        t::LONGLONG => fields.u64().map(|it| (it as i64, it))?,
        t::DECIMAL | t::VARCHAR | t::BIT | t::VECTOR..=t::GEOMETRY => {
            return fields.counted().map(Value::Bytes);
        }
        _ => return Err(DecodeError::Unexpected),
    };
    Ok(match is_unsigned {
        true => Value::Unsigned(unsigned),
        false => Value::Signed(signed),
    })
}

/// The values of a binary row, whose columns have these types and are unsigned or not.
///
/// # Errors
/// [`DecodeError::Unexpected`] for what is no row, or longer than its columns; else those of [`value`].
pub fn binary_row<'a>(
    payload: &'a [u8],
    columns: &[(u8, bool)],
) -> Result<Vec<Value<'a>>, DecodeError> {
    let mut fields = Fields(payload);
    if fields.byte()? != 0 {
        return Err(DecodeError::Unexpected);
    }
    // Two bits at the start are not used.
    let nulls = fields.bytes((columns.len() + 2).div_ceil(8))?;
    let mut values = Vec::with_capacity(columns.len());
    for (at, &(kind, is_unsigned)) in columns.iter().enumerate() {
        values.push(match is_null(nulls, at + 2) {
            true => Value::Null,
            false => value(&mut fields, kind, is_unsigned)?,
        });
    }
    match fields.is_empty() {
        true => Ok(values),
        false => Err(DecodeError::Unexpected),
    }
}

/// Whether a bit of a NULL bitmap is set.
pub fn is_null(bitmap: &[u8], bit: usize) -> bool {
    bitmap
        .get(bit / 8)
        .is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::HEADER_BYTES;

    #[test]
    fn a_text_row_knows_null_from_empty() {
        let values = [Some(&b"x"[..]), None, Some(b"")];
        let mut out = Vec::new();
        assert_eq!(write_text_row(&mut out, 7, &values), 8);
        let payload = &out[HEADER_BYTES..];
        assert_eq!(payload, b"\x01x\xfb\0");
        assert_eq!(text_row(payload), Ok(values));
        let read: Result<Vec<_>, _> = text_values(payload).collect();
        assert_eq!(read, Ok(values.to_vec()));
    }

    #[test]
    fn a_text_row_of_another_width_is_refused() {
        assert_eq!(text_row::<3>(b"\x01x\xfb"), Err(DecodeError::Truncated));
        assert_eq!(text_row::<1>(b"\x01x\xfb"), Err(DecodeError::Unexpected));
        assert_eq!(text_row::<1>(b"\x05x"), Err(DecodeError::Truncated));
        let read: Vec<_> = text_values(b"\x01x\x05x").collect();
        assert_eq!(read, [Ok(Some(&b"x"[..])), Err(DecodeError::Truncated)]);
    }

    #[test]
    fn every_type_takes_its_own_length_of_a_binary_row() {
        use field_type as t;
        let columns = [
            (t::TINY, false),
            (t::SHORT, true),
            (t::LONG, false),
            (t::LONGLONG, true),
            (t::FLOAT, false),
            (t::DOUBLE, false),
            (t::DATE, false),
            (t::VAR_STRING, false),
            (t::JSON, false),
            (t::NEWDECIMAL, false),
        ];
        let row = [
            // The ninth column is NULL: bit 10.
            &b"\0\0\x04\xff\xff\xff\xfe\xff\xff\xff"[..],
            b"\xff\xff\xff\xff\xff\xff\xff\xff\0\0\x80\x3f\0\0\0\0\0\0\xf0\x3f",
            b"\x04\xea\x07\x0b\x15\x02ab\x0312.",
        ]
        .concat();
        let expected = [
            Value::Signed(-1),
            Value::Unsigned(0xffff),
            Value::Signed(-2),
            Value::Unsigned(u64::MAX),
            Value::Float(1.0),
            Value::Double(1.0),
            Value::Time(b"\xea\x07\x0b\x15"),
            Value::Bytes(b"ab"),
            Value::Null,
            Value::Bytes(b"12."),
        ];
        assert_eq!(binary_row(&row, &columns), Ok(expected.to_vec()));
        for cut in 0..row.len() {
            assert!(binary_row(&row[..cut], &columns).is_err(), "{cut}");
        }
        assert_eq!(
            binary_row(&row, &columns[..9]),
            Err(DecodeError::Unexpected)
        );
        assert_eq!(binary_row(b"\x01\0", &[]), Err(DecodeError::Unexpected));
    }

    #[test]
    fn types_that_there_are_not_are_refused() {
        assert_eq!(
            value(&mut Fields(b"\x01x"), 200, false),
            Err(DecodeError::Unexpected)
        );
    }
}
