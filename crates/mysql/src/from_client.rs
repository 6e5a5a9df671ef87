//! A client's bytes while it has a backend: which command this is, what must go ahead of it, and what it will have done.
//!
//! A command waits for the answer to the one before, because what it means may depend on that. Texts are looked into as far as they are
//! bounded; longer ones pass, and leave the backend suspect.

mod execute;

use crate::backend::Backend;
use crate::engine::{Shared, change_user};
use crate::exchange::{Passing, Shape, Whose};
use crate::from_backend::is_last_word;
use crate::judging::{self, Asks, Becomes, Said, judge};
use crate::left_behind::{
    Asked, CLEAR, Conditions, Kind, Standing, asked, is_with_tables, is_without_tables,
    names_row_count,
};
use crate::login_cache::Work;
use crate::pinning::pin;
use crate::server::Family;
use crate::session::Session;
use crate::sql::{Dialect, Kill, Killed};
use crate::statements::{DATABASE, Statement};
use crate::wire::command;
use crate::wire::reply::ErrorPacket;
use crate::wire::response::RESPONSE_BYTES_MAX;
use crate::wire::{self, HEADER_BYTES, Header, write};
use forebay_core::engine::PROCESS_MIN;
use forebay_core::orders::{CancelKey, Order, Orders};
use forebay_core::{CloseReason, Instant, PinReason, Refusal};
use std::sync::Arc;

/// Longest text that is looked into.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// The first of the numbers that clients are shown in place of a server's own.
const OWN_NUMBERS: u64 = PROCESS_MIN as u64;

/// One look at a client's bytes.
pub struct FromClient<'a> {
    /// The worker's.
    pub shared: &'a mut Shared,
    /// Whose bytes.
    pub session: &'a mut Session,
    /// Its backend.
    pub backend: &'a mut Backend,
    /// When they came.
    pub now: Instant,
    /// What is to be done.
    pub orders: &'a mut Orders<Work>,
    /// The command that is looked at.
    pub kind: u8,
}

