//! Messages from server to client: one type, written by the model server and read by the scripted client
//! (protocol documentation, "Message Formats", those marked B).

use super::error::{PgError, Severity};
use super::wire::{
    DecodeError, Fields, put_count, put_i16, put_i32, put_message, put_str, put_u32, put_value,
};

/// One column of a RowDescription; table and type modifier are always empty in the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// The type's object id (`pg_type.oid`).
    pub type_oid: u32,
    /// 0 text, 1 binary.
    pub format: i16,
}

/// A message from server to client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "fields carry the names of the protocol documentation"
)]
pub enum Backend {
    /// `R`: code 0 is Ok, 3 asks for a clear-text password; `data` is what follows the code.
    Authentication { code: u32, data: Vec<u8> },
    /// `S`.
    ParameterStatus { name: String, value: String },
    /// `K`: the key has 4 bytes in protocol 3.0 and up to 256 in 3.2.
    BackendKeyData { pid: u32, key: Vec<u8> },
    /// `v`.
    NegotiateProtocolVersion { minor: u32, options: Vec<String> },
    /// `Z`: `I`, `T` or `E`.
    ReadyForQuery(u8),
    /// `T`.
    RowDescription(Vec<Column>),
    /// `D`.
    DataRow(Vec<Option<Vec<u8>>>),
    /// `C`.
    CommandComplete(String),
    /// `I`.
    EmptyQueryResponse,
    /// `E`.
    ErrorResponse(PgError),
    /// `N`.
    NoticeResponse(PgError),
    /// `1`.
    ParseComplete,
    /// `2`.
    BindComplete,
    /// `3`.
    CloseComplete,
    /// `n`.
    NoData,
    /// `t`.
    ParameterDescription(Vec<u32>),
    /// `s`.
    PortalSuspended,
    /// `G`: overall format and number of columns.
    CopyInResponse { format: u8, columns: Vec<i16> },
    /// `H`.
    CopyOutResponse { format: u8, columns: Vec<i16> },
    /// `d`.
    CopyData(Vec<u8>),
    /// `c`.
    CopyDone,
    /// `V`.
    FunctionCallResponse(Option<Vec<u8>>),
    /// `A`.
    NotificationResponse {
        pid: u32,
        channel: String,
        payload: String,
    },
}

impl Backend {
    /// Appends the message as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Authentication { code, data } => put_message(out, b'R', |b| {
                put_u32(b, *code);
                b.extend_from_slice(data);
            }),
            Self::ParameterStatus { name, value } => put_message(out, b'S', |b| {
                put_str(b, name);
                put_str(b, value);
            }),
            Self::BackendKeyData { pid, key } => put_message(out, b'K', |b| {
                put_u32(b, *pid);
                b.extend_from_slice(key);
            }),
            Self::NegotiateProtocolVersion { minor, options } => put_message(out, b'v', |b| {
                put_u32(b, (3 << 16) | *minor);
                put_i32(b, options.len() as i32);
                options.iter().for_each(|option| put_str(b, option));
            }),
            Self::ReadyForQuery(status) => put_message(out, b'Z', |b| b.push(*status)),
            Self::RowDescription(columns) => put_message(out, b'T', |b| {
                put_count(b, columns.len());
                columns.iter().for_each(|column| put_column(b, column));
            }),
            Self::DataRow(values) => put_message(out, b'D', |b| {
                put_count(b, values.len());
                values
                    .iter()
                    .for_each(|value| put_value(b, value.as_deref()));
            }),
            Self::CommandComplete(tag) => put_message(out, b'C', |b| put_str(b, tag)),
            Self::EmptyQueryResponse => put_message(out, b'I', |_| ()),
            Self::ErrorResponse(error) => put_message(out, b'E', |b| put_report(b, error)),
            Self::NoticeResponse(notice) => put_message(out, b'N', |b| put_report(b, notice)),
            Self::ParseComplete => put_message(out, b'1', |_| ()),
            Self::BindComplete => put_message(out, b'2', |_| ()),
            Self::CloseComplete => put_message(out, b'3', |_| ()),
            Self::NoData => put_message(out, b'n', |_| ()),
            Self::ParameterDescription(types) => put_message(out, b't', |b| {
                put_count(b, types.len());
                types.iter().for_each(|oid| put_u32(b, *oid));
            }),
            Self::PortalSuspended => put_message(out, b's', |_| ()),
            Self::CopyInResponse { format, columns } => put_copy(out, b'G', *format, columns),
            Self::CopyOutResponse { format, columns } => put_copy(out, b'H', *format, columns),
            Self::CopyData(data) => put_message(out, b'd', |b| b.extend_from_slice(data)),
            Self::CopyDone => put_message(out, b'c', |_| ()),
            Self::FunctionCallResponse(value) => {
                put_message(out, b'V', |b| put_value(b, value.as_deref()));
            }
            Self::NotificationResponse {
                pid,
                channel,
                payload,
            } => put_message(out, b'A', |b| {
                put_u32(b, *pid);
                put_str(b, channel);
                put_str(b, payload);
            }),
        }
    }

    /// Reads the body of a message of type `kind`.
    ///
    /// # Errors
    /// A [`DecodeError`] when the type is unknown or the body does not fit it.
    pub fn decode(kind: u8, body: &[u8]) -> Result<Self, DecodeError> {
        let mut f = Fields::new(body);
        let message = match kind {
            b'R' => Self::Authentication {
                code: f.u32()?,
                data: f.rest().to_vec(),
            },
            b'S' => Self::ParameterStatus {
                name: f.string()?,
                value: f.string()?,
            },
            b'K' => Self::BackendKeyData {
                pid: f.u32()?,
                key: f.rest().to_vec(),
            },
            b'v' => negotiate(&mut f)?,
            b'Z' => Self::ReadyForQuery(f.u8()?),
            b'T' => Self::RowDescription(f.list(column)?),
            b'D' => Self::DataRow(f.list(Fields::value)?),
            b'C' => Self::CommandComplete(f.string()?),
            b'I' => Self::EmptyQueryResponse,
            b'E' => Self::ErrorResponse(report(&mut f)?),
            b'N' => Self::NoticeResponse(report(&mut f)?),
            b'1' => Self::ParseComplete,
            b'2' => Self::BindComplete,
            b'3' => Self::CloseComplete,
            b'n' => Self::NoData,
            b't' => Self::ParameterDescription(f.list(Fields::u32)?),
            b's' => Self::PortalSuspended,
            b'G' => Self::CopyInResponse {
                format: f.u8()?,
                columns: f.list(Fields::i16)?,
            },
            b'H' => Self::CopyOutResponse {
                format: f.u8()?,
                columns: f.list(Fields::i16)?,
            },
            b'd' => Self::CopyData(f.rest().to_vec()),
            b'c' => Self::CopyDone,
            b'V' => Self::FunctionCallResponse(f.value()?),
            b'A' => Self::NotificationResponse {
                pid: f.u32()?,
                channel: f.string()?,
                payload: f.string()?,
            },
            other => return Err(DecodeError::UnknownType(other)),
        };
        f.end()?;
        Ok(message)
    }
}

