//! How answers begin and end: OK, error and EOF packets, the count of columns, the answer to COM_STMT_PREPARE (MySQL's documentation,
//! "Generic Response Packets", "COM_QUERY Response", "COM_STMT_PREPARE Response"; MariaDB's, "Server Response Packets").
//!
//! A packet's first byte says what it is only together with where it stands: 0xfe begins an OK packet where a result ends, an EOF packet
//! for clients of old, and a row whose first value has 16 MiB or more. Hence the functions that are told what was agreed on.

use super::capability::Capabilities;
use super::read::Fields;
use super::status::Status;
use super::tracker::Changes;
use super::{DecodeError, PAYLOAD_BYTES_MAX, write};

/// First byte of an OK packet.
pub const OK: u8 = 0x00;
/// First byte of a request for a file of the client's.
pub const LOCAL_INFILE: u8 = 0xfb;
/// First byte of an EOF packet, and of an OK packet in its place.
pub const EOF: u8 = 0xfe;
/// First byte of an error packet.
pub const ERROR: u8 = 0xff;

/// Longest payload of an EOF packet; whatever begins alike and is longer is none.
const EOF_BYTES_MAX: usize = 8;

/// The number with which MariaDB marks progress reports, which look like errors and end nothing.
const PROGRESS: u16 = 0xffff;

/// Whether this packet ends rows or column definitions, by its first byte and the length of its payload; for connections with
/// [`Capabilities::DEPRECATE_EOF`] rows only.
#[inline]
pub fn is_end_of_rows(first: u8, payload_len: usize, capabilities: Capabilities) -> bool {
    let max = match capabilities.has(Capabilities::DEPRECATE_EOF) {
        true => PAYLOAD_BYTES_MAX - 1,
        false => EOF_BYTES_MAX,
    };
    first == EOF && payload_len <= max
}

/// An OK packet, or the one that ends a result in place of an EOF packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OkPacket<'a> {
    /// Rows that the statement changed, or found with [`Capabilities::FOUND_ROWS`].
    pub affected_rows: u64,
    /// The first value that AUTO_INCREMENT gave, or an explicit one.
    pub last_insert_id: u64,
    /// The session's status.
    pub status: Status,
    /// How many warnings the statement left.
    pub warnings: u16,
    /// What there is to say to people; in a login's last packet, MariaDB's proof of its certificate.
    pub info: &'a [u8],
    /// The session state block, for [`changes`](Self::changes); sent with the status flag that goes with it, whatever that says here.
    pub session_state: &'a [u8],
}

impl<'a> OkPacket<'a> {
    /// Reads an OK packet, whether it begins as such or as an EOF packet.
    ///
    /// # Errors
    /// [`DecodeError::Unexpected`] for other packets, [`DecodeError::Truncated`], [`DecodeError::LengthPrefix`].
    pub fn read(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, DecodeError> {
        let mut fields = Fields(payload);
        if !matches!(fields.byte()?, OK | EOF) {
            return Err(DecodeError::Unexpected);
        }
        let mut ok = OkPacket {
            affected_rows: fields.number()?,
            last_insert_id: fields.number()?,
            status: Status(fields.u16()?),
            warnings: fields.u16()?,
            ..OkPacket::default()
        };
        if !fields.is_empty() {
            // The documentation has it run to the packet's end for clients without trackers; servers send its length to these, too.
            ok.info = fields.counted()?;
        }
        let is_told = ok.status.has(Status::SESSION_STATE_CHANGED)
            && capabilities.has(Capabilities::SESSION_TRACK);
        if is_told && !fields.is_empty() {
            ok.session_state = fields.counted()?;
        }
        Ok(ok)
    }

    /// What changed in the session.
    pub fn changes(&self) -> Changes<'a> {
        Changes::new(self.session_state)
    }

