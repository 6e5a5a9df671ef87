//! What an OK packet tells of changes in its session: the session state block (MySQL's documentation, "OK_Packet", "Session State
//! Information", `enum_session_state_type`; MariaDB's, "OK_Packet").
//!
//! MariaDB has MySQL's types and none of its own: what else it tells (`redirect_url`, `last_gtid`) are system variables. The tracker is an
//! alarm, not a record: which changes servers do not tell, or tell wrongly, is the engine's to know.

use super::DecodeError;
use super::read::Fields;
use super::write;

const SYSTEM_VARIABLE: u8 = 0;
const SCHEMA: u8 = 1;
const STATE_CHANGE: u8 = 2;
const GTIDS: u8 = 3;
const TRANSACTION_CHARACTERISTICS: u8 = 4;
const TRANSACTION_STATE: u8 = 5;

/// The only encoding of GTIDs there is.
const GTIDS_AS_TEXT: u8 = 0;

/// One item of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change<'a> {
    /// A variable in `session_track_system_variables` was set, be it to the value it had.
    SystemVariable {
        /// Its name.
        name: &'a [u8],
        /// Its value; empty for NULL, too.
        value: &'a [u8],
    },
    /// The current database; empty for none.
    Schema(&'a [u8]),
    /// Something changed (`session_track_state_change`): `1`.
    StateChange(&'a [u8]),
    /// GTIDs of what was committed (MySQL, `session_track_gtids`).
    Gtids {
        /// How they are written: 0 for text.
        encoding: u8,
        /// The set.
        text: &'a [u8],
    },
    /// The statements that would start this transaction, or the next one, anew (`session_track_transaction_info`); empty for no
    /// transaction.
    TransactionCharacteristics(&'a [u8]),
    /// Eight characters that say what the open transaction did.
    TransactionState(&'a [u8]),
    /// A type that is not known here.
    Other {
        /// Its number.
        kind: u8,
        /// What it says.
        data: &'a [u8],
    },
}

impl<'a> Change<'a> {
    fn read(kind: u8, data: &'a [u8]) -> Result<Change<'a>, DecodeError> {
        // What a later version may add behind an item's fields is passed over, as clients do.
        let mut fields = Fields(data);
        Ok(match kind {
            SYSTEM_VARIABLE => Change::SystemVariable {
                name: fields.counted()?,
                value: fields.counted()?,
            },
            SCHEMA => Change::Schema(fields.counted()?),
            // Alone without a length of its own: its one byte is the whole item.
            STATE_CHANGE => Change::StateChange(fields.rest()),
            GTIDS => Change::Gtids {
                encoding: fields.byte()?,
                text: fields.counted()?,
            },
            TRANSACTION_CHARACTERISTICS => Change::TransactionCharacteristics(fields.counted()?),
            TRANSACTION_STATE => Change::TransactionState(fields.counted()?),
            kind => Change::Other { kind, data },
        })
    }

    /// Appends the item to a block.
    pub fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Change::SystemVariable { name, value } => {
                let mut data = Vec::with_capacity(name.len() + value.len() + 18);
                write::counted(&mut data, name);
                write::counted(&mut data, value);
                item(out, SYSTEM_VARIABLE, &data);
            }
            Change::Schema(name) => text(out, SCHEMA, name),
            Change::StateChange(flag) => item(out, STATE_CHANGE, flag),
            Change::Gtids { encoding, text } => {
                let mut data = vec![encoding];
                write::counted(&mut data, text);
                item(out, GTIDS, &data);
            }
            Change::TransactionCharacteristics(sql) => text(out, TRANSACTION_CHARACTERISTICS, sql),
            Change::TransactionState(state) => text(out, TRANSACTION_STATE, state),
            Change::Other { kind, data } => item(out, kind, data),
        }
    }

    /// GTIDs as text.
    pub fn gtids(text: &'a [u8]) -> Change<'a> {
        Change::Gtids {
            encoding: GTIDS_AS_TEXT,
            text,
        }
    }
}

fn item(out: &mut Vec<u8>, kind: u8, data: &[u8]) {
    out.push(kind);
    write::counted(out, data);
}

fn text(out: &mut Vec<u8>, kind: u8, text: &[u8]) {
    let mut data = Vec::with_capacity(text.len() + 9);
    write::counted(&mut data, text);
    item(out, kind, &data);
}

/// The items of a block; ends after the first that is malformed.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a>(Fields<'a>);

impl<'a> Changes<'a> {
    /// Of a block, without its length.
    pub fn new(block: &'a [u8]) -> Changes<'a> {
        Changes(Fields(block))
    }

    fn read(&mut self) -> Result<Change<'a>, DecodeError> {
        let kind = self.0.byte()?;
        let data = self.0.counted()?;
        Change::read(kind, data)
    }
}

impl<'a> Iterator for Changes<'a> {
    type Item = Result<Change<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let change = self.read();
        if change.is_err() {
            self.0.rest();
        }
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Change<'static>; 7] = [
        Change::SystemVariable {
            name: b"sql_mode",
            value: b"",
        },
        Change::Schema(b"shop"),
        Change::StateChange(b"1"),
        Change::Gtids {
            encoding: 0,
            text: b"3e11fa47-71ca-11e1-9e33-c80aa9429562:1",
        },
        Change::TransactionCharacteristics(b"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; BEGIN;"),
        Change::TransactionState(b"T_______"),
        Change::Other {
            kind: 9,
            data: b"later",
        },
    ];

    #[test]
    fn every_type_is_read_as_it_was_written() {
        let mut block = Vec::new();
        ALL.iter().for_each(|change| change.write(&mut block));
        let read: Result<Vec<_>, _> = Changes::new(&block).collect();
        assert_eq!(read, Ok(ALL.to_vec()));
        let Change::Gtids { text, .. } = ALL[3] else {
            panic!("the fourth");
        };
        assert_eq!(Change::gtids(text), ALL[3]);
    }

    /// What MySQL sends behind `SET autocommit = 1`, `USE d` and `SET @x = 1`, by hand.
    #[test]
    fn items_have_the_layout_of_the_documentation() {
        let block = b"\0\x0f\x0aautocommit\x03OFF\x01\x02\x01d\x02\x011\x03\x03\0\x01g";
        let read: Vec<_> = Changes::new(block)
            .map(|change| change.expect("well-formed"))
            .collect();
        let expected = [
            Change::SystemVariable {
                name: b"autocommit",
                value: b"OFF",
            },
            Change::Schema(b"d"),
            Change::StateChange(b"1"),
            Change::gtids(b"g"),
        ];
        assert_eq!(read, expected);
        let mut written = Vec::new();
        expected
            .iter()
            .for_each(|change| change.write(&mut written));
        assert_eq!(written, block);
    }

    #[test]
    fn a_cut_block_ends_with_an_error() {
        let mut block = Vec::new();
        ALL[0].write(&mut block);
        for cut in 1..block.len() {
            let read: Vec<_> = Changes::new(&block[..cut]).collect();
            assert_eq!(read, [Err(DecodeError::Truncated)], "{cut}");
        }
        // An item that ends inside its own fields, in a block that goes on.
        let read: Vec<_> = Changes::new(b"\x01\x01\x05\x02\x011").collect();
        assert_eq!(read, [Err(DecodeError::Truncated)]);
    }
}
