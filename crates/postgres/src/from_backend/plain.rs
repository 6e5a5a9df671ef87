//! What comes of statements that are prepared again under the names that their clients gave, and of using them.
//!
//! The client sees nothing of it. Where one cannot be prepared again, what the server says of that is what the client's own message
//! runs into: within its segment the error itself, ahead of a Query in the place of the one that then follows.

use super::error::CACHED_PLAN_CHANGED;
use super::{FromBackend, Step};
use crate::exchange::Expect;
use crate::wire::Header;
use crate::wire::read::ErrorFields;
use memchr::memmem;

impl FromBackend<'_> {
    /// Part of the answer to a statement that is given, but for an error.
    pub(super) fn given(&mut self, header: Header, rest: &[u8]) -> Step {
        match header.kind {
            b'S' | b'A' => return self.message(header, rest),
            b'Z' => return self.end_given(header, rest),
            b'1' | b'2' | b'3' | b'C' | b'N' => {}
            _ => return self.broken("a backend answered a statement of ours with something else"),
        }
        let step = self.hide(header, rest);
        let Some(Expect::GivePlain(given)) = self.backend.exchange.front_mut() else {
            return step;
        };
        if header.kind == given.end {
            given.ends -= 1;
            if given.ends == 0 {
                self.backend.plain.has_come(&given.name);
                self.backend.exchange.pop();
                self.answer_locals();
            }
        }
        step
    }

    /// A statement that is given in a segment of its own cannot be prepared.
    pub(super) fn not_given(&mut self, header: Header, rest: &[u8]) -> Step {
        match self.body(header, rest) {
            Ok(body) if ErrorFields::read(body).is_fatal() => self.error(header, rest),
            Ok(_) => {
                if let Some(Expect::GivePlain(given)) = self.backend.exchange.front() {
                    self.backend.plain.is(&given.name, given.before);
                }
                // The first is what the client's own message runs into first.
                let error = || rest[..header.len].into();
                self.backend.give_error.get_or_insert_with(error);
                self.hide(header, rest)
            }
            Err(Step::Stop) => {
                if let Some(Expect::GivePlain(given)) = self.backend.exchange.front() {
                    self.backend.plain.is(&given.name, given.before);
                }
                self.hide(header, rest)
            }
            Err(step) => step,
        }
    }

    fn end_given(&mut self, header: Header, rest: &[u8]) -> Step {
        let status = match self.body(header, rest) {
            Ok(&[status]) => status,
            Ok(_) | Err(Step::Stop) => return self.broken("a ReadyForQuery has no status"),
            Err(step) => return step,
        };
        let Some(Expect::GivePlain(given)) = self.backend.exchange.pop() else {
            return self.broken("a ReadyForQuery came out of turn");
        };
        if given.end != b'Z' {
            return self.broken("a ReadyForQuery came out of turn");
        }
        self.backend.plain.has_come(&given.name);
        self.backend.exchange.status = status;
        let step = self.hide(header, rest);
        self.answer_locals();
        step
    }

    /// An error of something that runs statements by name; true if the client was told another.
    pub(super) fn note_failed_use(&mut self, body: &[u8]) -> bool {
        let uses = match self.backend.exchange.front() {
            Some(Expect::Query(query)) => &query.named.uses,
            Some(Expect::Execute(Some(statement))) => &statement.named.uses,
            _ => return false,
        };
        let ErrorFields { code, message, .. } = ErrorFields::read(body);
        let is_lost = code == b"26000";
        for (name, statement) in uses {
            if code == CACHED_PLAN_CHANGED {
                self.shared.statements.renew(statement);
            }
            let quoted = format!("\"{name}\"");
            if is_lost && memmem::find(message, quoted.as_bytes()).is_some() {
                // Code on the server may have taken it away: the next use prepares it again.
                self.backend.plain.is(name.as_bytes(), None);
            }
        }
        // Behind the error of a statement that was to be given the transaction has failed, if there is one.
        match self.backend.give_error.take() {
            Some(error) if is_lost || code == b"25P02" => {
                self.orders.to_client(|out| out.extend_from_slice(&error));
                true
            }
            _ => false,
        }
    }
}