    /// The same packet with this block, made by [`Change::write`](super::tracker::Change::write), and with or without the status flag that
    /// goes with it. MySQL at times sets the flag and sends an empty block; that is told like none.
    #[must_use]
    pub fn with_changes(self, block: &'a [u8]) -> OkPacket<'a> {
        let status = match block.is_empty() {
            true => self.status.without(Status::SESSION_STATE_CHANGED),
            false => self.status | Status::SESSION_STATE_CHANGED,
        };
        OkPacket {
            session_state: block,
            status,
            ..self
        }
    }

    /// Appends an OK packet and says which number is next.
    pub fn write(&self, out: &mut Vec<u8>, sequence: u8, capabilities: Capabilities) -> u8 {
        self.write_as(OK, out, sequence, capabilities)
    }

    /// Appends the packet that ends a result, of the kind that was agreed on, and says which number is next.
    pub fn write_end_of_rows(
        &self,
        out: &mut Vec<u8>,
        sequence: u8,
        capabilities: Capabilities,
    ) -> u8 {
        if capabilities.has(Capabilities::DEPRECATE_EOF) {
            return self.write_as(EOF, out, sequence, capabilities);
        }
        EofPacket {
            warnings: self.warnings,
            status: self.status.without(Status::SESSION_STATE_CHANGED),
        }
        .write(out, sequence)
    }

    fn write_as(
        &self,
        first: u8,
        out: &mut Vec<u8>,
        sequence: u8,
        capabilities: Capabilities,
    ) -> u8 {
        let tracks =
            capabilities.has(Capabilities::SESSION_TRACK) && !self.session_state.is_empty();
        let status = match tracks {
            true => self.status | Status::SESSION_STATE_CHANGED,
            false => self.status.without(Status::SESSION_STATE_CHANGED),
        };
        write::packet(out, sequence, |out| {
            out.push(first);
            write::number(out, self.affected_rows);
            write::number(out, self.last_insert_id);
            out.extend_from_slice(&status.0.to_le_bytes());
            out.extend_from_slice(&self.warnings.to_le_bytes());
            if tracks || !self.info.is_empty() {
                write::counted(out, self.info);
            }
            if tracks {
                write::counted(out, self.session_state);
            }
        })
    }
}

/// An EOF packet, for connections without [`Capabilities::DEPRECATE_EOF`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EofPacket {
    /// How many warnings the statement left.
    pub warnings: u16,
    /// The session's status.
    pub status: Status,
}

impl EofPacket {
    /// Reads an EOF packet.
    ///
    /// # Errors
    /// [`DecodeError::Unexpected`] for other packets, [`DecodeError::Truncated`].
    pub fn read(payload: &[u8]) -> Result<EofPacket, DecodeError> {
        let mut fields = Fields(payload);
        if fields.byte()? != EOF || payload.len() > EOF_BYTES_MAX {
            return Err(DecodeError::Unexpected);
        }
        Ok(EofPacket {
            warnings: fields.u16()?,
            status: Status(fields.u16()?),
        })
    }

    /// Appends the packet and says which number is next.
    pub fn write(&self, out: &mut Vec<u8>, sequence: u8) -> u8 {
        write::packet(out, sequence, |out| {
            out.push(EOF);
            out.extend_from_slice(&self.warnings.to_le_bytes());
            out.extend_from_slice(&self.status.0.to_le_bytes());
        })
    }
}

/// An error packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorPacket<'a> {
    /// The server's own number for it.
    pub code: u16,
    /// SQLSTATE; servers leave it out before they know what the client can.
    pub state: Option<[u8; 5]>,
    /// The message.
    pub message: &'a [u8],
}

impl<'a> ErrorPacket<'a> {
    /// Reads an error packet.
    ///
    /// # Errors
    /// [`DecodeError::Unexpected`] for other packets, progress reports included; [`DecodeError::Truncated`].
    pub fn read(payload: &'a [u8]) -> Result<ErrorPacket<'a>, DecodeError> {
        let mut fields = Fields(payload);
        if fields.byte()? != ERROR {
            return Err(DecodeError::Unexpected);
        }
        let code = fields.u16()?;
        if code == PROGRESS {
            return Err(DecodeError::Unexpected);
        }
        let state = match fields.0 {
            [b'#', a, b, c, d, e, rest @ ..] => {
                let state = [*a, *b, *c, *d, *e];
                fields.0 = rest;
                Some(state)
            }
            _ => None,
        };
        Ok(ErrorPacket {
            code,
            state,
            message: fields.rest(),
        })
    }

    /// Appends the packet and says which number is next.
    pub fn write(&self, out: &mut Vec<u8>, sequence: u8) -> u8 {
        write::packet(out, sequence, |out| {
            out.push(ERROR);
            out.extend_from_slice(&self.code.to_le_bytes());
            if let Some(state) = self.state {
                out.push(b'#');
                out.extend_from_slice(&state);
            }
            out.extend_from_slice(self.message);
        })
    }
}

/// How far a statement of MariaDB's is (with [`Capabilities::MARIADB_PROGRESS`]). Ends nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Which stage it is in, from 1.
    pub stage: u8,
    /// How many there are.
    pub stages: u8,
    /// How far it is, in thousandths of a per cent.
    pub done: u32,
    /// What it does.
    pub info: &'a [u8],
}

impl<'a> Progress<'a> {
    /// Whether a payload is a progress report, by its first bytes.
    #[inline]
    pub fn is_progress(payload: &[u8]) -> bool {
        payload.starts_with(&[ERROR, 0xff, 0xff])
    }

