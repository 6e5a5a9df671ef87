//! Protocol messages as lines of text, and back. A message that a line cannot give back byte by byte is shown as `Raw`.
//!
//! `Parse "s1" "select $1" 23` is name, text and types; every message has its fields in the order of the protocol documentation.
//! `notation` says how fields are written. What no conversation cares about (formats, columns'
//! types) has one fixed value.

pub use super::notation::{Field, From, Line};
use super::notation::{number, text, word};
use forebay_postgres::wire::{self, write};

/// Names, types and layouts. Layout: `s` string, `b` letter, `w` number, `t` types, `v` values, `l` one value, `r` rest,
/// `z` a 16-bit zero, `c` the head of a COPY, `d` columns, `e` an error's fields.
const FROM_CLIENT: &[(&str, u8, &str)] = &[
    ("Query", b'Q', "s"),
    ("Parse", b'P', "sst"),
    ("Bind", b'B', "sszvz"),
    ("Describe", b'D', "bs"),
    ("Execute", b'E', "sw"),
    ("Close", b'C', "bs"),
    ("Flush", b'H', ""),
    ("Sync", b'S', ""),
    ("FunctionCall", b'F', "wzzz"),
    ("CopyData", b'd', "r"),
    ("CopyDone", b'c', ""),
    ("CopyFail", b'f', "s"),
    ("Terminate", b'X', ""),
];

const FROM_BACKEND: &[(&str, u8, &str)] = &[
    ("ParseComplete", b'1', ""),
    ("BindComplete", b'2', ""),
    ("CloseComplete", b'3', ""),
    ("NoData", b'n', ""),
    ("PortalSuspended", b's', ""),
    ("EmptyQueryResponse", b'I', ""),
    ("ReadyForQuery", b'Z', "b"),
    ("CommandComplete", b'C', "s"),
    ("RowDescription", b'T', "d"),
    ("DataRow", b'D', "v"),
    ("ErrorResponse", b'E', "e"),
    ("NoticeResponse", b'N', "e"),
    ("ParameterStatus", b'S', "ss"),
    ("ParameterDescription", b't', "t"),
    ("BackendKeyData", b'K', "wr"),
    ("CopyInResponse", b'G', "c"),
    ("CopyOutResponse", b'H', "c"),
    ("CopyBothResponse", b'W', "c"),
    ("CopyData", b'd', "r"),
    ("CopyDone", b'c', ""),
    ("FunctionCallResponse", b'V', "l"),
    ("NotificationResponse", b'A', "wss"),
];

/// What follows a column's name: no table, type text, text format.
const COLUMN: &[u8] = &[
    0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0,
];

fn table(from: From) -> &'static [(&'static str, u8, &'static str)] {
    match from {
        From::Client => FROM_CLIENT,
        From::Backend => FROM_BACKEND,
    }
}

impl Line {
    /// The bytes. `Raw Q "..."` has any type and body, `Bytes "..."` is no message at all.
    pub fn encode(&self, from: From) -> Vec<u8> {
        let mut fields = self.fields.iter();
        let mut out = Vec::new();
        match self.name.as_str() {
            "Bytes" => {
                fields.for_each(|field| out.extend_from_slice(text(Some(field))));
                return out;
            }
            "Raw" => {
                let kind = word(fields.next()).as_bytes()[0];
                write::message(&mut out, kind, |out| {
                    out.extend_from_slice(text(fields.next()))
                });
                return out;
            }
            _ => {}
        }
        let known = table(from).iter().find(|(name, ..)| *name == self.name);
        let (_, kind, layout) = known.unwrap_or_else(|| panic!("no message {}", self.name));
        write::message(&mut out, *kind, |out| {
            for code in layout.bytes() {
                encode_field(out, code, &mut fields);
            }
        });
        assert!(fields.next().is_none(), "too many fields: {self}");
        out
    }

    /// Reads one whole message.
    pub fn decode(from: From, bytes: &[u8]) -> Line {
        let (kind, body) = (bytes[0], &bytes[wire::HEADER_BYTES..]);
        let known = table(from).iter().find(|(_, known, _)| *known == kind);
        if let Some((name, _, layout)) = known {
            let mut rest = Rest(body);
            let mut fields = Vec::new();
            let read = layout
                .bytes()
                .try_for_each(|code| decode_field(&mut rest, code, &mut fields));
            let line = Line {
                name: (*name).to_owned(),
                fields,
            };
            if read.is_some() && line.encode(from) == bytes {
                return line;
            }
        }
        Line {
            name: "Raw".to_owned(),
            fields: vec![
                Field::Word(char::from(kind).to_string()),
                Field::Text(body.to_vec()),
            ],
        }
    }

