//! What a client says about prepared statements: COM_STMT_EXECUTE, COM_STMT_SEND_LONG_DATA, COM_STMT_FETCH and those that only name one (MySQL's
//! documentation, pages of these names).
//!
//! For connections without [`QUERY_ATTRIBUTES`](super::capability::Capabilities::QUERY_ATTRIBUTES), which changes the layout. The answer to
//! COM_STMT_PREPARE is `reply::PrepareOk`.

use super::DecodeError;
use super::command;
use super::read::Fields;
use super::row::is_null;
use super::write;

/// In MariaDB, the statement that was prepared last: by this number clients name it before they know its own (MariaDB's documentation,
/// `COM_STMT_EXECUTE`).
pub const LAST_PREPARED: u32 = u32::MAX;

/// A type's second byte: a number without a sign.
pub const UNSIGNED_PARAMETER: u8 = 0x80;

/// The statement that a message names, whichever of these commands it is; behind the command byte.
///
/// # Errors
/// [`DecodeError::Unexpected`] for other commands, [`DecodeError::Truncated`].
pub fn statement_of(payload: &[u8]) -> Result<u32, DecodeError> {
    let mut fields = Fields(payload);
    match fields.byte()? {
        command::STMT_EXECUTE
        | command::STMT_BULK_EXECUTE
        | command::STMT_SEND_LONG_DATA
        | command::STMT_CLOSE
        | command::STMT_RESET
        | command::STMT_FETCH => fields.u32(),
        _ => Err(DecodeError::Unexpected),
    }
}

/// COM_STMT_EXECUTE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The statement.
    pub statement: u32,
    /// Whether a cursor is wanted: [`command::CURSOR_READ_ONLY`].
    pub flags: u8,
    /// Always 1.
    pub iterations: u32,
    /// Which parameters are NULL, a bit for each.
    pub nulls: &'a [u8],
    /// Two bytes for each parameter's type: one of [`field_type`](super::column::field_type), and [`UNSIGNED_PARAMETER`] or 0. `None` where
    /// the types are those of the execution before.
    pub types: Option<&'a [u8]>,
    /// The values, one behind the other, for [`row::value`](super::row::value). Those that are NULL, or were sent as long data, are not
    /// among them.
    pub values: &'a [u8],
}

impl<'a> Execute<'a> {
    /// Reads the message, its command byte included, for a statement with so many parameters.
    ///
    /// # Errors
    /// [`DecodeError::Unexpected`] for other commands, [`DecodeError::Truncated`].
    pub fn read(payload: &'a [u8], parameters: u16) -> Result<Execute<'a>, DecodeError> {
        let mut fields = Fields(payload);
        if fields.byte()? != command::STMT_EXECUTE {
            return Err(DecodeError::Unexpected);
        }
        let mut execute = Execute {
            statement: fields.u32()?,
            flags: fields.byte()?,
            iterations: fields.u32()?,
            nulls: &[],
            types: None,
            values: &[],
        };
        if parameters > 0 {
            let parameters = usize::from(parameters);
            execute.nulls = fields.bytes(parameters.div_ceil(8))?;
            if fields.byte()? == 1 {
                execute.types = Some(fields.bytes(2 * parameters)?);
            }
            execute.values = fields.rest();
        }
        Ok(execute)
    }

    /// Whether a parameter is NULL.
    pub fn is_null(&self, parameter: u16) -> bool {
        is_null(self.nulls, usize::from(parameter))
    }

    /// Appends the message, which begins an exchange.
    pub fn write(&self, out: &mut Vec<u8>) {
        write::packet(out, 0, |out| {
            out.push(command::STMT_EXECUTE);
            out.extend_from_slice(&self.statement.to_le_bytes());
            out.push(self.flags);
            out.extend_from_slice(&self.iterations.to_le_bytes());
            if !self.nulls.is_empty() {
                out.extend_from_slice(self.nulls);
                out.push(u8::from(self.types.is_some()));
                out.extend_from_slice(self.types.unwrap_or_default());
                out.extend_from_slice(self.values);
            }
        });
    }
}

/// COM_STMT_SEND_LONG_DATA: a piece of a parameter's value. Has no answer; what is wrong with it is told by the execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongData<'a> {
    /// The statement.
    pub statement: u32,
    /// Which parameter, from 0.
    pub parameter: u16,
    /// The piece.
    pub data: &'a [u8],
}

