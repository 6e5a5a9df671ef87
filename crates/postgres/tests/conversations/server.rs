//! What a real server would still owe, told from the bytes that passed on its connection alone (protocol documentation, "Message
//! Flow"). Written apart from the engine, to judge it.

use forebay_postgres::wire;
use std::collections::VecDeque;

/// The server's side of one connection, as far as its bytes tell.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Kinds of the messages that it received and has not finished with.
    owed: VecDeque<u8>,
    in_transaction: bool,
    skipping: bool,
    reads_copy: bool,
    to_server: Vec<u8>,
    from_server: Vec<u8>,
}

/// Whether the connection may serve somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Debt {
    /// It may.
    None,
    /// After a ROLLBACK.
    Rollback,
    /// Never.
    Hopeless,
}

impl Ledger {
    /// Bytes that the server received.
    pub fn received(&mut self, bytes: &[u8]) {
        self.to_server.extend_from_slice(bytes);
        while let Some((kind, _)) = next(&mut self.to_server) {
            self.on_request(kind);
        }
    }

    /// Bytes that the server sent.
    pub fn sent(&mut self, bytes: &[u8]) {
        self.from_server.extend_from_slice(bytes);
        while let Some((kind, status)) = next(&mut self.from_server) {
            if kind == b'Z' {
                self.in_transaction = status != Some(b'I');
            }
            self.on_reply(kind);
        }
    }

    fn on_request(&mut self, kind: u8) {
        match kind {
            b'S' if self.reads_copy => {}
            b'S' => {
                self.skipping = false;
                self.owed.push_back(kind);
            }
            b'c' | b'f' => {
                if !std::mem::take(&mut self.reads_copy) && !self.owed.is_empty() {
                    self.owed.push_back(kind);
                }
            }
            b'd' | b'H' | b'X' => {}
            _ if self.skipping => {}
            _ => self.owed.push_back(kind),
        }
    }

    fn on_reply(&mut self, kind: u8) {
        match kind {
            b'Z' => {
                while let Some(request) = self.owed.pop_front()
                    && !matches!(request, b'Q' | b'S' | b'F')
                {}
                while matches!(self.owed.front(), Some(b'c' | b'f')) {
                    self.owed.pop_front();
                }
                self.reads_copy = false;
            }
            b'G' => {
                let end = self
                    .owed
                    .iter()
                    .position(|kind| matches!(kind, b'c' | b'f'));
                self.reads_copy = end.is_none();
                let mut at = 0;
                self.owed.retain(|kind| {
                    at += 1;
                    *kind != b'S' || end.is_some_and(|end| at > end)
                });
            }
            b'E' => {
                self.reads_copy = false;
                if matches!(self.owed.front(), Some(b'P' | b'B' | b'D' | b'E' | b'C')) {
                    while self.owed.front().is_some_and(|kind| *kind != b'S') {
                        self.owed.pop_front();
                    }
                    self.skipping = self.owed.is_empty();
                }
            }
            _ => {}
        }
    }

    /// Whether everything the server has sent are whole messages.
    pub fn sent_whole(&self) -> bool {
        self.from_server.is_empty()
    }

    pub fn debt(&self) -> Debt {
        let half = !self.to_server.is_empty() || !self.from_server.is_empty();
        if half || !self.owed.is_empty() || self.skipping || self.reads_copy {
            Debt::Hopeless
        } else if self.in_transaction {
            Debt::Rollback
        } else {
            Debt::None
        }
    }
}

/// Takes the first whole message out of `bytes`: its kind and the first byte of its body.
fn next(bytes: &mut Vec<u8>) -> Option<(u8, Option<u8>)> {
    let header = wire::header(bytes).ok()??;
    let message: Vec<u8> =
        (header.len <= bytes.len()).then(|| bytes.drain(..header.len).collect())?;
    Some((header.kind, message.get(wire::HEADER_BYTES).copied()))
}