impl FromClient<'_> {
    /// Looks at all that may go on its way now.
    pub fn run(&mut self, input: &[u8]) {
        let mut input = input;
        while !input.is_empty() {
            let used = if self.backend.exchange.from_client.is_some() {
                self.pass(input)
            } else if self.backend.exchange.wants_file() {
                self.file(input)
            } else if self.backend.holding || self.backend.exchange.is_client_due() {
                if !self.backend.exchange.is_client_due() {
                    // Should it never be sent, whatever is said answers it.
                    self.session.begin(self.orders);
                }
                None
            } else {
                self.command(input)
            };
            match used {
                Some(used) => input = &input[used..],
                None => return,
            }
        }
    }

    /// More of a message that passes.
    fn pass(&mut self, input: &[u8]) -> Option<usize> {
        let passing = self.backend.exchange.from_client.as_mut()?;
        if passing.left > 0 {
            let now = passing.left.min(input.len());
            passing.left -= now;
            let is_ignored = passing.is_ignored;
            if passing.left == 0 && !passing.continues {
                self.backend.exchange.from_client = None;
                self.backend.may_part |= is_ignored;
            }
            match is_ignored {
                true => self.orders.swallow(now),
                false => self.orders.forward(now),
            }
            return Some(now);
        }
        let header = wire::header(input)?;
        *passing = Passing {
            left: header.len,
            continues: header.is_continued(),
            ..*passing
        };
        Some(0)
    }

    /// Forwards a message whose first packet has this header, as much of it as is here.
    fn forward(&mut self, header: Header, input: &[u8]) -> usize {
        self.forward_rest(header, 0, input)
    }

    /// The same where the packet's first bytes are dealt with.
    fn forward_rest(&mut self, header: Header, done: usize, input: &[u8]) -> usize {
        let here = header.len.min(input.len());
        self.orders.forward(here - done);
        if here < header.len || header.is_continued() {
            self.backend.exchange.from_client = Some(Passing {
                left: header.len - here,
                continues: header.is_continued(),
                is_ignored: false,
            });
        }
        here
    }

    /// A packet of a file that the server asked for; an empty one ends it.
    fn file(&mut self, input: &[u8]) -> Option<usize> {
        let header = wire::header(input)?;
        if header.len == HEADER_BYTES {
            if let Some(due) = self.backend.exchange.front_mut() {
                due.reading.on_file_sent();
            }
            self.session.sequence = header.sequence.wrapping_add(1);
            self.orders.forward(HEADER_BYTES);
            return Some(HEADER_BYTES);
        }
        let here = header.len.min(input.len());
        self.orders.forward(here);
        if here < header.len {
            self.backend.exchange.from_client = Some(Passing {
                left: header.len - here,
                continues: false,
                is_ignored: false,
            });
        }
        Some(here)
    }

    /// The start of a command.
    fn command(&mut self, input: &[u8]) -> Option<usize> {
        let header = wire::header(input)?;
        if header.len == HEADER_BYTES {
            self.refuse(Refusal::ProtocolViolation("an empty command"));
            return None;
        }
        let kind = *input.get(HEADER_BYTES)?;
        if header.sequence != 0 {
            self.refuse(Refusal::ProtocolViolation("packets out of order"));
            return None;
        }
        self.session.begin(self.orders);
        self.backend.may_part = false;
        self.kind = kind;
        if self.backend.give_error.is_some() {
            return self.give_error(header, input);
        }
        match kind {
            command::QUERY => self.query(header, input),
            command::INIT_DB => self.init_db(header, input),
            command::STMT_PREPARE => self.prepare(header, input),
            command::STMT_EXECUTE
            | command::STMT_SEND_LONG_DATA
            | command::STMT_RESET
            | command::STMT_FETCH
            | command::STMT_CLOSE => self.statement(kind, header, input),
            command::RESET_CONNECTION => self.reset(header, input),
            command::CHANGE_USER => self.change_user(header, input),
            command::PROCESS_KILL => self.process_kill(header, input),
            command::QUIT => {
                self.backend.may_part = false;
                self.orders.push(Order::Close(CloseReason::ClientQuit));
                None
            }
            command::PING | command::DEBUG | command::REFRESH => {
                Some(self.send(header, input, Shape::Simple, Said::default()))
            }
            command::SET_OPTION => {
                let said = Said {
                    pins: vec![PinReason::UntrackedSetting],
                    ..Said::default()
                };
                Some(self.send(header, input, Shape::Simple, said))
            }
            command::STATISTICS => Some(self.send(header, input, Shape::Text, Said::default())),
            command::FIELD_LIST => Some(self.send(header, input, Shape::Columns, Said::default())),
            command::PROCESS_INFO => {
                Some(self.send(header, input, Shape::Results, Said::default()))
            }
            _ => Some(self.answer_error(header, input, 1047, b"Unknown command")),
        }
    }

    /// Sends a command that does one thing.
    fn send(&mut self, header: Header, input: &[u8], shape: Shape, said: Said) -> usize {
        self.expect(shape, [said]);
        self.forward(header, input)
    }

    /// A command of the client's is on its way.
    fn expect(&mut self, shape: Shape, said: impl IntoIterator<Item = Said>) {
        self.orders.push(Order::Requests(1));
        self.backend.said.clear();
        self.backend.said.extend(said);
        self.backend.asked_at = self.now;
        self.backend.kind = Kind {
            is_plain_query: false,
            leaves_found_rows: true,
            leaves_conditions: true,
            clears_conditions: false,
        };
        self.backend.exchange.push(Whose::Client, shape);
    }

    /// What a command says behind its first byte, once all of it is here.
    fn whole<'i>(&mut self, header: Header, input: &'i [u8]) -> Option<&'i [u8]> {
        let argument = input.get(HEADER_BYTES + 1..header.len);
        if argument.is_none() {
            self.orders.push(Order::Need(header.len));
        }
        argument
    }

    fn query(&mut self, header: Header, input: &[u8]) -> Option<usize> {
        if header.len - HEADER_BYTES - 1 > TEXT_BYTES_MAX {
            let said = Said {
                is_opaque: true,
                ..Said::default()
            };
            self.session.suspect(self.backend);
            return Some(self.send(header, input, Shape::Results, said));
        }
        let text = self.whole(header, input)?;
        let dialect = self.dialect();
        let said = self.looked_up(judge(text, dialect), dialect);
        if let [only] = &*said
            && let Some(kill) = only.kills
            && let Some(used) = self.kill(kill, header)
        {
            return Some(used);
        }
        if let Some(used) = self.prepare_for(&said, Some(text), header, input) {
            return Some(used);
        }
        self.backend.shape_text = (!said.is_empty()).then(|| (text.into(), dialect));
        let kind = self.kind_of(text);
        self.expect(Shape::Results, said.iter().cloned());
        self.backend.kind = kind;
        Some(self.forward(header, input))
    }

    /// How the server reads the session's texts now.
    fn dialect(&self) -> Dialect {
        let settings = self.session.settings.map();
        judging::dialect(self.backend.server, settings, &self.backend.beginning)
    }

    /// The same, where `EXECUTE` is what it runs.
    fn looked_up(&self, said: Arc<[Said]>, dialect: Dialect) -> Arc<[Said]> {
        let [only] = &*said else {
            return said;
        };
        let Some((name, statement)) = &only.executes else {
            return said;
        };
        let Some(body) = self.session.named(name) else {
            return said;
        };
        [judging::of_statement(&statement.executing(&body), dialect)].into()
    }

    /// What must go ahead of statements that do this; how much was dealt with if they were answered with an error instead.
    fn prepare_for(
        &mut self,
        said: &[Said],
        text: Option<&[u8]>,
        header: Header,
        input: &[u8],
    ) -> Option<usize> {
        // What a further statement of the same command asks for is left by the one ahead of it.
        if said.first().is_some_and(Said::asks_left_behind) && !self.brings(said[0].asks, text) {
            self.session.reads_left_behind = true;
            return Some(self.answer_error(
                header,
                input,
                1105,
                b"What the last statement left behind is not here any more; it is kept from now on, try again",
            ));
        }
        if said.iter().any(|said| said.asks.last_insert_id) {
            self.session.reads_insert_ids = true;
            let owner = self.backend.insert_id_of;
            let known = self.session.last_insert_id;
            let mark = Some(self.session.insert_id_mark());
            if owner != mark && (owner.is_some() || known.is_some()) {
                self.backend.insert_id_of = mark;
                let id = *self.session.last_insert_id.get_or_insert(0);
                let set = format!("SET @@session.last_insert_id={id}");
                self.orders
                    .to_backend(|out| write::query(out, set.as_bytes()));
                self.backend.exchange.push(Whose::Replay, Shape::Simple);
            }
        }
        if said.iter().any(|said| said.is_opaque) {
            self.session.suspect(self.backend);
            let left = &self.session.left;
            let is_own = left.conditions == Conditions::There && self.backend.last == left.mark;
            if self.backend.is_warned && !is_own {
                // Code may look at them.
                self.clear();
            }
        }
        None
    }

    /// Makes what the session's last statement left be what the next one finds. Whether it can.
    fn brings(&mut self, asks: Asks, text: Option<&[u8]>) -> bool {
        let left = &self.session.left;
        // GET DIAGNOSTICS can ask for it, too.
        let names_count = text.is_some_and(names_row_count);
        let is_diagnostics = asks.conditions && !asks.counts && names_count;
        let asks = Asks {
            counts: asks.counts || is_diagnostics,
            ..asks
        };
        let is_home = left.mark.is_some() && self.backend.last == left.mark;
        let has_counts = !asks.counts || is_home && self.backend.has_counts && !left.is_newer;
        let has_conditions = !asks.conditions
            || match left.conditions {
                Conditions::There => is_home,
                Conditions::None => !self.backend.is_warned,
                Conditions::Known(_) | Conditions::Lost => false,
            };
        if has_counts && has_conditions {
            return true;
        }
        let asked = text.and_then(|text| {
            // Where others follow, the packets behind must keep their numbers: a row for a row.
            let first = || asked(text.split(|byte| *byte == b';').next()?);
            asked(text).or_else(|| first().filter(|it| matches!(it, Asked::Values(_))))
        });
        if let Some(rows) = asked.and_then(|asked| left.rows(&asked)) {
            self.backend.standing = Some(Standing { rows, left_out: 0 });
            return true;
        }
        if !has_counts && !is_diagnostics {
            return false;
        }
        let row_count = left.row_count;
        match (&left.conditions, left.signal()) {
            (Conditions::None, _) if !asks.counts || matches!(row_count, -1 | 0) => {
                self.clear();
                if asks.counts && row_count == 0 {
                    self.orders.to_backend(|out| write::query(out, b"DO 0"));
                    self.backend.exchange.push(Whose::Replay, Shape::Simple);
                }
            }
            (_, Some(signal)) if !asks.counts || row_count == signal.row_count => {
                self.orders
                    .to_backend(|out| write::query(out, signal.text.as_bytes()));
                self.backend.exchange.push(Whose::Signal, Shape::Simple);
                self.backend.has_counts = false;
            }
            _ => return false,
        }
        true
    }

    /// Clears the conditions on the backend.
    fn clear(&mut self) {
        self.orders.to_backend(|out| write::query(out, CLEAR));
        self.backend.exchange.push(Whose::Replay, Shape::Results);
        self.backend.is_warned = false;
        self.backend.has_counts = false;
    }

    /// What kind of a statement this is.
    fn kind_of(&self, text: &[u8]) -> Kind {
        let is_mariadb = self.backend.server.family == Family::MariaDb;
        let has_conditions =
            self.session.left.conditions != Conditions::None || self.backend.is_warned;
        let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
        let first = first.map_or(0, u8::to_ascii_lowercase);
        Kind {
            is_plain_query: !matches!(first, b'a' | b'c'..=b'e' | b'h'),
            leaves_found_rows: false,
            leaves_conditions: has_conditions && is_mariadb && is_without_tables(text),
            clears_conditions: has_conditions && (!is_mariadb || is_with_tables(text)),
        }
    }

    fn init_db(&mut self, header: Header, input: &[u8]) -> Option<usize> {
        let name = self.whole(header, input)?;
        let Ok(name) = std::str::from_utf8(name) else {
            return Some(self.answer_error(header, input, 1049, b"Unknown database"));
        };
        Some(self.send(header, input, Shape::Simple, Said::chooses(name)))
    }

    fn prepare(&mut self, header: Header, input: &[u8]) -> Option<usize> {
        if header.len - HEADER_BYTES - 1 > TEXT_BYTES_MAX {
            return Some(self.answer_error(
                header,
                input,
                1105,
                b"A statement of more than 1 MiB cannot be prepared through the proxy",
            ));
        }
        let text = self.whole(header, input)?;
        if !self.session.prepared.has_room(text.len()) {
            return Some(self.answer_error(
                header,
                input,
                1461,
                b"Can't create more than max_prepared_stmt_count statements",
            ));
        }
        let said = judge(text, self.dialect());
        let statement = Statement::new(&self.shared.hasher, text, &self.session.settings);
        let kind = self.kind_of(text);
        self.backend.preparing = Some((statement, said));
        self.expect(Shape::Prepare, []);
        self.backend.kind = kind;
        Some(self.forward(header, input))
    }

    fn reset(&mut self, header: Header, input: &[u8]) -> Option<usize> {
        // The database stays; all else begins anew.
        self.backend.resets = true;
        Some(self.send(header, input, Shape::Simple, Said::default()))
    }

    /// The session ends, and another begins on the same connection: it parts with its backend and logs in anew.
    fn change_user(&mut self, header: Header, input: &[u8]) -> Option<usize> {
        if header.len > HEADER_BYTES + RESPONSE_BYTES_MAX {
            self.refuse(Refusal::ProtocolViolation("a malformed command"));
            return None;
        }
        self.whole(header, input)?;
        let payload = &input[HEADER_BYTES..header.len];
        self.orders.swallow(header.len);
        self.backend.may_part = false;
        // Whatever is open on it ends with it: a backend that is not clean is closed.
        self.orders.push(Order::Release);
        change_user(self.shared, self.session, payload, self.orders);
        None
    }

    fn process_kill(&mut self, header: Header, input: &[u8]) -> Option<usize> {
        let bytes = self.whole(header, input)?;
        let Some(&number) = bytes.first_chunk() else {
            self.refuse(Refusal::ProtocolViolation("a malformed command"));
            return None;
        };
        let number = u64::from(u32::from_le_bytes(number));
        if number < OWN_NUMBERS {
            return Some(self.send(header, input, Shape::Simple, Said::default()));
        }
        self.orders.swallow(header.len);
        self.ask_cancel(number, true);
        Some(header.len)
    }

    /// `KILL` of a number that a client of ours was shown. None where it is the server's to do.
    fn kill(&mut self, kill: Kill, header: Header) -> Option<usize> {
        let Killed::Connection(number) = kill.whom else {
            return None;
        };
        if number < OWN_NUMBERS || u32::try_from(number).is_err() {
            return None;
        }
        self.orders.swallow(header.len);
        self.ask_cancel(number, !kill.query_only);
        Some(header.len)
    }

    fn ask_cancel(&mut self, number: u64, ends: bool) {
        self.orders.push(Order::Requests(1));
        self.session.killing = Some(number);
        self.orders.push(Order::Cancel(Box::new(CancelKey {
            process: u32::try_from(number).unwrap_or(0),
            secret: self.session.user.as_bytes().to_vec(),
            ends,
        })));
    }

    /// What went ahead of this command failed: that is its answer.
    fn give_error(&mut self, header: Header, input: &[u8]) -> Option<usize> {
        let error = self.backend.give_error.take()?;
        let used = self.ignore(header, input);
        self.orders.push(Order::Requests(1));
        if !is_last_word(&error) {
            self.session.left.on_answered(&error);
        }
        self.orders.to_client(|out| {
            write::packet(out, 1, |out| out.extend_from_slice(&error));
        });
        self.answered();
        Some(used)
    }

    /// Swallows a message whose first packet has this header, as much of it as is here; the rest follows.
    fn ignore(&mut self, header: Header, input: &[u8]) -> usize {
        let here = header.len.min(input.len());
        self.orders.swallow(here);
        if here < header.len || header.is_continued() {
            self.backend.exchange.from_client = Some(Passing {
                left: header.len - here,
                continues: header.is_continued(),
                is_ignored: true,
            });
        }
        here
    }

    /// Answers a command with an error of ours, and swallows it.
    fn answer_error(&mut self, header: Header, input: &[u8], code: u16, message: &[u8]) -> usize {
        self.orders.push(Order::Requests(1));
        let used = self.ignore(header, input);
        let mut packet = Vec::new();
        ErrorPacket {
            code,
            state: Some(*b"HY000"),
            message,
        }
        .write(&mut packet, 1);
        self.session.left.on_answered(&packet[HEADER_BYTES..]);
        self.orders.to_client(|out| out.extend_from_slice(&packet));
        self.answered();
        used
    }

    /// Answers a command with an OK packet of ours.
    fn answer_ok(&mut self) {
        let status = self.backend.exchange.status;
        self.session.write_ok(status, self.orders);
        self.answered();
    }

    /// A command was answered by us.
    fn answered(&mut self) {
        self.orders.push(Order::Answered { since: self.now });
        self.session.sequence = 0;
        self.backend.may_part = true;
    }

    fn refuse(&mut self, refusal: Refusal) {
        // It is not the client's any more: another may have it by then.
        self.backend.may_part = false;
        self.orders.refuse(refusal);
    }

    fn pin(&mut self, reason: PinReason) {
        pin(self.session, self.backend, reason, || None);
    }
}

/// What a client's command without a text may be said to do.
impl Said {
    fn chooses(database: &str) -> Said {
        let value = forebay_core::settings::Value::Literal(database.into());
        Said {
            changes: vec![(DATABASE.into(), Becomes::Value(value))],
            ..Said::default()
        }
    }
}
