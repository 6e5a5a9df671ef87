//! Which replies are due, and a reply as a line of text in which what must differ between two servers is masked.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::connection::Message;
use super::program::Extended;

/// First OID of objects that are not PostgreSQL's own (`FirstNormalObjectId`).
const OWN_OIDS: u32 = 16384;

/// What a message that was sent is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// By one message of its own.
    Parse,
    Bind,
    Describe,
    Execute,
    Close,
    /// By everything up to ReadyForQuery.
    Query,
    Sync,
}

/// Replies that have not come yet, in their order.
#[derive(Debug, Default)]
pub struct Due {
    kinds: VecDeque<Kind>,
    /// After an error of the extended protocol: everything up to Sync is skipped (chapter "Extended Query").
    skipping: bool,
}

impl Due {
    /// Nothing is due.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// A Query was sent.
    pub fn query(&mut self) {
        self.push(Kind::Query);
    }

    /// A message of the extended protocol was sent.
    pub fn extended(&mut self, message: &Extended) {
        self.push(match message {
            Extended::Parse(..) => Kind::Parse,
            Extended::Bind(..) => Kind::Bind,
            Extended::DescribeStatement(_) | Extended::DescribePortal(_) => Kind::Describe,
            Extended::Execute(..) => Kind::Execute,
            Extended::CloseStatement(_) | Extended::ClosePortal(_) => Kind::Close,
            Extended::Flush => return,
            Extended::Sync => Kind::Sync,
        });
    }

    fn push(&mut self, kind: Kind) {
        if !self.skipping || kind == Kind::Sync {
            self.skipping = false;
            self.kinds.push_back(kind);
        }
    }

    /// A reply came.
    pub fn on_reply(&mut self, kind: u8) {
        let ended = match (self.kinds.front(), kind) {
            (Some(Kind::Query), b'E') => false,
            (_, b'E') => {
                while self.kinds.front().is_some_and(|kind| *kind != Kind::Sync) {
                    self.kinds.pop_front();
                }
                self.skipping = self.kinds.is_empty();
                false
            }
            (Some(Kind::Parse), b'1')
            | (Some(Kind::Bind), b'2')
            | (Some(Kind::Close), b'3')
            | (Some(Kind::Describe), b'T' | b'n')
            | (Some(Kind::Execute), b'C' | b's' | b'I')
            | (Some(Kind::Query | Kind::Sync), b'Z') => true,
            _ => false,
        };
        if ended {
            self.kinds.pop_front();
        }
    }
}

/// A reply as a line; `process` is the session's own process number.
pub fn shown(message: &Message, process: u32) -> String {
    let mut reader = Reader(&message.body);
    match message.kind {
        b'T' => row_description(&mut reader),
        b'D' => data_row(&mut reader),
        b't' => parameter_description(&mut reader),
        b'E' | b'N' => fields(message.kind, &mut reader),
        b'S' => format!("ParameterStatus {:?}={:?}", reader.text(), reader.text()),
        b'C' => format!("CommandComplete {:?}", reader.text()),
        b'Z' => format!("ReadyForQuery {}", char::from(reader.byte())),
        b'A' => {
            let own = reader.long() == process;
            let from = if own { "itself" } else { "another" };
            format!(
                "Notification from {from} {:?} {:?}",
                reader.text(),
                reader.text()
            )
        }
        b'd' => format!("CopyData {:?}", String::from_utf8_lossy(&message.body)),
        kind => format!("{} {:?}", name(kind), message.body),
    }
}

fn name(kind: u8) -> String {
    let name = match kind {
        b'1' => "ParseComplete",
        b'2' => "BindComplete",
        b'3' => "CloseComplete",
        b'n' => "NoData",
        b's' => "PortalSuspended",
        b'I' => "EmptyQueryResponse",
        b'G' => "CopyInResponse",
        b'H' => "CopyOutResponse",
        b'c' => "CopyDone",
        other => return format!("message {:?}", char::from(other)),
    };
    name.into()
}