impl<'a> LongData<'a> {
    /// Reads the message, its command byte included.
    ///
    /// # Errors
    /// [`DecodeError::Unexpected`] for other commands, [`DecodeError::Truncated`].
    pub fn read(payload: &'a [u8]) -> Result<LongData<'a>, DecodeError> {
        let mut fields = Fields(payload);
        if fields.byte()? != command::STMT_SEND_LONG_DATA {
            return Err(DecodeError::Unexpected);
        }
        Ok(LongData {
            statement: fields.u32()?,
            parameter: fields.u16()?,
            data: fields.rest(),
        })
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        write::packet(out, 0, |out| {
            out.push(command::STMT_SEND_LONG_DATA);
            out.extend_from_slice(&self.statement.to_le_bytes());
            out.extend_from_slice(&self.parameter.to_le_bytes());
            out.extend_from_slice(self.data);
        });
    }
}

/// How many rows COM_STMT_FETCH wants, behind the statement that it names.
///
/// # Errors
/// [`DecodeError::Unexpected`] for other commands, [`DecodeError::Truncated`].
pub fn rows_wanted(payload: &[u8]) -> Result<u32, DecodeError> {
    let mut fields = Fields(payload);
    if fields.byte()? != command::STMT_FETCH {
        return Err(DecodeError::Unexpected);
    }
    fields.u32()?;
    fields.u32()
}

/// Appends COM_STMT_PREPARE.
pub fn prepare(out: &mut Vec<u8>, sql: &[u8]) {
    write::command(out, command::STMT_PREPARE, sql);
}

/// Appends COM_STMT_CLOSE, which has no answer.
pub fn close(out: &mut Vec<u8>, statement: u32) {
    write::command(out, command::STMT_CLOSE, &statement.to_le_bytes());
}

/// Appends COM_STMT_RESET, which forgets long data and closes the cursor.
pub fn reset(out: &mut Vec<u8>, statement: u32) {
    write::command(out, command::STMT_RESET, &statement.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::HEADER_BYTES;
    use crate::wire::column::field_type;
    use crate::wire::row::{Value, value};

    /// The example of MySQL's documentation: one parameter, the string `foo`.
    const FOO: &[u8] = b"\x17\x01\0\0\0\0\x01\0\0\0\0\x01\x0f\0\x03foo";

    #[test]
    fn an_execution_is_read_as_the_documentation_has_it_and_written_alike() {
        let execute = Execute::read(FOO, 1).expect("well-formed");
        assert_eq!(
            (execute.statement, execute.flags, execute.iterations),
            (1, 0, 1)
        );
        assert_eq!(execute.types, Some(&[field_type::VARCHAR, 0][..]));
        let mut values = Fields(execute.values);
        let foo = value(&mut values, field_type::VARCHAR, false);
        assert_eq!(foo, Ok(Value::Bytes(b"foo")));
        let mut out = Vec::new();
        execute.write(&mut out);
        assert_eq!(&out[HEADER_BYTES..], FOO);
        for cut in 0..14 {
            assert_eq!(Execute::read(&FOO[..cut], 1), Err(DecodeError::Truncated));
        }
    }

    #[test]
    fn types_of_the_execution_before_can_be_put_in() {
        let bound = b"\x17\x01\0\0\0\x01\x01\0\0\0\x02\0\x05";
        let execute = Execute::read(bound, 2).expect("well-formed");
        assert_eq!(execute.types, None);
        assert!(execute.is_null(1) && !execute.is_null(0) && !execute.is_null(9));
        let moved = Execute {
            statement: 0x0102_0304,
            types: Some(&[field_type::TINY, UNSIGNED_PARAMETER, field_type::DATE, 0]),
            ..execute
        };
        let mut out = Vec::new();
        moved.write(&mut out);
        let payload = &out[HEADER_BYTES..];
        assert_eq!(
            payload,
            b"\x17\x04\x03\x02\x01\x01\x01\0\0\0\x02\x01\x01\x80\x0a\0\x05"
        );
        assert_eq!(Execute::read(payload, 2), Ok(moved));
    }

    #[test]
    fn an_execution_without_parameters_ends_behind_its_header() {
        let payload = b"\x17\x01\0\0\0\0\x01\0\0\0";
        let execute = Execute::read(payload, 0).expect("well-formed");
        let mut out = Vec::new();
        execute.write(&mut out);
        assert_eq!(&out[HEADER_BYTES..], payload);
        assert_eq!(Execute::read(payload, 1), Err(DecodeError::Truncated));
    }

    #[test]
    fn the_statement_is_found_in_every_command_that_names_one() {
        for (payload, expected) in [
            (FOO, Ok(1)),
            (b"\x18\x02\0\0\0\0\0x", Ok(2)),
            (b"\x19\x03\0\0\0", Ok(3)),
            (b"\x1a\x04\0\0\0", Ok(4)),
            (b"\x1c\xff\xff\xff\xff\x07\0\0\0", Ok(LAST_PREPARED)),
            (b"\x19\x03\0\0", Err(DecodeError::Truncated)),
            (b"\x03SELECT 1", Err(DecodeError::Unexpected)),
        ] {
            assert_eq!(statement_of(payload), expected);
        }
        assert_eq!(rows_wanted(b"\x1c\x01\0\0\0\x07\0\0\0"), Ok(7));
        assert_eq!(
            rows_wanted(b"\x1a\x01\0\0\0\x07\0\0\0"),
            Err(DecodeError::Unexpected)
        );
    }

    #[test]
    fn long_data_and_what_only_names_a_statement_are_written_as_they_are_read() {
        let piece = LongData {
            statement: 9,
            parameter: 2,
            data: b"piece",
        };
        let mut out = Vec::new();
        piece.write(&mut out);
        assert_eq!(&out[HEADER_BYTES..], b"\x18\x09\0\0\0\x02\0piece");
        assert_eq!(LongData::read(&out[HEADER_BYTES..]), Ok(piece));
        assert_eq!(LongData::read(FOO), Err(DecodeError::Unexpected));
        for (made, kind) in [
            (close as fn(&mut Vec<u8>, u32), command::STMT_CLOSE),
            (reset, command::STMT_RESET),
        ] {
            let mut out = Vec::new();
            made(&mut out, 9);
            assert_eq!(out, [5, 0, 0, 0, kind, 9, 0, 0, 0]);
        }
        let mut out = Vec::new();
        prepare(&mut out, b"DO 1");
        assert_eq!(out, b"\x05\0\0\0\x16DO 1");
    }
}
