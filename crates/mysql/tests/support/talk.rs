//! One end of a connection, followed by its bytes alone: which command is due an answer, which packet of it comes next and with which
//! number, and what the server would still owe (MySQL's documentation, "Command Phase"). Written apart from the engine, to judge it.

use super::messages::{From, Line, Place, Terms};
use forebay_mysql::wire::auth::nonce_of;
use forebay_mysql::wire::greeting::Greeting;
use forebay_mysql::wire::read::Fields;
use forebay_mysql::wire::status::Status;
use forebay_mysql::wire::{HEADER_BYTES, message};
use std::collections::VecDeque;

/// The dialogue on one connection.
#[derive(Debug, Clone, Default)]
pub struct Talk {
    pub terms: Terms,
    /// Answers that are due, with the number that each begins with.
    due: VecDeque<(Shape, u8)>,
    /// How many of the last ones of them a proxy asks behind a client's command, of its own accord.
    afterthoughts: usize,
    at: At,
    /// The number of the next packet of the server's.
    next: u8,
    status: Status,
    /// The command that is half sent has its answer.
    is_answered: bool,
    to_server: Vec<u8>,
    from_server: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Login,
    Simple,
    Results,
    Rows,
    Prepare,
    Columns,
    Text,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    First,
    Columns(u64),
    ColumnsEnd,
    Rows,
    /// Definitions of parameters and columns that a preparation still shows.
    Shown(u64, u64),
    ShownEnd(u64),
    File,
}

/// Whether the connection may serve somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Debt {
    /// It may.
    None,
    /// After a ROLLBACK.
    Rollback,
    /// After the answers to what is no client's.
    Afterthought,
    /// Never.
    Hopeless,
}

impl Talk {
    /// A connection that has logged in.
    pub fn ready(terms: Terms) -> Talk {
        Talk {
            terms,
            ..Talk::default()
        }
    }

    /// One whose server speaks first.
    pub fn begun(terms: Terms) -> Talk {
        let mut talk = Talk::ready(terms);
        talk.due.push_back((Shape::Login, 0));
        talk
    }

    /// Bytes for these lines, as they come one behind the other from this end's peer.
    pub fn encode(&self, from: From, lines: &[Line]) -> Vec<u8> {
        let mut plan = self.clone();
        let mut bytes = Vec::new();
        for line in lines {
            let packet = line.packet(from, &plan.terms, plan.number(from));
            match from {
                From::Client => drop(plan.received(&packet)),
                From::Backend => drop(plan.sent(&packet)),
            }
            bytes.extend(packet);
        }
        bytes
    }

    /// The number of the next packet.
    fn number(&self, from: From) -> u8 {
        let is_command = !self.is_login() && self.at != At::File;
        match from {
            From::Client if is_command => 0,
            _ => self.next,
        }
    }

    fn is_login(&self) -> bool {
        matches!(self.due.front(), Some((Shape::Login, _)))
    }

    /// Whether the client's next byte begins a command, and whether all that it asked was answered.
    pub fn is_before_command(&self) -> (bool, bool) {
        let is_command = self.to_server.is_empty() && !self.is_login() && self.at != At::File;
        (is_command, self.due.is_empty())
    }

    /// Bytes that the server received: the messages that are whole with them.
    pub fn received(&mut self, bytes: &[u8]) -> Vec<Line> {
        self.to_server.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some((sequence, payload)) = take(&mut self.to_server) {
            lines.extend(self.on_request(sequence, &payload));
        }
        lines
    }