fn put_column(out: &mut Vec<u8>, column: &Column) {
    put_str(out, &column.name);
    put_u32(out, 0);
    put_i16(out, 0);
    put_u32(out, column.type_oid);
    put_i16(out, super::evaluate::type_size(column.type_oid));
    put_i32(out, -1);
    put_i16(out, column.format);
}

fn column(f: &mut Fields<'_>) -> Result<Column, DecodeError> {
    let name = f.string()?;
    f.take(6)?;
    let type_oid = f.u32()?;
    f.take(6)?;
    Ok(Column {
        name,
        type_oid,
        format: f.i16()?,
    })
}

fn put_copy(out: &mut Vec<u8>, kind: u8, format: u8, columns: &[i16]) {
    put_message(out, kind, |b| {
        b.push(format);
        put_count(b, columns.len());
        columns.iter().for_each(|column| put_i16(b, *column));
    });
}

fn put_report(out: &mut Vec<u8>, report: &PgError) {
    let severity = report.severity.word();
    for (field, value) in [
        (b'S', severity),
        (b'V', severity),
        (b'C', &*report.code),
        (b'M', report.message.as_str()),
    ] {
        out.push(field);
        put_str(out, value);
    }
    out.push(0);
}

fn report(f: &mut Fields<'_>) -> Result<PgError, DecodeError> {
    let (mut severity, mut code, mut message) = (Severity::Error, String::new(), String::new());
    loop {
        match f.u8()? {
            0 => break,
            b'V' => severity = severity_of(f.str()?),
            b'C' => code = f.string()?,
            b'M' => message = f.string()?,
            _ => drop(f.str()?),
        }
    }
    Ok(PgError {
        severity,
        code: code.into(),
        message,
    })
}

fn severity_of(word: &str) -> Severity {
    match word {
        "FATAL" | "PANIC" => Severity::Fatal,
        "ERROR" => Severity::Error,
        "WARNING" => Severity::Warning,
        _ => Severity::Notice,
    }
}

fn negotiate(f: &mut Fields<'_>) -> Result<Backend, DecodeError> {
    let minor = f.u32()? & 0xffff;
    let count = f.u32()?;
    let options = (0..count).map(|_| f.string()).collect::<Result<_, _>>()?;
    Ok(Backend::NegotiateProtocolVersion { minor, options })
}

#[cfg(test)]
mod tests {
    use super::super::wire::split_frame;
    use super::*;

    #[test]
    fn every_message_reads_back_as_it_was_written() {
        let messages = [
            Backend::Authentication {
                code: 3,
                data: vec![],
            },
            Backend::ParameterStatus {
                name: "TimeZone".into(),
                value: "UTC".into(),
            },
            Backend::BackendKeyData {
                pid: 7,
                key: vec![1; 32],
            },
            Backend::NegotiateProtocolVersion {
                minor: 2,
                options: vec!["_pq_.x".into()],
            },
            Backend::ReadyForQuery(b'I'),
            Backend::RowDescription(vec![Column {
                name: "a".into(),
                type_oid: 25,
                format: 0,
            }]),
            Backend::DataRow(vec![None, Some(b"1".to_vec())]),
            Backend::CommandComplete("SELECT 1".into()),
            Backend::ErrorResponse(PgError::error("42601", "syntax error")),
            Backend::NoticeResponse(PgError::warning("25P01", "no transaction")),
            Backend::ParameterDescription(vec![25, 20]),
            Backend::CopyInResponse {
                format: 0,
                columns: vec![0, 0],
            },
            Backend::FunctionCallResponse(Some(b"x".to_vec())),
            Backend::NotificationResponse {
                pid: 1,
                channel: "c".into(),
                payload: "p".into(),
            },
        ];
        for message in messages {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            let frame = split_frame(&bytes, 1000).expect("valid").expect("whole");
            assert_eq!(Backend::decode(frame.kind, frame.body), Ok(message));
        }
    }
}
