//! A connection that listens for all sessions of its database: rounds of LISTEN and UNLISTEN, and what it is told.
//!
//! A round is one Query, or a Sync where nothing changes. Behind its ReadyForQuery the new channels are listened on, and whatever was
//! committed before the round was asked has been told: the process that committed it signalled this one before it answered, and the
//! server reads its queue before it says that it is ready (`src/backend/tcop/postgres.c`, `ProcessNotifyInterrupt`).
//!
//! ```text
//!   listen ─► Query "LISTEN a" ─► C … A A … Z ─► RoundDone          an error: nothing of the round is listened on, RoundDone says why
//! ```
//! It reads and writes without conversion (`client_encoding` SQL_ASCII): bytes are the database's own.

use crate::errors::target_refused;
use crate::login_cache::Work;
use crate::wire::read::{ErrorFields, Fields};
use crate::wire::{self, HEADER_BYTES, write};
use forebay_core::notification::{Notification, Round};
use forebay_core::orders::{Order, Orders};
use forebay_core::{CloseReason, Refusal};
use std::sync::Arc;

/// Longest message that is read: a payload has less than 8000 bytes (`NOTIFY_PAYLOAD_MAX_LENGTH`), an error may have more.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// What a role or a database may have set that would end a connection which waits; each server takes those that it knows.
const SETUP: &str = "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN \
    ('statement_timeout', 'lock_timeout', 'idle_session_timeout', 'idle_in_transaction_session_timeout', \
    'transaction_timeout')";

/// Startup parameters of such a connection.
pub const PARAMETERS: [(&[u8], &[u8]); 2] = [
    (b"client_encoding", b"SQL_ASCII"),
    (b"application_name", b"forebay listener"),
];

/// The machine of one listening connection, behind its login.
#[derive(Debug, Default)]
pub struct Listener {
    stage: Stage,
    /// Bytes still to come of a message that is not looked at.
    skipped: usize,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nothing was asked yet.
    #[default]
    New,
    /// What a round asks for comes behind this answer.
    SettingUp,
    /// Nothing is asked.
    Idle,
    /// A round is under way; why it failed, if it did.
    Asked(Option<Box<Refusal>>),
}

impl Listener {
    /// Begins a round. The one before is done.
    pub fn listen(&mut self, round: &Round, orders: &mut Orders<Work>) {
        orders.to_backend(|out| {
            if matches!(self.stage, Stage::New) {
                write::query(out, SETUP.as_bytes());
            }
            match statements(round) {
                Some(sql) => write::query(out, &sql),
                None => out.extend_from_slice(write::SYNC),
            }
        });
        self.stage = match self.stage {
            Stage::New => Stage::SettingUp,
            _ => Stage::Asked(None),
        };
    }

    /// The database's bytes.
    pub fn on_bytes(&mut self, mut input: &[u8], orders: &mut Orders<Work>) {
        while !input.is_empty() {
            if self.skipped > 0 {
                let len = self.skipped.min(input.len());
                orders.swallow(len);
                self.skipped -= len;
                input = &input[len..];
                continue;
            }
            let header = match wire::header(input) {
                Ok(Some(header)) => header,
                Ok(None) => return orders.push(Order::Need(HEADER_BYTES)),
                Err(_) => return orders.push(Order::Close(CloseReason::BackendProtocol)),
            };
            if header.len > MESSAGE_BYTES_MAX && header.kind != b'A' {
                self.skipped = header.len;
                continue;
            }
            if header.len > MESSAGE_BYTES_MAX {
                return orders.push(Order::Close(CloseReason::BackendProtocol));
            }
            if input.len() < header.len {
                return orders.push(Order::Need(header.len));
            }
            orders.swallow(header.len);
            if !self.on_message(header.kind, &input[HEADER_BYTES..header.len], orders) {
                return;
            }
            input = &input[header.len..];
        }
    }

    /// One message; false if nothing more is to be read.
    fn on_message(&mut self, kind: u8, body: &[u8], orders: &mut Orders<Work>) -> bool {
        match (kind, &mut self.stage) {
            (b'A', _) => match notification(body) {
                Some(told) => orders.push(Order::Heard(Arc::new(told))),
                None => return close(orders, CloseReason::BackendProtocol),
            },
            (b'E', stage) => {
                let error = ErrorFields::read(body);
                if error.is_fatal() {
                    return close(orders, CloseReason::BackendGone);
                }
                if let Stage::Asked(failed) = stage {
                    *failed = Some(Box::new(refused(&error)));
                }
            }
            (b'Z', stage @ Stage::SettingUp) => *stage = Stage::Asked(None),
            (b'Z', stage @ Stage::Asked(_)) => {
                if let Stage::Asked(failed) = std::mem::replace(stage, Stage::Idle) {
                    orders.push(Order::RoundDone(failed.map_or(Ok(()), Err)));
                }
            }
            (b'Z', _) => return close(orders, CloseReason::BackendProtocol),
            // Notices, reports, and what the statements of a round answer.
            _ => {}
        }
        true
    }
}

fn close(orders: &mut Orders<Work>, reason: CloseReason) -> bool {
    orders.push(Order::Close(reason));
    false
}

fn refused(error: &ErrorFields<'_>) -> Refusal {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into();
    target_refused(text(error.code), text(error.message))
}

fn notification(body: &[u8]) -> Option<Notification> {
    let mut fields = Fields(body);
    let process = fields.u32().ok()?;
    let channel = fields.string().ok()?.into();
    let payload = fields.string().ok()?.into();
    Some(Notification {
        channel,
        process,
        payload,
    })
}