    /// Reads a progress report.
    ///
    /// # Errors
    /// [`DecodeError::Unexpected`] for other packets, [`DecodeError::Truncated`], [`DecodeError::LengthPrefix`].
    pub fn read(payload: &'a [u8]) -> Result<Progress<'a>, DecodeError> {
        let Some(body) = payload.strip_prefix(&[ERROR, 0xff, 0xff]) else {
            return Err(DecodeError::Unexpected);
        };
        let mut fields = Fields(body);
        // How many strings there are: one.
        fields.byte()?;
        Ok(Progress {
            stage: fields.byte()?,
            stages: fields.byte()?,
            done: fields.u24()?,
            info: fields.counted()?,
        })
    }
}

/// How the answer to a statement begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning<'a> {
    /// With an OK packet, which is all of it.
    Ok,
    /// With an error packet, which is all of it.
    Error,
    /// With a progress report: the answer is yet to come.
    Progress,
    /// With a request for this file of the client's.
    LocalInfile(&'a [u8]),
    /// With rows to come.
    Columns {
        /// How many columns they have.
        count: u64,
        /// Whether the columns are described. Without [`Capabilities::DEPRECATE_EOF`] the EOF packet behind the descriptions comes even
        /// if there are none.
        are_described: bool,
    },
}

impl<'a> Beginning<'a> {
    /// Reads the first packet of an answer to COM_QUERY or COM_STMT_EXECUTE.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::LengthPrefix`].
    pub fn read(
        payload: &'a [u8],
        capabilities: Capabilities,
    ) -> Result<Beginning<'a>, DecodeError> {
        let mut fields = Fields(payload);
        match payload.first() {
            Some(&OK) => return Ok(Beginning::Ok),
            Some(&ERROR) if Progress::is_progress(payload) => return Ok(Beginning::Progress),
            Some(&ERROR) => return Ok(Beginning::Error),
            Some(&LOCAL_INFILE) => return Ok(Beginning::LocalInfile(&payload[1..])),
            _ => {}
        }
        let count = fields.number()?;
        // MySQL's documentation has the byte ahead of the count; its server sends it behind, as MariaDB's does.
        let is_said = capabilities.has(Capabilities::OPTIONAL_RESULTSET_METADATA)
            || capabilities.has(Capabilities::MARIADB_CACHE_METADATA);
        Ok(Beginning::Columns {
            count,
            are_described: !is_said || fields.is_empty() || fields.byte()? != 0,
        })
    }
}

/// The answer to COM_STMT_PREPARE. Definitions of parameters follow, then those of columns, each with an EOF packet behind them
/// unless [`Capabilities::DEPRECATE_EOF`] was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrepareOk {
    /// By which the server knows the statement.
    pub statement: u32,
    /// How many columns its rows have; 0 for no rows.
    pub columns: u16,
    /// How many parameters it has.
    pub parameters: u16,
    /// How many warnings there are.
    pub warnings: u16,
    /// Whether definitions follow.
    pub are_described: bool,
}

impl PrepareOk {
    /// Reads the packet.
    ///
    /// # Errors
    /// [`DecodeError::Unexpected`] for other packets, [`DecodeError::Truncated`].
    pub fn read(payload: &[u8], capabilities: Capabilities) -> Result<PrepareOk, DecodeError> {
        let mut fields = Fields(payload);
        if fields.byte()? != OK {
            return Err(DecodeError::Unexpected);
        }
        let statement = fields.u32()?;
        let columns = fields.u16()?;
        let parameters = fields.u16()?;
        // Servers of old end here, or behind the filler.
        let warnings = match fields.0 {
            [_, a, b, ..] => u16::from_le_bytes([*a, *b]),
            _ => 0,
        };
        let is_said = capabilities.has(Capabilities::OPTIONAL_RESULTSET_METADATA);
        let are_described = !is_said || fields.0.get(3).is_none_or(|&flag| flag != 0);
        Ok(PrepareOk {
            statement,
            columns,
            parameters,
            warnings,
            are_described,
        })
    }

    /// Appends the packet and says which number is next.
    pub fn write(&self, out: &mut Vec<u8>, sequence: u8, capabilities: Capabilities) -> u8 {
        write::packet(out, sequence, |out| {
            out.push(OK);
            out.extend_from_slice(&self.statement.to_le_bytes());
            out.extend_from_slice(&self.columns.to_le_bytes());
            out.extend_from_slice(&self.parameters.to_le_bytes());
            out.push(0);
            out.extend_from_slice(&self.warnings.to_le_bytes());
            if capabilities.has(Capabilities::OPTIONAL_RESULTSET_METADATA) {
                out.push(u8::from(self.are_described));
            }
        })
    }
}

#[cfg(test)]
mod tests;