/// Table OIDs of one's own objects differ between databases, and so do those of one's own types.
fn masked(oid: u32) -> String {
    if oid >= OWN_OIDS {
        "own".into()
    } else {
        oid.to_string()
    }
}

fn row_description(reader: &mut Reader<'_>) -> String {
    let mut line = "RowDescription".to_owned();
    for _ in 0..reader.short() {
        let (name, table) = (reader.text(), masked(reader.long()));
        let (column, kind) = (reader.short(), masked(reader.long()));
        let (size, modifier, format) = (reader.short(), reader.long(), reader.short());
        let _ = write!(
            line,
            " {name:?}({table}.{column} {kind} {size} {modifier} {format})"
        );
    }
    line
}

fn parameter_description(reader: &mut Reader<'_>) -> String {
    let mut line = "ParameterDescription".to_owned();
    for _ in 0..reader.short() {
        let _ = write!(line, " {}", masked(reader.long()));
    }
    line
}

fn data_row(reader: &mut Reader<'_>) -> String {
    let mut line = "DataRow".to_owned();
    for _ in 0..reader.short() {
        let length = reader.long();
        let value = match usize::try_from(length) {
            Ok(length) if length != u32::MAX as usize => {
                format!("{:?}", String::from_utf8_lossy(reader.bytes(length)))
            }
            _ => "NULL".into(),
        };
        let _ = write!(line, " {value}");
    }
    line
}

/// Errors and notices, without the place in the server's source: an error that Forebay gives in the server's name has none.
fn fields(kind: u8, reader: &mut Reader<'_>) -> String {
    let mut line = if kind == b'E' { "Error" } else { "Notice" }.to_owned();
    loop {
        let field = reader.byte();
        if field == 0 {
            return line;
        }
        let value = reader.text();
        if !b"FLR".contains(&field) {
            let _ = write!(line, " {}={value:?}", char::from(field));
        }
    }
}

/// Reads fields; what is missing reads as empty.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number(&mut self, bytes: usize) -> u32 {
        let taken = self.bytes(bytes).iter();
        taken.fold(0, |sum, byte| sum << 8 | u32::from(*byte))
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn short(&mut self) -> u32 {
        self.number(2)
    }

    fn long(&mut self) -> u32 {
        self.number(4)
    }

    fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0);
        let text = self.bytes(end.unwrap_or(self.0.len()));
        self.bytes(1);
        String::from_utf8_lossy(text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_skips_what_is_due_up_to_the_next_sync() {
        let mut due = Due::default();
        let execute = Extended::Execute(String::new(), 0);
        due.extended(&execute);
        due.extended(&execute);
        due.on_reply(b'E');
        assert!(due.is_empty());
        due.extended(&execute);
        assert!(due.is_empty(), "it is skipped until Sync");
        due.extended(&Extended::Sync);
        due.on_reply(b'Z');
        assert!(due.is_empty());
    }

    #[test]
    fn a_query_is_answered_when_the_server_is_ready() {
        let mut due = Due::default();
        due.query();
        for kind in [b'T', b'D', b'C', b'E'] {
            due.on_reply(kind);
            assert!(!due.is_empty());
        }
        due.on_reply(b'Z');
        assert!(due.is_empty());
    }

    #[test]
    fn what_differs_between_servers_is_masked() {
        let notification = Message {
            kind: b'A',
            body: b"\0\0\0\x07ch\0text\0".to_vec(),
        };
        let line = |process| shown(&notification, process);
        assert_eq!(line(7), "Notification from itself \"ch\" \"text\"");
        assert_eq!(line(8), "Notification from another \"ch\" \"text\"");
        let error = Message {
            kind: b'E',
            body: b"SERROR\0C42601\0Fscan.l\0L100\0\0".to_vec(),
        };
        assert_eq!(shown(&error, 0), "Error S=\"ERROR\" C=\"42601\"");
        let row = Message {
            kind: b'D',
            body: b"\0\x02\0\0\0\x01a\xff\xff\xff\xff".to_vec(),
        };
        assert_eq!(shown(&row, 0), "DataRow \"a\" NULL");
    }
}