    fn on_request(&mut self, sequence: u8, payload: &[u8]) -> Option<Line> {
        if self.is_login() {
            self.next = sequence.wrapping_add(1);
            return None;
        }
        if self.at == At::File {
            let expected = self.next;
            self.next = sequence.wrapping_add(1);
            let line = match payload.is_empty() {
                true => {
                    self.at = At::First;
                    Line::parse("FileEnd")
                }
                false => {
                    let mut line = Line::parse("File \"\"");
                    line.fields[0] = super::messages::Field::Text(payload.to_vec());
                    line
                }
            };
            return Some(in_order(line, sequence, expected));
        }
        let line = Line::of_request(payload, &self.terms);
        let shape = match payload.first() {
            Some(0x01 | 0x18 | 0x19) => None,
            Some(0x03 | 0x0a | 0x17) => Some(Shape::Results),
            Some(0x04) => Some(Shape::Columns),
            Some(0x09) => Some(Shape::Text),
            Some(0x16) => Some(Shape::Prepare),
            Some(0x1c) => Some(Shape::Rows),
            _ => Some(Shape::Simple),
        };
        // A message of several packets counts them.
        let first = sequence.wrapping_sub((payload.len() / 0xff_ffff) as u8);
        let is_answered = std::mem::take(&mut self.is_answered);
        if let Some(shape) = shape.filter(|_| !is_answered) {
            let is_afterthought = payload == b"\x03SHOW WARNINGS"
                || payload == b"\x03SET @@session.wait_timeout=DEFAULT"
                || payload == b"\x0e"
                || payload.starts_with(b"\x03SELECT @@session.");
            self.afterthoughts = match is_afterthought {
                true => self.afterthoughts + 1,
                false => 0,
            };
            self.due.push_back((shape, sequence.wrapping_add(1)));
            if self.due.len() == 1 {
                self.begin();
            }
        }
        Some(in_order(line, first, 0))
    }

    /// The first answer that is due begins.
    fn begin(&mut self) {
        let front = self.due.front();
        self.next = front.map_or(0, |(_, sequence)| *sequence);
        self.at = match front {
            Some((Shape::Rows, _)) => At::Rows,
            _ => At::First,
        };
    }

    /// Bytes that the server sent: the packets that are whole with them.
    pub fn sent(&mut self, bytes: &[u8]) -> Vec<Line> {
        self.from_server.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some((sequence, payload)) = take(&mut self.from_server) {
            let first = sequence.wrapping_sub((payload.len() / 0xff_ffff) as u8);
            let expected = std::mem::replace(&mut self.next, sequence.wrapping_add(1));
            let is_expected = match self.due.is_empty() {
                // A last word to who is idle is 0 to some clients, and the answer to their next command to others.
                true => first <= 1,
                // Who is still sending may be told no at any number.
                false => first == expected || self.at == At::File,
            };
            let expected = match is_expected || !self.to_server.is_empty() {
                true => first,
                false => expected,
            };
            self.is_answered |= self.due.is_empty() && !self.to_server.is_empty();
            let line = self.on_reply(&payload);
            lines.push(in_order(line, first, expected));
        }
        lines
    }

    fn on_reply(&mut self, payload: &[u8]) -> Line {
        let shape = self.due.front().map(|(shape, _)| *shape);
        let place = match (shape, self.at) {
            (Some(Shape::Login), _) => Place::Login,
            (Some(Shape::Text), _) => Place::Text,
            (Some(Shape::Columns), _) => Place::List,
            (Some(Shape::Prepare), At::First) => Place::Prepared,
            (_, At::First | At::File) => Place::First,
            (_, At::Columns(_) | At::Shown(..)) => Place::Column,
            (_, At::ColumnsEnd | At::ShownEnd(_)) => Place::ColumnsEnd,
            (_, At::Rows) => Place::Rows,
        };
        let line = Line::of_reply(payload, place, &self.terms);
        match shape {
            Some(Shape::Login) => self.on_login(payload),
            Some(shape) => self.advance(shape, payload, &line),
            None => self.next = 0,
        }
        line
    }

    fn on_login(&mut self, payload: &[u8]) {
        match payload.first() {
            Some(10) => {
                if let Ok(greeting) = Greeting::read(payload) {
                    self.terms.nonce = greeting.nonce;
                }
            }
            Some(0xfe) => {
                let end = payload.iter().position(|byte| *byte == 0).unwrap_or(0);
                if let Ok(nonce) = nonce_of(&payload[end + 1..]) {
                    self.terms.nonce = nonce;
                }
            }
            Some(0 | 0xff) => self.pop(),
            _ => {}
        }
    }

