//! Commands about a prepared statement: they carry a number of the client's, which is replaced by the server's where the statement is on
//! this backend, and prepared again first where it is not.

use super::FromClient;
use crate::engine::send;
use crate::exchange::{Shape, Whose};
use crate::judging::Said;
use crate::server::Family;
use crate::session::Session;
use crate::statements::{DATABASE, Given, MEANING, Statement};
use crate::tracking::{self, There};
use crate::wire::statement::{self, Execute};
use crate::wire::{HEADER_BYTES, Header, PAYLOAD_BYTES_MAX, command};
use forebay_core::PinReason;
use forebay_core::orders::Order;
use forebay_core::settings::Map;
use std::sync::Arc;

/// The session's settings, but those that give texts their meaning as they were when this was prepared. There is no way out of a
/// database; what was prepared in none names its tables in full.
fn meant(session: &Session, given: &Given) -> Map {
    let mut map = session.settings.map().clone();
    for name in MEANING {
        match given.meant.map().get(name) {
            Some(value) => {
                map.insert(name.into(), value.clone());
            }
            None if name == DATABASE => {}
            None => {
                map.remove(name);
            }
        }
    }
    map
}

/// Header, command and number.
const NUMBERED: usize = HEADER_BYTES + 5;

impl FromClient<'_> {
    pub(super) fn statement(&mut self, kind: u8, header: Header, input: &[u8]) -> Option<usize> {
        if header.len < NUMBERED {
            self.refuse(forebay_core::Refusal::ProtocolViolation(
                "a malformed command",
            ));
            return None;
        }
        let number = input.get(HEADER_BYTES + 1..NUMBERED)?;
        let id = u32::from_le_bytes(number.try_into().expect("four bytes"));
        let is_mariadb = self.backend.server.family == Family::MariaDb;
        let id = self.session.prepared.resolve(id, is_mariadb);
        let Some(given) = self.session.prepared.get(id) else {
            return self.unknown(kind, id, header, input);
        };
        let statement = given.statement.clone();
        if kind == command::STMT_CLOSE {
            return Some(self.close(id, &statement, header, input));
        }
        let Some(on) = self.backend.prepared.used(&statement).copied() else {
            if kind == command::STMT_RESET {
                self.orders.push(Order::Requests(1));
                let used = self.ignore(header, input);
                self.answer_ok();
                return Some(used);
            }
            self.prepare_again(id, &statement);
            return None;
        };
        match kind {
            command::STMT_EXECUTE => self.execute(id, on.id, header, input),
            command::STMT_SEND_LONG_DATA => {
                self.pin(PinReason::Cursor);
                self.session.add_cursor(id);
                self.renumber(on.id, header);
                Some(self.forward_rest(header, NUMBERED, input).max(NUMBERED))
            }
            command::STMT_RESET => {
                self.session.remove_cursor(id);
                self.expect(Shape::Simple, [Said::default()]);
                self.renumber(on.id, header);
                Some(self.forward_rest(header, NUMBERED, input))
            }
            _ => {
                self.expect(Shape::Rows, [Said::default()]);
                self.backend.executing = Some(id);
                self.renumber(on.id, header);
                Some(self.forward_rest(header, NUMBERED, input))
            }
        }
    }

    /// The start of the message with the server's number in place of the client's.
    fn renumber(&mut self, server_id: u32, header: Header) {
        self.renumber_as(server_id, header, header.len);
    }

    /// The same for a message of another length, of one packet.
    fn renumber_as(&mut self, server_id: u32, header: Header, len: usize) {
        let kind = self.kind;
        self.orders.swallow(NUMBERED);
        let len = u32::try_from(len - HEADER_BYTES).expect("a packet's length has 24 bits");
        self.orders.to_backend(|out| {
            out.extend_from_slice(&len.to_le_bytes()[..3]);
            out.push(header.sequence);
            out.push(kind);
            out.extend_from_slice(&server_id.to_le_bytes());
        });
    }

    /// A number that nobody was given.
    fn unknown(&mut self, kind: u8, id: u32, header: Header, input: &[u8]) -> Option<usize> {
        if matches!(kind, command::STMT_CLOSE | command::STMT_SEND_LONG_DATA) {
            // Neither is answered.
            self.backend.may_part = true;
            return Some(self.ignore(header, input));
        }
        let what = match kind {
            command::STMT_EXECUTE => "mysqld_stmt_execute",
            command::STMT_FETCH => "mysqld_stmt_fetch",
            _ => "mysqld_stmt_reset",
        };
        let message = format!("Unknown prepared statement handler ({id}) given to {what}");
        Some(self.answer_error(header, input, 1243, message.as_bytes()))
    }

    fn close(&mut self, id: u32, statement: &Statement, header: Header, input: &[u8]) -> usize {
        self.session.prepared.remove(id);
        let used = self.ignore(header, input);
        if self.session.remove_cursor(id) {
            // Its cursor ends with it.
            if let Some(server_id) = self.backend.prepared.remove(statement) {
                self.orders
                    .to_backend(|out| statement::close(out, server_id));
            }
        }
        self.backend.may_part = true;
        used
    }

    /// The statement is not on this backend: the client's command waits until it is.
    fn prepare_again(&mut self, id: u32, statement: &Statement) {
        let text = &statement.text;
        let means = self
            .session
            .prepared
            .get(id)
            .map(|given| meant(self.session, given));
        let now = Arc::clone(&self.session.settings);
        if let Some(means) = &means {
            self.change(now.map(), means);
        }
        self.orders.to_backend(|out| statement::prepare(out, text));
        self.backend
            .exchange
            .push(Whose::Prepare(id), Shape::Prepare);
        if let Some(means) = &means {
            self.change(means, now.map());
        }
        self.backend.holding = true;
        self.backend.last = None;
        self.orders.push(Order::Reprepared);
    }

    /// Makes the backend hold the one instead of the other, for a moment: what differs is what gives texts their meaning.
    fn change(&mut self, from: &Map, to: &Map) {
        let there = There {
            map: from,
            in_doubt: false,
            beginning: &self.backend.beginning,
            has_init_query: false,
            tracks: false,
            stays: true,
            resets_charsets: false,
        };
        let replay = tracking::replay(&there, to);
        send(&replay, &mut self.backend.exchange, self.orders);
    }

    /// Types that the client has sent before are sent along where this backend had another's last.
    fn execute(&mut self, id: u32, server_id: u32, header: Header, input: &[u8]) -> Option<usize> {
        let given = self.session.prepared.get(id)?;
        let parameters = usize::from(given.parameters);
        let said = Arc::clone(&given.said);
        // Flags and the number of iterations, which is 1; behind them a bit for each parameter that is NULL.
        let flag_at = NUMBERED + 5 + parameters.div_ceil(8);
        let types_at = flag_at + 1;
        let wanted = match parameters {
            0 => NUMBERED,
            _ => types_at + 2 * parameters,
        };
        if input.len() < wanted.min(header.len) {
            self.orders.push(Order::Need(wanted.min(header.len)));
            return None;
        }
        let payload = &input[HEADER_BYTES..input.len().min(header.len)];
        let mut known = None;
        let number = self.session.types_sent.wrapping_add(1);
        // One that is malformed is the server's to refuse.
        match Execute::read(payload, given.parameters) {
            Ok(Execute {
                types: Some(types), ..
            }) => {
                let given = self.session.prepared.get_mut(id)?;
                if given.types.as_deref() != Some(types) {
                    given.types = Some(types.into());
                    given.types_number = number;
                    self.session.types_sent = number;
                }
            }
            Ok(_) if parameters > 0 => known = given.types.clone(),
            Ok(_) | Err(_) => {}
        }
        let given = self.session.prepared.get(id)?;
        let statement = given.statement.clone();
        let owner = Some((self.session.id, given.types_number));
        let on = self.backend.prepared.used(&statement)?;
        let is_own = std::mem::replace(&mut on.types_of, owner) == owner;
        if let Some(used) = self.prepare_for(&said, None, header, input) {
            return Some(used);
        }
        self.backend.executing = Some(id);
        let kind = self.kind_of(&statement.text);
        self.expect(Shape::Results, said.iter().cloned());
        self.backend.kind = kind;
        let Some(types) = known.filter(|_| !is_own) else {
            self.renumber(server_id, header);
            return Some(self.forward_rest(header, NUMBERED, input));
        };
        let len = header.len + types.len();
        if len - HEADER_BYTES >= PAYLOAD_BYTES_MAX || header.is_continued() {
            self.refuse(forebay_core::Refusal::FeatureNotSupported(
                "parameters of 16 MiB are not moved to another connection without their types",
            ));
            return None;
        }
        self.renumber_as(server_id, header, len);
        let before = flag_at - NUMBERED;
        self.orders.forward(before);
        self.orders.swallow(1);
        self.orders.to_backend(|out| {
            out.push(1);
            out.extend_from_slice(&types);
        });
        Some(self.forward_rest(header, types_at, input))
    }
}