/// The statements of a round; `None` if there are none.
fn statements(round: &Round) -> Option<Vec<u8>> {
    let mut sql = Vec::new();
    let ends = round.end.iter().map(|channel| (&b"UNLISTEN "[..], channel));
    let begins = round.begin.iter().map(|channel| (&b"LISTEN "[..], channel));
    for (verb, channel) in ends.chain(begins) {
        sql.extend_from_slice(verb);
        push_identifier(&mut sql, channel);
        sql.push(b';');
    }
    (!sql.is_empty()).then_some(sql)
}

/// Appends a name in quotes, byte for byte.
fn push_identifier(sql: &mut Vec<u8>, name: &[u8]) {
    sql.push(b'"');
    for &byte in name {
        if byte == b'"' {
            sql.push(b'"');
        }
        sql.push(byte);
    }
    sql.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_core::notification::Channel;

    fn round(begin: &[&str], end: &[&str]) -> Round {
        let channels = |names: &[&str]| -> Vec<Channel> {
            let names = names.iter();
            names.map(|name| Channel::from(name.as_bytes())).collect()
        };
        Round {
            begin: channels(begin),
            end: channels(end),
        }
    }

    /// What is sent for a round.
    fn asks(listener: &mut Listener, round: &Round) -> Vec<u8> {
        let mut orders = Orders::default();
        listener.listen(round, &mut orders);
        orders.take().1
    }

    /// Shows bytes, each alone, and returns all orders but those about bytes.
    fn reads(listener: &mut Listener, bytes: &[u8]) -> Vec<Order<Work>> {
        let (mut held, mut seen) = (Vec::new(), Vec::new());
        for byte in bytes {
            held.push(*byte);
            let mut orders = Orders::default();
            listener.on_bytes(&held, &mut orders);
            for order in orders.take().0 {
                match order {
                    Order::Swallow(len) => drop(held.drain(..len)),
                    Order::Need(len) => assert!(len > held.len()),
                    order => seen.push(order),
                }
            }
        }
        seen
    }

    fn told(channel: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write::message(&mut out, b'A', |out| {
            out.extend_from_slice(&7_u32.to_be_bytes());
            write::string(out, channel);
            write::string(out, payload);
        });
        out
    }

    fn ready() -> Vec<u8> {
        let mut out = Vec::new();
        write::ready_for_query(&mut out, b'I');
        out
    }

    /// A listener that has done its first round.
    fn set_up() -> Listener {
        let mut listener = Listener::default();
        let sent = asks(&mut listener, &round(&["a"], &[]));
        let mut expected = Vec::new();
        write::query(&mut expected, SETUP.as_bytes());
        write::query(&mut expected, b"LISTEN \"a\";");
        assert_eq!(sent, expected);
        assert!(reads(&mut listener, &ready()).is_empty());
        let done = reads(&mut listener, &ready());
        assert!(matches!(done[..], [Order::RoundDone(Ok(()))]));
        listener
    }

    #[test]
    fn a_round_is_done_behind_what_was_told_before() {
        let mut listener = set_up();
        let sent = asks(&mut listener, &round(&["b\"c"], &["a"]));
        let mut expected = Vec::new();
        write::query(&mut expected, b"UNLISTEN \"a\";LISTEN \"b\"\"c\";");
        assert_eq!(sent, expected);
        let mut answer = Vec::new();
        write::command_complete(&mut answer, b"LISTEN");
        answer.extend(told(b"a", b"it's \\ \"x\""));
        answer.extend(ready());
        let orders = reads(&mut listener, &answer);
        let [Order::Heard(heard), Order::RoundDone(Ok(()))] = &orders[..] else {
            panic!("{orders:?}");
        };
        assert_eq!((&*heard.channel, heard.process), (&b"a"[..], 7));
        assert_eq!(&*heard.payload, b"it's \\ \"x\"");
    }

    #[test]
    fn a_round_without_changes_is_a_sync() {
        let mut listener = set_up();
        assert_eq!(asks(&mut listener, &Round::default()), write::SYNC);
        assert!(matches!(
            reads(&mut listener, &ready())[..],
            [Order::RoundDone(Ok(()))]
        ));
    }

    #[test]
    fn an_error_ends_the_round_and_a_fatal_one_the_connection() {
        let mut listener = set_up();
        asks(&mut listener, &round(&["b"], &[]));
        let mut answer = Vec::new();
        write::error(&mut answer, "ERROR", "25006", "in recovery");
        answer.extend(ready());
        let orders = reads(&mut listener, &answer);
        let [Order::RoundDone(Err(refusal))] = &orders[..] else {
            panic!("{orders:?}");
        };
        assert!(matches!(&**refusal, Refusal::TargetRefused { code, .. } if **code == *"25006"));
        let mut last = Vec::new();
        write::error(&mut last, "FATAL", "57P01", "terminating");
        assert!(matches!(
            reads(&mut listener, &last)[..],
            [Order::Close(CloseReason::BackendGone)]
        ));
    }

    #[test]
    fn nothing_that_a_database_says_is_kept_beyond_bounds() {
        for bytes in [
            &b"A\x7f\0\0\0"[..],
            b"A\0\0\0\x05x",
            b"Z\0\0\0\x05I",
            b"C\0\0\0\0",
        ] {
            let mut listener = set_up();
            let orders = reads(&mut listener, bytes);
            assert!(matches!(
                orders[..],
                [Order::Close(CloseReason::BackendProtocol)]
            ));
        }
        let mut listener = set_up();
        let mut long = b"N\0\x02\0\0".to_vec();
        long.resize(1 + 0x0002_0000, b'x');
        assert!(reads(&mut listener, &long).is_empty());
        assert!(matches!(
            reads(&mut listener, &told(b"a", b"x"))[..],
            [Order::Heard(_)]
        ));
    }
}