    /// Cuts bytes into messages; what is left at the end is no whole one.
    pub fn decode_all(from: From, mut bytes: &[u8]) -> (Vec<Line>, &[u8]) {
        let mut lines = Vec::new();
        while let Ok(Some(header)) = wire::header(bytes)
            && header.len <= bytes.len()
        {
            lines.push(Line::decode(from, &bytes[..header.len]));
            bytes = &bytes[header.len..];
        }
        (lines, bytes)
    }
}

fn encode_field<'a>(out: &mut Vec<u8>, code: u8, fields: &mut impl Iterator<Item = &'a Field>) {
    match code {
        b's' => write::string(out, text(fields.next())),
        b'b' => out.push(word(fields.next()).as_bytes()[0]),
        b'w' => out.extend_from_slice(&number(fields.next()).to_be_bytes()),
        b'z' => out.extend_from_slice(&[0, 0]),
        b'r' => out.extend_from_slice(text(fields.next())),
        b'c' => out.extend_from_slice(&[0, 0, 1, 0, 0]),
        b'l' => value(out, fields.next().expect("a value")),
        b't' => {
            let types: Vec<u32> = fields.map(|field| number(Some(field))).collect();
            out.extend_from_slice(&(types.len() as u16).to_be_bytes());
            types
                .iter()
                .for_each(|oid| out.extend_from_slice(&oid.to_be_bytes()));
        }
        b'v' => {
            let values: Vec<&Field> = fields.collect();
            out.extend_from_slice(&(values.len() as u16).to_be_bytes());
            values.iter().for_each(|field| value(out, field));
        }
        b'd' => {
            let columns: Vec<&Field> = fields.collect();
            out.extend_from_slice(&(columns.len() as u16).to_be_bytes());
            for column in columns {
                write::string(out, text(Some(column)));
                out.extend_from_slice(COLUMN);
            }
        }
        b'e' => {
            let (severity, code) = (word(fields.next()), word(fields.next()));
            for (kind, field) in [(b'S', severity), (b'V', severity), (b'C', code)] {
                out.push(kind);
                write::string(out, field.as_bytes());
            }
            out.push(b'M');
            write::string(out, text(fields.next()));
            out.push(0);
        }
        _ => unreachable!("a layout has no such letter"),
    }
}

fn decode_field(rest: &mut Rest<'_>, code: u8, fields: &mut Vec<Field>) -> Option<()> {
    match code {
        b's' => fields.push(Field::Text(rest.string()?.to_vec())),
        b'b' => fields.push(Field::Word(char::from(rest.take(1)?[0]).to_string())),
        b'w' => fields.push(Field::Word(rest.u32()?.to_string())),
        b'z' => drop(rest.take(2)?),
        b'r' => fields.push(Field::Text(std::mem::take(&mut rest.0).to_vec())),
        b'c' => drop(rest.take(5)?),
        b'l' => fields.push(rest.value()?),
        b't' => {
            for _ in 0..rest.u16()? {
                fields.push(Field::Word(rest.u32()?.to_string()));
            }
        }
        b'v' => {
            for _ in 0..rest.u16()? {
                fields.push(rest.value()?);
            }
        }
        b'd' => {
            for _ in 0..rest.u16()? {
                fields.push(Field::Text(rest.string()?.to_vec()));
                rest.take(COLUMN.len())?;
            }
        }
        b'e' => {
            rest.take(1)?;
            let severity = rest.string()?.to_vec();
            rest.take(1)?;
            rest.string()?;
            rest.take(1)?;
            let code = rest.string()?.to_vec();
            rest.take(1)?;
            fields.push(Field::Word(String::from_utf8(severity).ok()?));
            fields.push(Field::Word(String::from_utf8(code).ok()?));
            fields.push(Field::Text(rest.string()?.to_vec()));
        }
        _ => unreachable!("a layout has no such letter"),
    }
    Some(())
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|&byte| byte == 0)?;
        let text = self.take(end)?;
        self.take(1)?;
        Some(text)
    }

    fn value(&mut self) -> Option<Field> {
        match self.u32()? {
            u32::MAX => Some(Field::Word("NULL".to_owned())),
            len => Some(Field::Text(self.take(len as usize)?.to_vec())),
        }
    }
}

fn value(out: &mut Vec<u8>, field: &Field) {
    match field {
        Field::Word(_) => out.extend_from_slice(&[0xff; 4]),
        Field::Text(text) => {
            out.extend_from_slice(&(text.len() as u32).to_be_bytes());
            out.extend_from_slice(text);
        }
    }
}
