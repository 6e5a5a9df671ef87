//! Where the answer to a command ends: a packet at a time, by as little of each as will do.
//!
//! Rows and column definitions pass by their headers and first bytes. What says something (the ends of results, errors, the answer to a
//! preparation) must be whole. (MySQL's documentation, "Command Phase", "Text Protocol", "Prepared Statements".)

use crate::wire::capability::Capabilities;
use crate::wire::read::Fields;
use crate::wire::reply::{self, EofPacket, OkPacket, PrepareOk, is_end_of_rows};
use crate::wire::status::Status;
use crate::wire::{DecodeError, PAYLOAD_BYTES_MAX};

/// Length of an EOF packet's payload; an OK packet is longer.
const EOF_BYTES: usize = 5;

/// What the answer to a command looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// OK, EOF or an error.
    Simple,
    /// One result or several (`COM_QUERY`, `COM_STMT_EXECUTE`).
    Results,
    /// Rows alone (`COM_STMT_FETCH`).
    Rows,
    /// A statement's number with its parameters and columns (`COM_STMT_PREPARE`).
    Prepare,
    /// Column definitions alone (`COM_FIELD_LIST`).
    Columns,
    /// A bare string (`COM_STATISTICS`).
    Text,
}

/// Which packet comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The first of an answer, or of a further result.
    First,
    /// Definitions of a result's columns, so many of them.
    Columns(u64),
    /// The EOF packet behind them.
    ColumnsEnd,
    /// Rows, or their end.
    Rows,
    /// A prepared statement's definitions, so many of them, each kind with an EOF packet behind it where that was agreed on; then those of
    /// the other kind.
    Definitions { left: u16, then: u16 },
    /// The EOF packet behind them.
    DefinitionsEnd { then: u16 },
    /// Column definitions, or their end.
    List,
    /// The client's file goes to the server.
    File,
}

/// What an OK or EOF packet says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// The session's status.
    pub status: Status,
    /// How many warnings the statement left.
    pub warnings: u16,
    /// Rows that it changed.
    pub affected_rows: u64,
    /// The value that AUTO_INCREMENT gave, or an explicit one; 0 for none.
    pub last_insert_id: u64,
    /// Rows of its result, if it has one.
    pub rows: Option<u64>,
}

/// What a packet means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// It belongs to the answer, and more follows.
    Passes,
    /// It cannot be told before the packet is whole.
    NeedsWhole,
    /// A statement was prepared under this number; definitions follow unless the answer `ends` with it.
    Prepared {
        /// The server's number of it.
        id: u32,
        /// Its parameters.
        parameters: u16,
        /// Whether nothing follows.
        ends: bool,
    },
    /// The server asks for a file of the client's.
    File,
    /// A result ended and another follows.
    Result(Told),
    /// The answer ended.
    Ends(Told),
    /// The answer ended with something that says nothing of the session.
    EndsSilent,
    /// The answer ended with an error.
    Fails {
        /// Its number.
        code: u16,
    },
}

/// How far the answer to one command has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    shape: Shape,
    at: At,
    /// The packet before was full: this one continues it.
    continues: bool,
    /// Rows of the result so far.
    rows: u64,
}

impl Reading {
    /// Nothing of the answer has come.
    pub fn new(shape: Shape) -> Reading {
        let at = match shape {
            Shape::Rows => At::Rows,
            Shape::Columns => At::List,
            Shape::Simple | Shape::Results | Shape::Prepare | Shape::Text => At::First,
        };
        Reading {
            shape,
            at,
            continues: false,
            rows: 0,
        }
    }

    /// Whether rows come next, or their end.
    pub fn is_at_rows(&self) -> bool {
        self.at == At::Rows
    }

    /// Whether the answer is one word: no statement's.
    pub fn is_simple(&self) -> bool {
        self.shape == Shape::Simple
    }

    /// Whether the server waits for a file of the client's.
    pub fn is_file(&self) -> bool {
        self.at == At::File
    }

    /// The client's file has been sent; the server's word on it follows.
    pub fn on_file_sent(&mut self) {
        self.at = At::First;
    }

    /// A packet of this length; `payload` holds as much of it as has come, at least one byte if it has any.
    ///
    /// # Errors
    /// Whatever cannot stand here.
    #[inline]
    pub fn on_packet(
        &mut self,
        payload: &[u8],
        len: usize,
        capabilities: Capabilities,
    ) -> Result<Read, DecodeError> {
        let before = *self;
        let read = self.look(payload, len, capabilities)?;
        if read != Read::Passes && payload.len() < len {
            // What ends something is told when all of it is here, lest the rest be taken for another's.
            *self = before;
            return Ok(Read::NeedsWhole);
        }
        Ok(read)
    }