    fn pop(&mut self) {
        self.due.pop_front();
        self.afterthoughts = self.afterthoughts.min(self.due.len());
        self.begin();
    }

    fn advance(&mut self, shape: Shape, payload: &[u8], line: &Line) {
        let is_new = self.terms.is_new();
        if payload.first() == Some(&0xff) {
            return self.pop();
        }
        match (shape, self.at, line.name.as_str()) {
            (Shape::Text, ..) => self.pop(),
            (Shape::Prepare, At::First, _) => {
                let mut fields = Fields(payload.get(5..).unwrap_or_default());
                let columns = fields.u16().unwrap_or(0).into();
                let parameters = fields.u16().unwrap_or(0).into();
                self.show(parameters, columns);
            }
            (_, At::Shown(1, then), _) if is_new => self.show(0, then),
            (_, At::Shown(1, then), _) => self.at = At::ShownEnd(then),
            (_, At::Shown(left, then), _) => self.at = At::Shown(left - 1, then),
            (_, At::ShownEnd(then), _) => self.show(0, then),
            (_, _, "LocalFile") => self.at = At::File,
            (_, _, "Columns") => {
                self.at = At::Columns(Fields(payload).number().unwrap_or(0));
            }
            (_, At::Columns(1), _) => {
                self.at = if is_new { At::Rows } else { At::ColumnsEnd };
            }
            (_, At::Columns(left), _) => self.at = At::Columns(left - 1),
            (_, At::ColumnsEnd, _) => {
                self.at = At::Rows;
                if status_of(payload, &self.terms).has(Status::CURSOR_EXISTS) {
                    self.end(shape, payload);
                }
            }
            (_, _, "Ok" | "Eof" | "End") => self.end(shape, payload),
            _ => {}
        }
    }

    fn show(&mut self, left: u64, then: u64) {
        match (left, then) {
            (0, 0) => self.pop(),
            (0, then) => self.at = At::Shown(then, 0),
            (left, then) => self.at = At::Shown(left, then),
        }
    }

    fn end(&mut self, shape: Shape, payload: &[u8]) {
        self.status = status_of(payload, &self.terms);
        let more = self.status.has(Status::MORE_RESULTS_EXISTS) && shape == Shape::Results;
        match more {
            true => self.at = At::First,
            false => self.pop(),
        }
    }

    /// Whether everything the server has sent are whole messages.
    pub fn sent_whole(&self) -> bool {
        self.from_server.is_empty()
    }

    /// Whether everything the client has sent are whole messages.
    pub fn received_whole(&self) -> bool {
        self.to_server.is_empty()
    }

    pub fn debt(&self) -> Debt {
        let half = !self.to_server.is_empty() || !self.from_server.is_empty();
        let is_over = self.to_server.is_empty() && self.due.len() == self.afterthoughts;
        if is_over && !self.due.is_empty() {
            Debt::Afterthought
        } else if half || !self.due.is_empty() {
            Debt::Hopeless
        } else if self.status.has(Status::IN_TRANS) {
            Debt::Rollback
        } else {
            Debt::None
        }
    }
}

/// The status in an OK or EOF packet.
fn status_of(payload: &[u8], terms: &Terms) -> Status {
    use forebay_mysql::wire::reply::{EofPacket, OkPacket};
    match payload.len() {
        5 => EofPacket::read(payload).map(|eof| eof.status),
        _ => OkPacket::read(payload, terms.capabilities).map(|ok| ok.status),
    }
    .unwrap_or_default()
}

fn in_order(line: Line, sequence: u8, expected: u8) -> Line {
    match sequence == expected {
        true => line,
        false => line.numbered(sequence),
    }
}

/// Takes the first whole message out of `bytes`: its last packet's number and its payload.
fn take(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let (len, sequence, payload) = {
        let message = message(bytes).ok()?.ok()?;
        (
            message.bytes.len(),
            message.sequence,
            message.payload().into_owned(),
        )
    };
    debug_assert!(len >= HEADER_BYTES);
    bytes.drain(..len);
    Some((sequence, payload))
}
