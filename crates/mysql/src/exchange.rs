//! What is asked of a backend and not yet answered, in order; whether the backend could serve another session.
//!
//! Every command that earns an answer leaves an entry; answers are matched from the front. Commands of ours go ahead of a client's, or
//! behind it, and their answers are swallowed, so that a client reads exactly what it would read from a server of its own. A client's next
//! command waits for the answer to the one before: what it means may depend on that.
//! (MySQL's documentation, "Command Phase".)
//!
//! ```text
//!   ours: SET …    client: COM_QUERY      due: Replay, Client      server: OK, columns, rows, OK      → empty, no transaction: clean
//! ```

mod reading;

use crate::wire::status::Status;
pub use reading::{Read, Reading, Shape, Told};
use std::collections::VecDeque;

/// Whose answer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The client's: it passes.
    Client,
    /// Settings were sent ahead; an error means that the session cannot be served here.
    Replay,
    /// A database was chosen ahead; an error is the client's answer.
    Database,
    /// The connection was made new.
    Reset,
    /// A statement of the client's is prepared again, of this number with the client.
    Prepare(u32),
    /// Values are asked for that settings have now.
    ReadBack,
    /// Conditions are asked for that the client's statement left.
    Conditions,
    /// A condition of the client's is raised again.
    Signal,
    /// The session's status is asked for.
    Status,
    /// What the backend must not take along is taken off.
    Parting,
    /// What a vanished client left open is rolled back.
    Rollback,
}

/// One answer that is due.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// Whose it is.
    pub whose: Whose,
    /// How far it has come.
    pub reading: Reading,
}

/// One backend's exchange.
#[derive(Debug)]
pub struct Exchange {
    due: VecDeque<Due>,
    /// The session's status as it was last told.
    pub status: Status,
    /// An error came since: whether a transaction is open is not known, and must be asked where it matters.
    pub is_doubtful: bool,
    /// Bytes of a client's packet that are still to be forwarded, and whether the packet behind it continues the message.
    pub from_client: Option<Passing>,
    /// Bytes of the backend's packet that are still to be forwarded or swallowed.
    pub from_backend_left: usize,
}

/// A message on its way that is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passing {
    /// Bytes left of its packet.
    pub left: usize,
    /// Another packet of the same message follows.
    pub continues: bool,
    /// It was answered already, and goes nowhere.
    pub is_ignored: bool,
}

impl Default for Exchange {
    fn default() -> Exchange {
        Exchange {
            due: VecDeque::new(),
            status: Status::AUTOCOMMIT,
            is_doubtful: false,
            from_client: None,
            from_backend_left: 0,
        }
    }
}

impl Exchange {
    /// A command was sent whose answer has this shape.
    pub fn push(&mut self, whose: Whose, shape: Shape) {
        let reading = Reading::new(shape);
        self.due.push_back(Due { whose, reading });
    }

    /// The answer that is due next.
    #[inline]
    pub fn front_mut(&mut self) -> Option<&mut Due> {
        self.due.front_mut()
    }

    /// The answer that is due next.
    #[inline]
    pub fn front(&self) -> Option<&Due> {
        self.due.front()
    }

    /// The first answer has come.
    pub fn pop(&mut self) -> Option<Due> {
        self.due.pop_front()
    }

    /// Nothing is due.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// Whether an answer is due to the client.
    pub fn is_client_due(&self) -> bool {
        self.due.iter().any(|due| due.whose == Whose::Client)
    }

    /// The client's file is asked for.
    pub fn wants_file(&self) -> bool {
        self.front().is_some_and(|due| due.reading.is_file())
    }

    /// What an OK or EOF packet told.
    #[inline]
    pub fn on_told(&mut self, told: &Told) {
        // What is said of one answer must not be said again in another: a client would wait for results that nobody sends.
        self.status = told.status.of_session();
        self.is_doubtful = false;
    }

    /// Whether a transaction is open, as far as is known.
    #[inline]
    pub fn in_transaction(&self) -> bool {
        self.status.has(Status::IN_TRANS)
    }

    /// Whether the backend could serve another session, as far as commands and transactions go.
    #[inline]
    pub fn is_clean(&self) -> bool {
        self.due.is_empty()
            && self.from_client.is_none()
            && self.from_backend_left == 0
            && !self.is_doubtful
            && !self.in_transaction()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_clean_when_nothing_is_due_and_no_transaction_is_open() {
        let mut exchange = Exchange::default();
        assert!(exchange.is_clean());
        exchange.push(Whose::Client, Shape::Results);
        assert!(!exchange.is_clean());
        exchange.pop();
        let told = |status| Told {
            status,
            ..Told::default()
        };
        exchange.on_told(&told(Status::IN_TRANS | Status::AUTOCOMMIT));
        assert!(!exchange.is_clean());
        exchange.on_told(&told(Status::AUTOCOMMIT));
        assert!(exchange.is_clean());
        exchange.is_doubtful = true;
        assert!(
            !exchange.is_clean(),
            "an error says nothing of transactions"
        );
    }
}