    #[inline]
    fn look(
        &mut self,
        payload: &[u8],
        len: usize,
        capabilities: Capabilities,
    ) -> Result<Read, DecodeError> {
        let continues = std::mem::replace(&mut self.continues, len == PAYLOAD_BYTES_MAX);
        if continues {
            return Ok(Read::Passes);
        }
        let first = *payload.first().ok_or(DecodeError::Truncated)?;
        if self.at == At::Rows && first != reply::EOF && first != reply::ERROR {
            self.rows += 1;
            return Ok(Read::Passes);
        }
        let is_whole = payload.len() >= len;
        let packet = Packet {
            first,
            payload,
            len,
            capabilities,
        };
        match self.at {
            _ if self.shape == Shape::Text => Ok(Read::EndsSilent),
            At::Rows | At::List if is_end_of_rows(first, len, capabilities) => self.end(packet),
            At::Rows | At::List if first == reply::ERROR => packet.fails(),
            At::Rows | At::List => {
                self.rows += 1;
                Ok(Read::Passes)
            }
            At::First if !is_whole && packet.says_something() => Ok(Read::NeedsWhole),
            At::First => self.first(packet),
            At::Columns(left) => Ok(self.column(left, capabilities)),
            At::ColumnsEnd => self.columns_end(packet),
            At::Definitions { left, then } => Ok(self.definition(left, then, capabilities)),
            At::DefinitionsEnd { then } => Ok(self.definitions(then)),
            At::File => Err(DecodeError::Unexpected),
        }
    }

    fn first(&mut self, packet: Packet<'_>) -> Result<Read, DecodeError> {
        match (packet.first, self.shape) {
            (reply::ERROR, _) => packet.fails(),
            (reply::OK, Shape::Prepare) => self.prepared(packet),
            (reply::OK, Shape::Simple | Shape::Results) => self.end(packet),
            (reply::EOF, Shape::Simple) => self.end(packet),
            (reply::LOCAL_INFILE, Shape::Results) => {
                self.at = At::File;
                Ok(Read::File)
            }
            (_, Shape::Results) => {
                let count = Fields(packet.payload).number()?;
                self.at = At::Columns(count);
                match count {
                    0 => Err(DecodeError::Unexpected),
                    _ => Ok(Read::Passes),
                }
            }
            _ => Err(DecodeError::Unexpected),
        }
    }

    fn column(&mut self, left: u64, capabilities: Capabilities) -> Read {
        self.at = match left - 1 {
            0 if capabilities.has(Capabilities::DEPRECATE_EOF) => At::Rows,
            0 => At::ColumnsEnd,
            left => At::Columns(left),
        };
        Read::Passes
    }

    /// Without rows that were sent along a cursor was opened, whose rows are to be fetched.
    fn columns_end(&mut self, packet: Packet<'_>) -> Result<Read, DecodeError> {
        if !packet.is_whole() {
            return Ok(Read::NeedsWhole);
        }
        let end = EofPacket::read(packet.payload)?;
        self.at = At::Rows;
        match end.status.has(Status::CURSOR_EXISTS) {
            true => self.end(packet),
            false => Ok(Read::Passes),
        }
    }

    fn prepared(&mut self, packet: Packet<'_>) -> Result<Read, DecodeError> {
        let ok = PrepareOk::read(packet.payload, packet.capabilities)?;
        let follows = self.definitions_of(ok.parameters, ok.columns);
        Ok(Read::Prepared {
            id: ok.statement,
            parameters: ok.parameters,
            ends: !follows,
        })
    }

    /// Definitions of the one kind follow, or of the other; whether any do.
    fn definitions_of(&mut self, left: u16, then: u16) -> bool {
        self.at = match (left, then) {
            (0, 0) => At::First,
            (0, then) => At::Definitions {
                left: then,
                then: 0,
            },
            (left, then) => At::Definitions { left, then },
        };
        left > 0 || then > 0
    }

    fn definition(&mut self, left: u16, then: u16, capabilities: Capabilities) -> Read {
        match left - 1 {
            0 if capabilities.has(Capabilities::DEPRECATE_EOF) => self.definitions(then),
            0 => {
                self.at = At::DefinitionsEnd { then };
                Read::Passes
            }
            left => {
                self.at = At::Definitions { left, then };
                Read::Passes
            }
        }
    }

    /// The definitions of one kind are complete.
    fn definitions(&mut self, then: u16) -> Read {
        match self.definitions_of(0, then) {
            true => Read::Passes,
            false => Read::EndsSilent,
        }
    }

