//! Column definitions: what a result's columns, and a statement's parameters, are called and of which type (MySQL's documentation,
//! "Protocol::ColumnDefinition41"; MariaDB's, "Result Set Packets").

use super::DecodeError;
use super::capability::Capabilities;
use super::read::Fields;
use super::write;

/// Types of values on the wire (`enum_field_types`, `include/field_types.h`).
pub mod field_type {
    /// DECIMAL, of old.
    pub const DECIMAL: u8 = 0;
    /// TINYINT
    pub const TINY: u8 = 1;
    /// SMALLINT
    pub const SHORT: u8 = 2;
    /// INT
    pub const LONG: u8 = 3;
    /// FLOAT
    pub const FLOAT: u8 = 4;
    /// DOUBLE
    pub const DOUBLE: u8 = 5;
    /// NULL
    pub const NULL: u8 = 6;
    /// TIMESTAMP
    pub const TIMESTAMP: u8 = 7;
    /// BIGINT
    pub const LONGLONG: u8 = 8;
    /// MEDIUMINT
    pub const INT24: u8 = 9;
    /// DATE
    pub const DATE: u8 = 10;
    /// TIME
    pub const TIME: u8 = 11;
    /// DATETIME
    pub const DATETIME: u8 = 12;
    /// YEAR
    pub const YEAR: u8 = 13;
    /// VARCHAR
    pub const VARCHAR: u8 = 15;
    /// BIT
    pub const BIT: u8 = 16;
    /// VECTOR (MySQL 9)
    pub const VECTOR: u8 = 242;
    /// JSON (MySQL)
    pub const JSON: u8 = 245;
    /// DECIMAL
    pub const NEWDECIMAL: u8 = 246;
    /// ENUM
    pub const ENUM: u8 = 247;
    /// SET
    pub const SET: u8 = 248;
    /// TINYBLOB and TINYTEXT
    pub const TINY_BLOB: u8 = 249;
    /// MEDIUMBLOB and MEDIUMTEXT
    pub const MEDIUM_BLOB: u8 = 250;
    /// LONGBLOB and LONGTEXT
    pub const LONG_BLOB: u8 = 251;
    /// BLOB and TEXT
    pub const BLOB: u8 = 252;
    /// VARCHAR and VARBINARY
    pub const VAR_STRING: u8 = 253;
    /// CHAR and BINARY
    pub const STRING: u8 = 254;
    /// GEOMETRY
    pub const GEOMETRY: u8 = 255;
}

/// A flag of a column: its numbers have no sign (`UNSIGNED_FLAG`).
pub const UNSIGNED: u16 = 32;

/// A flag of a column: it is never NULL (`NOT_NULL_FLAG`).
pub const NOT_NULL: u16 = 1;

/// Length of the fields at a definition's end.
const FIXED_BYTES: u64 = 12;

/// A column's definition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ColumnDefinition<'a> {
    /// The database it is from.
    pub schema: &'a [u8],
    /// The table's alias.
    pub table: &'a [u8],
    /// The table's name.
    pub org_table: &'a [u8],
    /// The column's alias.
    pub name: &'a [u8],
    /// The column's name.
    pub org_name: &'a [u8],
    /// MariaDB's names of type and format, with [`Capabilities::MARIADB_EXTENDED_METADATA`].
    pub extended: &'a [u8],
    /// The collation's number; 63 for bytes.
    pub collation: u16,
    /// Longest value, in bytes.
    pub length: u32,
    /// One of [`field_type`].
    pub kind: u8,
    /// Flags like [`UNSIGNED`].
    pub flags: u16,
    /// Digits behind the point.
    pub decimals: u8,
}

impl<'a> ColumnDefinition<'a> {
    /// Reads a definition.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::LengthPrefix`].
    pub fn read(
        payload: &'a [u8],
        capabilities: Capabilities,
    ) -> Result<ColumnDefinition<'a>, DecodeError> {
        let mut fields = Fields(payload);
        // The catalog: `def`.
        fields.counted()?;
        let schema = fields.counted()?;
        let table = fields.counted()?;
        let org_table = fields.counted()?;
        let name = fields.counted()?;
        let org_name = fields.counted()?;
        let extended = match capabilities.has(Capabilities::MARIADB_EXTENDED_METADATA) {
            true => fields.counted()?,
            false => &[],
        };
        let mut fixed = Fields(fields.counted()?);
        Ok(ColumnDefinition {
            schema,
            table,
            org_table,
            name,
            org_name,
            extended,
            collation: fixed.u16()?,
            length: fixed.u32()?,
            kind: fixed.byte()?,
            flags: fixed.u16()?,
            decimals: fixed.byte()?,
        })
    }

    /// Appends a definition and says which number is next.
    pub fn write(&self, out: &mut Vec<u8>, sequence: u8, capabilities: Capabilities) -> u8 {
        write::packet(out, sequence, |out| {
            let names = [
                self.schema,
                self.table,
                self.org_table,
                self.name,
                self.org_name,
            ];
            write::counted(out, b"def");
            names.iter().for_each(|name| write::counted(out, name));
            if capabilities.has(Capabilities::MARIADB_EXTENDED_METADATA) {
                write::counted(out, self.extended);
            }
            write::number(out, FIXED_BYTES);
            out.extend_from_slice(&self.collation.to_le_bytes());
            out.extend_from_slice(&self.length.to_le_bytes());
            out.push(self.kind);
            out.extend_from_slice(&self.flags.to_le_bytes());
            out.extend_from_slice(&[self.decimals, 0, 0]);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::HEADER_BYTES;

    const COLUMN: ColumnDefinition<'static> = ColumnDefinition {
        schema: b"d",
        table: b"a",
        org_table: b"t",
        name: b"n",
        org_name: b"c",
        extended: b"\0\x04uuid",
        collation: 63,
        length: 20,
        kind: field_type::LONGLONG,
        flags: UNSIGNED | NOT_NULL,
        decimals: 0,
    };

    #[test]
    fn a_definition_is_read_as_it_was_written() {
        let extended = Capabilities::MARIADB_EXTENDED_METADATA;
        let mut out = Vec::new();
        COLUMN.write(&mut out, 2, extended);
        let payload = &out[HEADER_BYTES..];
        assert_eq!(ColumnDefinition::read(payload, extended), Ok(COLUMN));
        for cut in 0..payload.len() {
            assert!(ColumnDefinition::read(&payload[..cut], extended).is_err());
        }
    }

    #[test]
    fn a_definition_has_the_layout_of_the_documentation() {
        let plain = ColumnDefinition {
            extended: &[],
            ..COLUMN
        };
        let mut out = Vec::new();
        plain.write(&mut out, 2, Capabilities::NONE);
        let expected = b"\x03def\x01d\x01a\x01t\x01n\x01c\x0c\x3f\0\x14\0\0\0\x08\x21\0\0\0\0";
        assert_eq!(&out[HEADER_BYTES..], expected);
        assert_eq!(
            ColumnDefinition::read(expected, Capabilities::NONE),
            Ok(plain)
        );
    }
}
