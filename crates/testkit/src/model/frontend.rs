//! Messages from client to server: one type, written by the scripted client and read by the model server
//! (protocol documentation, "Message Formats", those marked F). The startup family is in `login.rs`.

use super::wire::{
    DecodeError, Fields, put_count, put_i16, put_i32, put_message, put_str, put_u32, put_value,
};

/// What a Describe or Close names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

impl Named {
    fn byte(self) -> u8 {
        match self {
            Self::Statement => b'S',
            Self::Portal => b'P',
        }
    }

    fn decode(byte: u8) -> Result<Self, DecodeError> {
        match byte {
            b'S' => Ok(Self::Statement),
            b'P' => Ok(Self::Portal),
            other => Err(DecodeError::UnknownType(other)),
        }
    }
}

/// A message with a type byte, from client to server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "fields carry the names of the protocol documentation"
)]
pub enum Frontend {
    /// `Q`: one or more statements.
    Query(String),
    /// `P`: prepare a statement under a name, empty for the unnamed one.
    Parse {
        name: String,
        text: String,
        types: Vec<u32>,
    },
    /// `B`: make a portal from a statement and its parameters.
    Bind {
        portal: String,
        statement: String,
        formats: Vec<i16>,
        params: Vec<Option<Vec<u8>>>,
        results: Vec<i16>,
    },
    /// `D`.
    Describe { what: Named, name: String },
    /// `E`: run a portal for at most `rows` rows; 0 for all.
    Execute { portal: String, rows: i32 },
    /// `C`.
    Close { what: Named, name: String },
    /// `H`.
    Flush,
    /// `S`.
    Sync,
    /// `F`.
    FunctionCall {
        oid: u32,
        formats: Vec<i16>,
        args: Vec<Option<Vec<u8>>>,
        result: i16,
    },
    /// `d`.
    CopyData(Vec<u8>),
    /// `c`.
    CopyDone,
    /// `f`.
    CopyFail(String),
    /// `p`: a password or another authentication answer, as its bytes.
    Password(Vec<u8>),
    /// `X`.
    Terminate,
}

impl Frontend {
    /// Appends the message as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Query(text) => put_message(out, b'Q', |b| put_str(b, text)),
            Self::Parse { name, text, types } => put_message(out, b'P', |b| {
                put_str(b, name);
                put_str(b, text);
                put_count(b, types.len());
                types.iter().for_each(|oid| put_u32(b, *oid));
            }),
            Self::Bind {
                portal,
                statement,
                formats,
                params,
                results,
            } => {
                put_message(out, b'B', |b| {
                    put_str(b, portal);
                    put_str(b, statement);
                    put_formats(b, formats);
                    put_values(b, params);
                    put_formats(b, results);
                });
            }
            Self::Describe { what, name } => put_named(out, b'D', *what, name),
            Self::Close { what, name } => put_named(out, b'C', *what, name),
            Self::Execute { portal, rows } => put_message(out, b'E', |b| {
                put_str(b, portal);
                put_i32(b, *rows);
            }),
            Self::FunctionCall {
                oid,
                formats,
                args,
                result,
            } => put_message(out, b'F', |b| {
                put_u32(b, *oid);
                put_formats(b, formats);
                put_values(b, args);
                put_i16(b, *result);
            }),
            Self::Flush => put_message(out, b'H', |_| ()),
            Self::Sync => put_message(out, b'S', |_| ()),
            Self::CopyData(data) => put_message(out, b'd', |b| b.extend_from_slice(data)),
            Self::CopyDone => put_message(out, b'c', |_| ()),
            Self::CopyFail(reason) => put_message(out, b'f', |b| put_str(b, reason)),
            Self::Password(answer) => put_message(out, b'p', |b| b.extend_from_slice(answer)),
            Self::Terminate => put_message(out, b'X', |_| ()),
        }
    }

    /// Reads the body of a message of type `kind`.
    ///
    /// # Errors
    /// A [`DecodeError`] when the type is unknown or the body does not fit it.
    pub fn decode(kind: u8, body: &[u8]) -> Result<Self, DecodeError> {
        let mut f = Fields::new(body);
        let message = match kind {
            b'Q' => Self::Query(f.string()?),
            b'P' => Self::Parse {
                name: f.string()?,
                text: f.string()?,
                types: f.list(Fields::u32)?,
            },
            b'B' => Self::Bind {
                portal: f.string()?,
                statement: f.string()?,
                formats: f.list(Fields::i16)?,
                params: f.list(Fields::value)?,
                results: f.list(Fields::i16)?,
            },
            b'D' => Self::Describe {
                what: Named::decode(f.u8()?)?,
                name: f.string()?,
            },
            b'C' => Self::Close {
                what: Named::decode(f.u8()?)?,
                name: f.string()?,
            },
            b'E' => Self::Execute {
                portal: f.string()?,
                rows: f.i32()?,
            },
            b'F' => Self::FunctionCall {
                oid: f.u32()?,
                formats: f.list(Fields::i16)?,
                args: f.list(Fields::value)?,
                result: f.i16()?,
            },
            b'H' => Self::Flush,
            b'S' => Self::Sync,
            b'd' => Self::CopyData(f.rest().to_vec()),
            b'c' => Self::CopyDone,
            b'f' => Self::CopyFail(f.string()?),
            b'p' => Self::Password(f.rest().to_vec()),
            b'X' => Self::Terminate,
            other => return Err(DecodeError::UnknownType(other)),
        };
        f.end()?;
        Ok(message)
    }
}

fn put_named(out: &mut Vec<u8>, kind: u8, what: Named, name: &str) {
    put_message(out, kind, |b| {
        b.push(what.byte());
        put_str(b, name);
    });
}

fn put_formats(out: &mut Vec<u8>, formats: &[i16]) {
    put_count(out, formats.len());
    formats.iter().for_each(|format| put_i16(out, *format));
}

fn put_values(out: &mut Vec<u8>, values: &[Option<Vec<u8>>]) {
    put_count(out, values.len());
    values
        .iter()
        .for_each(|value| put_value(out, value.as_deref()));
}

#[cfg(test)]
mod tests {
    use super::super::wire::split_frame;
    use super::*;

    #[test]
    fn every_message_reads_back_as_it_was_written() {
        let messages = [
            Frontend::Query("select 1".into()),
            Frontend::Parse {
                name: "s".into(),
                text: "select $1".into(),
                types: vec![25],
            },
            Frontend::Bind {
                portal: "p".into(),
                statement: "s".into(),
                formats: vec![0],
                params: vec![None, Some(b"x".to_vec())],
                results: vec![1],
            },
            Frontend::Describe {
                what: Named::Portal,
                name: "p".into(),
            },
            Frontend::Execute {
                portal: "p".into(),
                rows: 3,
            },
            Frontend::Close {
                what: Named::Statement,
                name: "s".into(),
            },
            Frontend::Flush,
            Frontend::Sync,
            Frontend::FunctionCall {
                oid: 1258,
                formats: vec![],
                args: vec![None],
                result: 0,
            },
            Frontend::CopyData(vec![1, 2]),
            Frontend::CopyDone,
            Frontend::CopyFail("no".into()),
            Frontend::Password(b"secret\0".to_vec()),
            Frontend::Terminate,
        ];
        for message in messages {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            let frame = split_frame(&bytes, 1000).expect("valid").expect("whole");
            assert_eq!(Frontend::decode(frame.kind, frame.body), Ok(message));
        }
    }
}