    /// An OK or EOF packet that ends a result.
    fn end(&mut self, packet: Packet<'_>) -> Result<Read, DecodeError> {
        if !packet.is_whole() {
            return Ok(Read::NeedsWhole);
        }
        let mut told = packet.told()?;
        if self.at == At::Rows {
            told.rows = Some(std::mem::take(&mut self.rows));
        }
        let more = told.status.has(Status::MORE_RESULTS_EXISTS) && self.shape == Shape::Results;
        self.at = At::First;
        Ok(match more {
            true => Read::Result(told),
            false => Read::Ends(told),
        })
    }
}

/// A packet as far as it has come.
#[derive(Clone, Copy)]
struct Packet<'a> {
    first: u8,
    payload: &'a [u8],
    len: usize,
    capabilities: Capabilities,
}

impl Packet<'_> {
    fn is_whole(&self) -> bool {
        self.payload.len() >= self.len
    }

    /// Whether more than its first byte matters.
    fn says_something(&self) -> bool {
        self.first != reply::LOCAL_INFILE
    }

    fn fails(&self) -> Result<Read, DecodeError> {
        match *self.payload {
            [_, low, high, ..] => Ok(Read::Fails {
                code: u16::from_le_bytes([low, high]),
            }),
            _ if self.is_whole() => Err(DecodeError::Truncated),
            _ => Ok(Read::NeedsWhole),
        }
    }

    fn told(&self) -> Result<Told, DecodeError> {
        // `COM_SET_OPTION` is answered by one whatever was agreed on (MariaDB).
        let is_short = self.len == EOF_BYTES;
        let old = self.first == reply::EOF
            && (is_short || !self.capabilities.has(Capabilities::DEPRECATE_EOF));
        if old {
            let eof = EofPacket::read(self.payload)?;
            return Ok(Told {
                status: eof.status,
                warnings: eof.warnings,
                ..Told::default()
            });
        }
        let ok = OkPacket::read(self.payload, self.capabilities)?;
        Ok(Told {
            status: ok.status,
            warnings: ok.warnings,
            affected_rows: ok.affected_rows,
            last_insert_id: ok.last_insert_id,
            rows: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: Capabilities = Capabilities::DEPRECATE_EOF;
    const OLD: Capabilities = Capabilities::NONE;
    const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];
    const OK_END: &[u8] = &[0xfe, 0, 0, 2, 0, 0, 0];
    const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];
    const MORE: &[u8] = &[0, 3, 7, 0x0a, 0, 1, 0];
    const ERROR: &[u8] = b"\xff\x28\x04#42000no";

    fn reads(shape: Shape, capabilities: Capabilities, packets: &[&[u8]]) -> Vec<Read> {
        let mut reading = Reading::new(shape);
        let read = |payload: &&[u8]| {
            reading
                .on_packet(payload, payload.len(), capabilities)
                .expect("in its place")
        };
        packets.iter().map(read).collect()
    }

    fn told(status: u16) -> Told {
        Told {
            status: Status(status),
            ..Told::default()
        }
    }

    fn rows(rows: u64) -> Read {
        Read::Ends(Told {
            rows: Some(rows),
            ..told(2)
        })
    }

    #[test]
    fn results_end_as_was_agreed_on_and_their_rows_are_counted() {
        let row = &b"\x01x"[..];
        let new = reads(Shape::Results, NEW, &[b"\x02", b"a", b"b", row, OK_END]);
        assert_eq!(new[4], rows(1));
        assert!(new[..4].iter().all(|read| *read == Read::Passes));
        let old = reads(Shape::Results, OLD, &[b"\x01", b"a", EOF, row, EOF]);
        assert_eq!(old[4], rows(1));
        assert!(old[..4].iter().all(|read| *read == Read::Passes));
        let empty = reads(Shape::Results, OLD, &[b"\x01", b"a", EOF, EOF]);
        assert_eq!(empty[3], rows(0));
    }

    #[test]
    fn several_results_are_one_answer_and_each_says_its_status() {
        let read = reads(
            Shape::Results,
            NEW,
            &[MORE, b"\x01", b"a", OK_END, MORE, ERROR],
        );
        let more = Told {
            status: Status(0x0a),
            warnings: 1,
            affected_rows: 3,
            last_insert_id: 7,
            rows: None,
        };
        assert_eq!(read[0], Read::Result(more));
        assert_eq!(read[3], rows(0));
        assert_eq!(read[5], Read::Fails { code: 1064 });
    }

    #[test]
    fn what_continues_a_packet_is_not_looked_at() {
        let mut reading = Reading::new(Shape::Rows);
        let full = reading.on_packet(b"\xfd", PAYLOAD_BYTES_MAX, NEW);
        assert_eq!(full, Ok(Read::Passes));
        assert_eq!(reading.on_packet(ERROR, 3, NEW), Ok(Read::Passes));
        assert_eq!(
            reading.on_packet(ERROR, ERROR.len(), NEW),
            Ok(Read::Fails { code: 1064 })
        );
    }

    #[test]
    fn a_row_may_begin_as_an_end_does_if_it_is_long() {
        let mut reading = Reading::new(Shape::Rows);
        assert_eq!(reading.on_packet(b"\xfe", 9, OLD), Ok(Read::Passes));
        assert_eq!(
            reading.on_packet(b"\xfe", PAYLOAD_BYTES_MAX, NEW),
            Ok(Read::Passes)
        );
    }

    #[test]
    fn a_preparation_ends_behind_its_last_definitions() {
        let prepared = |columns, parameters| [0, 9, 0, 0, 0, columns, 0, parameters, 0, 0, 0, 0];
        let first = |columns, parameters, ends| {
            let read = reads(Shape::Prepare, NEW, &[&prepared(columns, parameters)]);
            let parameters = u16::from(parameters);
            let id = 9;
            assert_eq!(
                read,
                [Read::Prepared {
                    id,
                    parameters,
                    ends
                }]
            );
        };
        first(0, 0, true);
        first(1, 0, false);
        first(0, 1, false);
        let both = prepared(1, 2);
        let new = reads(Shape::Prepare, NEW, &[&both, b"p", b"p", b"c"]);
        assert_eq!(new[3], Read::EndsSilent);
        let old = reads(Shape::Prepare, OLD, &[&both, b"p", b"p", EOF, b"c", EOF]);
        assert_eq!(old[5], Read::EndsSilent);
        assert!(old[1..5].iter().all(|read| *read == Read::Passes));
        let failed = reads(Shape::Prepare, NEW, &[ERROR]);
        assert_eq!(failed, [Read::Fails { code: 1064 }]);
    }

    #[test]
    fn a_cursor_has_no_rows_until_they_are_fetched() {
        let opened = &[0xfe, 0, 0, 0x42, 0][..];
        let old = reads(Shape::Results, OLD, &[b"\x01", b"a", opened]);
        let none = Told {
            rows: Some(0),
            ..told(0x42)
        };
        assert_eq!(old[2], Read::Ends(none));
    }

    #[test]
    fn a_file_is_asked_for_and_answered() {
        let mut reading = Reading::new(Shape::Results);
        assert_eq!(reading.on_packet(b"\xfbname", 5, NEW), Ok(Read::File));
        assert!(reading.is_file());
        assert!(reading.on_packet(OK, OK.len(), NEW).is_err());
        reading.on_file_sent();
        assert_eq!(
            reading.on_packet(OK, OK.len(), NEW),
            Ok(Read::Ends(told(2)))
        );
    }

    #[test]
    fn an_end_is_told_when_all_of_it_is_here() {
        let mut rows = Reading::new(Shape::Rows);
        let cut = rows.on_packet(&ERROR[..5], ERROR.len(), NEW);
        assert_eq!(cut, Ok(Read::NeedsWhole));
        let whole = rows.on_packet(ERROR, ERROR.len(), NEW);
        assert_eq!(whole, Ok(Read::Fails { code: 1064 }));
        let mut text = Reading::new(Shape::Text);
        assert_eq!(text.on_packet(b"Upti", 9, NEW), Ok(Read::NeedsWhole));
        assert_eq!(text.on_packet(b"Uptime: 1", 9, NEW), Ok(Read::EndsSilent));
        let mut prepare = Reading::new(Shape::Prepare);
        let prepared = [0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        prepare
            .on_packet(&prepared, prepared.len(), NEW)
            .expect("in its place");
        assert_eq!(prepare.on_packet(b"de", 3, NEW), Ok(Read::NeedsWhole));
        assert_eq!(prepare.on_packet(b"def", 3, NEW), Ok(Read::EndsSilent));
    }

    #[test]
    fn what_says_something_must_be_whole() {
        for (shape, packet) in [
            (Shape::Results, OK),
            (Shape::Simple, EOF),
            (Shape::Rows, OK_END),
        ] {
            let mut reading = Reading::new(shape);
            let cut = reading.on_packet(&packet[..2], packet.len(), NEW);
            assert_eq!(cut, Ok(Read::NeedsWhole), "{shape:?}");
            let whole = reading.on_packet(packet, packet.len(), NEW);
            assert!(matches!(whole, Ok(Read::Ends(_))), "{shape:?}");
        }
    }

    #[test]
    fn other_answers_have_their_own_ends() {
        assert_eq!(reads(Shape::Text, NEW, &[b"Uptime: 1"]), [Read::EndsSilent]);
        let list = reads(Shape::Columns, OLD, &[b"\x03def", EOF]);
        assert_eq!(list, [Read::Passes, Read::Ends(told(2))]);
        assert_eq!(reads(Shape::Simple, NEW, &[EOF]), [Read::Ends(told(2))]);
    }
}
