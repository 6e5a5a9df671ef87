//! A backend's bytes: whose answer they are, where it ends, what it says of the session, and whether the backend may serve another then.

use crate::backend::{Backend, Mark};
use crate::engine::{Shared, finish_admission, roll_back};
use crate::exchange::{Read, Shape, Told, Whose};
use crate::judging::{Becomes, Said, dialect, shape};
use crate::left_behind::{Conditions, Counts, Kind, SHOW, Standing};
use crate::login_cache::Work;
use crate::parting;
use crate::pinning::{self, keep, pin, unpin};
use crate::server::Family;
use crate::session::Session;
use crate::statements::{DATABASE, Given};
use crate::told::{Heard, Listener, heard, retell};
use crate::tracking;
use crate::wire::command;
use crate::wire::read::Fields;
use crate::wire::reply::{self, EofPacket, ErrorPacket};
use crate::wire::statement;
use crate::wire::status::Status;
use crate::wire::{self, HEADER_BYTES, Header, write};
use forebay_core::orders::{Order, Orders};
use forebay_core::settings::{Interner, Map};
use forebay_core::{CloseReason, PinReason};
use std::sync::Arc;

/// One look at a backend's bytes.
pub struct FromBackend<'a> {
    /// The worker's.
    pub shared: &'a mut Shared,
    /// Whose bytes.
    pub backend: &'a mut Backend,
    /// Its leaseholder.
    pub session: Option<&'a mut Session>,
    /// What is to be done.
    pub orders: &'a mut Orders<Work>,
}

impl FromBackend<'_> {
    /// Looks at all that is here.
    pub fn run(&mut self, input: &[u8]) {
        let mut input = input;
        while !input.is_empty() {
            if self.backend.exchange.from_backend_left > 0 {
                let now = self.backend.exchange.from_backend_left.min(input.len());
                self.backend.exchange.from_backend_left -= now;
                self.pass(now);
                self.is_midway(self.backend.exchange.from_backend_left > 0);
                input = &input[now..];
                continue;
            }
            let Some(header) = wire::header(input) else {
                return;
            };
            if input.len() == HEADER_BYTES && header.len > HEADER_BYTES {
                return;
            }
            let here = header.len.min(input.len());
            let payload = &input[HEADER_BYTES..here];
            let capabilities = self.backend.capabilities;
            let Some(due) = self.backend.exchange.front_mut() else {
                return self.unasked(header, payload);
            };
            let len = header.len - HEADER_BYTES;
            let is_kept = matches!(due.whose, Whose::ReadBack | Whose::Conditions);
            if is_kept && here < header.len && len <= SAYING_BYTES_MAX {
                return self.orders.push(Order::Need(header.len));
            }
            let was_row = due.reading.is_at_rows();
            match due.reading.on_packet(payload, len, capabilities) {
                Ok(Read::NeedsWhole) if len > SAYING_BYTES_MAX => {
                    return self
                        .orders
                        .push(Order::Bug("a packet that is too long for what it says"));
                }
                Ok(Read::NeedsWhole) => return self.orders.push(Order::Need(header.len)),
                Ok(read) => {
                    if !self.on_read(read, was_row, header, payload) {
                        return;
                    }
                    self.backend.exchange.from_backend_left = header.len - here;
                    if here < header.len {
                        self.is_midway(true);
                    }
                    input = &input[here..];
                }
                Err(error) => return self.orders.push(Order::Bug(error.as_str())),
            }
        }
    }

    /// Whether what comes is the client's.
    fn is_clients(&self) -> bool {
        let due = self.backend.exchange.front();
        due.is_none_or(|due| due.whose == Whose::Client)
    }

    /// Whether a packet has been passed on in part: there is no place for another before the rest.
    fn is_midway(&mut self, is_so: bool) {
        if let Some(session) = self.session.as_deref_mut() {
            session.is_midway = is_so && self.backend.passes;
        }
    }

    fn pass(&mut self, len: usize) {
        match self.backend.passes && self.session.is_some() {
            true => self.orders.forward(len),
            false => self.orders.swallow(len),
        }
    }

    /// A packet that nobody asked for: the server's last word.
    fn unasked(&mut self, header: Header, payload: &[u8]) {
        if payload.first() != Some(&reply::ERROR) {
            return self
                .orders
                .push(Order::Bug("an answer that nobody asked for"));
        }
        if payload.len() < header.len - HEADER_BYTES {
            return self.orders.push(Order::Need(header.len));
        }
        match self.session {
            Some(_) => {
                self.orders.forward(header.len);
                self.orders.push(Order::CloseBoth(CloseReason::BackendGone));
            }
            None => {
                self.orders.swallow(header.len);
                self.orders.push(Order::Close(CloseReason::BackendGone));
            }
        }
    }

    /// One packet of an answer, of which `payload` is here. False where nothing behind it is to be read now.
    fn on_read(&mut self, read: Read, was_row: bool, header: Header, payload: &[u8]) -> bool {
        let here = HEADER_BYTES + payload.len();
        self.backend.passes = self.is_clients();
        if !self.backend.passes {
            self.orders.swallow(here);
            return self.on_own(read, was_row, payload);
        }
        if let Some(session) = self.session.as_deref_mut() {
            session.sequence = header.sequence.wrapping_add(1);
        }
        if let Some(standing) = self.backend.standing.take() {
            return self.on_stood_for(standing, read, was_row, header, payload);
        }
        match read {
            Read::Prepared {
                id,
                parameters,
                ends,
            } => {
                self.on_prepared(id, parameters, header, payload);
                if ends {
                    self.end();
                }
            }
            Read::Passes | Read::File | Read::NeedsWhole => {
                self.pass_between(was_row, header, payload)
            }
            Read::Result(told) => {
                let heard = self.tell(&told, header, payload);
                self.on_told(&told, heard);
            }
            Read::Ends(told) => {
                let heard = self.tell(&told, header, payload);
                self.on_told(&told, heard);
                self.end();
            }
            Read::EndsSilent => {
                self.pass(here);
                self.end();
            }
            Read::Fails { .. } => {
                self.pass(here);
                self.on_failed(payload);
                self.end();
            }
        }
        true
    }

    /// Passes a packet that ends nothing. What has changed is not told in an EOF packet behind columns: Forebay alone wanted to know of it.
    fn pass_between(&mut self, was_row: bool, header: Header, payload: &[u8]) {
        let here = HEADER_BYTES + payload.len();
        let may_tell = payload.len() == EOF_BYTES && payload[0] == reply::EOF && !was_row;
        let tracks = self.session.as_deref().is_none_or(|session| session.tracks);
        let eof = (may_tell && !tracks).then(|| EofPacket::read(payload));
        match eof {
            Some(Ok(EofPacket { warnings, status }))
                if status.has(Status::SESSION_STATE_CHANGED) =>
            {
                self.orders.swallow(here);
                let status = status.without(Status::SESSION_STATE_CHANGED);
                self.orders.to_client(|out| {
                    EofPacket { warnings, status }.write(out, header.sequence);
                });
            }
            _ => self.pass(here),
        }
    }

    /// A packet of an answer whose rows are to be others.
    fn on_stood_for(
        &mut self,
        mut standing: Standing,
        read: Read,
        was_row: bool,
        header: Header,
        payload: &[u8],
    ) -> bool {
        let here = HEADER_BYTES + payload.len();
        match read {
            Read::Passes if was_row => {
                // Not the rest of it either.
                self.backend.passes = false;
                self.orders.swallow(here);
                standing.left_out = standing.left_out.wrapping_add(1);
                if let Some(session) = self.session.as_deref_mut() {
                    session.sequence = session.sequence.wrapping_sub(standing.left_out);
                }
                self.backend.standing = Some(standing);
            }
            Read::Passes => {
                self.pass(here);
                self.backend.standing = Some(standing);
            }
            Read::Ends(mut told) | Read::Result(mut told) => {
                let read_ends = matches!(read, Read::Ends(_));
                self.orders.swallow(here);
                let mut sequence = header.sequence.wrapping_sub(standing.left_out);
                self.orders.to_client(|out| {
                    for row in &standing.rows {
                        sequence = write::packet(out, sequence, |out| out.extend_from_slice(row));
                    }
                    write::packet(out, sequence, |out| out.extend_from_slice(payload));
                });
                told.rows = told.rows.map(|_| standing.rows.len() as u64);
                self.on_told(&told, Heard::default());
                if read_ends {
                    self.end();
                }
            }
            // An error, or no rows at all.
            _ => return self.on_read(read, was_row, header, payload),
        }
        true
    }

    /// The client's statement got its number from the server, and gets one of ours.
    fn on_prepared(&mut self, server_id: u32, parameters: u16, header: Header, payload: &[u8]) {
        let here = HEADER_BYTES + payload.len();
        self.orders.swallow(here);
        let (Some(session), Some((statement, said))) =
            (self.session.as_deref_mut(), self.backend.preparing.take())
        else {
            return;
        };
        if !self.backend.kind.leaves_conditions {
            session.left.conditions = Conditions::None;
        }
        self.backend.is_warned &= !self.backend.kind.clears_conditions;
        let id = session.prepared.insert(Given {
            statement: statement.clone(),
            meant: Arc::clone(&session.settings),
            parameters,
            types: None,
            types_number: 0,
            said,
        });
        if let Some(closed) = self.backend.prepared.insert(statement, server_id) {
            self.orders.to_backend(|out| statement::close(out, closed));
        }
        self.orders.to_client(|out| {
            let len = payload.len().to_le_bytes();
            out.extend_from_slice(&len[..3]);
            out.push(header.sequence);
            out.push(payload[0]);
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&payload[5..]);
        });
    }

    /// Passes an OK or EOF packet, less what the client has not asked to be told. What it reports.
    fn tell(&mut self, told: &Told, header: Header, payload: &[u8]) -> Heard {
        let here = HEADER_BYTES + payload.len();
        let Some(session) = self.session.as_deref() else {
            self.pass(here);
            return Heard::default();
        };
        let changed = told.status.has(Status::SESSION_STATE_CHANGED);
        let is_eof = payload.len() == EOF_BYTES;
        let unread = Heard {
            changed,
            ..Heard::default()
        };
        // What another's statement left in the status would have this client wait for results that nobody sends.
        let clean = told.status.without(Status::OF_STATEMENT);
        let due = self.backend.exchange.front();
        if clean != told.status && !changed && due.is_some_and(|due| due.reading.is_simple()) {
            self.orders.swallow(here);
            let mut packet = payload.to_vec();
            let at = match is_eof {
                true => 3,
                false => status_at(payload),
            };
            if let Some(status) = packet.get_mut(at..at + 2) {
                status.copy_from_slice(&clean.0.to_le_bytes());
            }
            self.orders.to_client(|out| {
                write::packet(out, header.sequence, |out| out.extend_from_slice(&packet));
            });
            return Heard::default();
        }
        let says = self.backend.said.front().and_then(|said| said.tracks);
        let tracks = says.unwrap_or(session.tracks);
        if is_eof && changed && !tracks {
            // What has changed is not told there; Forebay alone wanted to know of it.
            self.orders.swallow(here);
            let status = told.status.without(Status::SESSION_STATE_CHANGED);
            let warnings = told.warnings;
            self.orders.to_client(|out| {
                EofPacket { warnings, status }.write(out, header.sequence);
            });
            return unread;
        }
        if !changed || is_eof {
            self.pass(here);
            return unread;
        }
        let listener = Listener {
            capabilities: session.capabilities,
            wants_state_changes: tracks,
        };
        let capabilities = self.backend.capabilities;
        let Ok(heard) = heard(payload, capabilities, &listener) else {
            self.pass(here);
            return unread;
        };
        if !heard.differs {
            self.pass(here);
            return heard;
        }
        self.orders.swallow(here);
        self.orders.to_client(|out| {
            retell(payload, capabilities, &listener, header.sequence, out)
                .expect("it was read a moment ago");
        });
        heard
    }

    /// A result of the client's ended, with a report of a change or without.
    fn on_told(&mut self, told: &Told, heard: Heard) {
        self.backend.exchange.on_told(told);
        let said = self.backend.said.pop_front().unwrap_or_default();
        let Some(session) = self.session.as_deref_mut() else {
            return;
        };
        if std::mem::take(&mut self.backend.resets) {
            reset(&mut self.shared.settings, session, self.backend);
        }
        let dropped = heard.leaves_database;
        if !said.changes.is_empty() || dropped {
            let map = with_changes(
                session.settings.map(),
                &said.changes,
                dropped,
                &self.backend.beginning.globals,
            );
            if tracking::may_follow(&map) {
                session.settings = self.shared.settings.intern(map);
                self.backend.label = Arc::clone(&session.settings);
            } else {
                pin(session, self.backend, PinReason::UntrackedSetting, || None);
            }
        }
        self.backend.reading_back.add(&said.computed);
        if let Some(tracks) = said.tracks {
            session.tracks = tracks;
            // Forebay wants to be told in any case.
            self.backend.suspect = Some(Mark::NOBODY);
        }
        // The flag alone comes with the end of any database.
        let is_dropped = dropped && told.status.has(Status::DB_DROPPED);
        let is_late = heard.changed && std::mem::take(&mut self.backend.is_report_due);
        let unexplained = heard.changed && !is_dropped && (is_late || !said.explains());
        apply(session, self.backend, &said, unexplained);
        leave_behind(session, self.backend, &said, told);
        if let Some(id) = self.backend.executing.take() {
            follow_cursor(session, self.backend, id, told.status);
        }
    }

    /// The client's command failed. Whether code that it called has begun a transaction is not told.
    fn on_failed(&mut self, payload: &[u8]) {
        self.backend.is_warned = true;
        self.backend.standing = None;
        if let Some(session) = self.session.as_deref_mut() {
            match is_last_word(payload) {
                // What the server says of itself is no statement's.
                true => {}
                false => session.left.on_failed(payload),
            }
        }
        let exchange = &mut self.backend.exchange;
        let said = &self.backend.said;
        let may_begin = said.len() > 1 || said.iter().any(|said| said.is_opaque);
        let is_mariadb = self.backend.server.family == Family::MariaDb;
        let is_untold = is_mariadb && said.iter().any(|said| said.is_opaque || said.writes);
        let may_matter = is_mariadb && said.iter().any(|said| said.is_opaque);
        let is_sure = exchange.status.has(Status::AUTOCOMMIT) && !may_begin;
        let is_report_due = !is_mariadb && said.iter().any(|said| said.is_opaque);
        exchange.is_doubtful = !exchange.in_transaction() && !is_sure;
        self.backend.said.clear();
        if self.backend.preparing.take().is_some()
            && let Some(session) = self.session.as_deref_mut()
        {
            session.prepared.on_failed();
        }
        self.backend.resets = false;
        self.backend.executing = None;
        self.backend.is_report_due |= is_report_due;
        if is_untold && let Some(session) = self.session.as_deref_mut() {
            // What changed before the error is never told there.
            session.suspect(self.backend);
            if may_matter {
                pin(session, self.backend, PinReason::UnexplainedReport, || None);
            }
        }
    }

    /// The answer to a command of the client's ended.
    fn end(&mut self) {
        self.backend.exchange.pop();
        let since = self.backend.asked_at;
        self.orders.push(Order::Answered { since });
        if let Some(session) = self.session.as_deref_mut() {
            session.sequence = 0;
            session.turns = session.turns.wrapping_add(1);
            let mark = Mark {
                session: session.id,
                count: session.turns,
            };
            self.backend.last = Some(mark);
            self.backend.has_counts = true;
            session.left.mark = Some(mark);
        }
        if !self.backend.reading_back.is_empty() {
            return self.read_back();
        }
        boundary(self.session.as_deref_mut(), self.backend, self.orders);
    }

    /// Asks what settings are now; the client's next command waits for that, because they may decide how it is read.
    fn read_back(&mut self) {
        if let Some(session) = self.session.as_deref() {
            // The question would clear them.
            capture(session, self.backend, self.orders);
        }
        let query = self.backend.reading_back.query();
        self.orders
            .to_backend(|out| write::query(out, query.as_bytes()));
        self.backend.exchange.push(Whose::ReadBack, Shape::Results);
        self.backend.holding = true;
        self.backend.last = None;
    }

    /// A packet of the answer.
    fn on_read_back(&mut self, was_row: bool, payload: &[u8]) -> bool {
        if !was_row {
            return true;
        }
        let read = self.backend.reading_back.on_row(payload);
        if let Err(error) = read {
            self.orders.push(Order::Bug(error.as_str()));
        }
        read.is_ok()
    }

    /// What settings are now was said, or refused.
    fn follow(&mut self) {
        let asked = std::mem::take(&mut self.backend.reading_back);
        let Some(session) = self.session.as_deref_mut() else {
            self.backend.suspect = Some(Mark::NOBODY);
            return;
        };
        let settings = session.settings.map();
        let dialect = dialect(self.backend.server, settings, &self.backend.beginning);
        let map = asked.changes(dialect).map(|changes| {
            with_changes(settings, &changes, false, &self.backend.beginning.globals)
        });
        match map.filter(tracking::may_follow) {
            Some(map) => {
                session.settings = self.shared.settings.intern(map);
                self.backend.label = Arc::clone(&session.settings);
            }
            None => pin(session, self.backend, PinReason::UntrackedSetting, || None),
        }
    }

    /// A packet that answers what we asked ourselves. False where nothing behind it is to be read now.
    fn on_own(&mut self, read: Read, was_row: bool, payload: &[u8]) -> bool {
        let Some(whose) = self.backend.exchange.front().map(|due| due.whose) else {
            return false;
        };
        if matches!(read, Read::Fails { .. }) && is_last_word(payload) {
            self.orders.push(match self.session {
                Some(_) => Order::CloseBoth(CloseReason::BackendGone),
                None => Order::Close(CloseReason::BackendGone),
            });
            return false;
        }
        match (read, whose) {
            (Read::Passes, Whose::Conditions) => {
                if was_row {
                    self.backend.captured.add(payload);
                }
                return true;
            }
            (Read::Fails { .. }, Whose::Conditions) => self.backend.captured.fail(),
            (Read::Fails { .. }, Whose::Signal) => {}
            (Read::Fails { .. }, Whose::Parting) => self.backend.suspect = Some(Mark::NOBODY),
            (Read::Passes, Whose::ReadBack) => return self.on_read_back(was_row, payload),
            (Read::Passes | Read::Result(_) | Read::NeedsWhole | Read::File, _) => return true,
            (Read::Prepared { id, ends, .. }, Whose::Prepare(number)) => {
                self.on_prepared_again(number, id);
                if !ends {
                    return true;
                }
            }
            (Read::Fails { .. }, Whose::Prepare(_) | Whose::Database) => {
                self.backend.give_error = Some(payload.into());
            }
            (Read::Fails { .. }, Whose::Replay | Whose::Reset) => {
                return self.on_replay_failed(payload);
            }
            (Read::Fails { .. }, Whose::Status | Whose::Rollback) => {
                self.orders.push(Order::Bug(
                    "the database does not say whether a transaction is open",
                ));
                return false;
            }
            (Read::Ends(told), _) => {
                self.backend.exchange.on_told(&told);
                self.on_late_report(whose, &told);
            }
            _ => {}
        }
        self.backend.exchange.pop();
        self.on_own_done(whose)
    }

    /// What changed before an error is told with the OK packet that follows (MySQL), which may be an answer to us.
    fn on_late_report(&mut self, whose: Whose, told: &Told) {
        if matches!(whose, Whose::Status | Whose::Conditions)
            && told.status.has(Status::SESSION_STATE_CHANGED)
            && let Some(session) = self.session.as_deref_mut()
        {
            pin(session, self.backend, PinReason::UnexplainedReport, || None);
        }
    }

    fn on_own_done(&mut self, whose: Whose) -> bool {
        if self.backend.exchange.is_empty() {
            self.backend.holding = false;
        }
        // The client was answered by us meanwhile, and asks for nothing more.
        let parts = self.backend.exchange.is_empty() && std::mem::take(&mut self.backend.may_part);
        match whose {
            Whose::Conditions => {
                let captured = std::mem::take(&mut self.backend.captured);
                if let Some(session) = self.session.as_deref_mut() {
                    session.left.on_conditions(captured);
                }
                boundary(self.session.as_deref_mut(), self.backend, self.orders);
            }
            Whose::ReadBack => {
                self.follow();
                boundary(self.session.as_deref_mut(), self.backend, self.orders);
            }
            Whose::Status | Whose::Parting | Whose::Rollback => {
                boundary(self.session.as_deref_mut(), self.backend, self.orders);
            }
            Whose::Database | Whose::Replay | Whose::Reset => {
                if !self.backend.holding
                    && let Some(session) = self.session.as_deref_mut()
                {
                    finish_admission(&self.shared.workbench, session, self.backend, self.orders);
                }
                self.part(parts);
            }
            Whose::Prepare(_) | Whose::Signal | Whose::Client => self.part(parts),
        }
        true
    }

    fn part(&mut self, parts: bool) {
        if parts {
            boundary(self.session.as_deref_mut(), self.backend, self.orders);
        }
    }

    fn on_prepared_again(&mut self, number: u32, server_id: u32) {
        let given = self
            .session
            .as_deref()
            .and_then(|it| it.prepared.get(number));
        // Where its database could not be chosen it means something else.
        let is_right = self.backend.give_error.is_none();
        let given = given.filter(|_| is_right);
        let Some(statement) = given.map(|given| given.statement.clone()) else {
            return self
                .orders
                .to_backend(|out| statement::close(out, server_id));
        };
        if let Some(closed) = self.backend.prepared.insert(statement, server_id) {
            self.orders.to_backend(|out| statement::close(out, closed));
        }
    }

    /// Values that were accepted before are refused now: nobody can be served here.
    fn on_replay_failed(&mut self, payload: &[u8]) -> bool {
        let is_waiting = !self.backend.exchange.is_client_due();
        if is_waiting {
            // Nothing of the client's ran: it hears why.
            self.backend.give_error = Some(payload.into());
            self.backend.suspect = Some(Mark::NOBODY);
            self.backend.exchange.pop();
            if self.backend.exchange.is_empty() {
                self.backend.holding = false;
            }
            return true;
        }
        let error = ErrorPacket::read(payload);
        let what = match error {
            Ok(_) => "the database refused a setting that it had accepted before",
            Err(_) => "the database refused a setting in a way that cannot be read",
        };
        self.orders.push(Order::Bug(what));
        false
    }
}

/// Whether a server closes the connection behind this error: there is nobody left to be asked. Its shutdown; a killed connection, of both
/// families; one that was idle for too long (mysqld_error.h: `ER_SERVER_SHUTDOWN`, `ER_CONNECTION_KILLED`, `ER_SESSION_WAS_KILLED`,
/// `ER_CLIENT_INTERACTION_TIMEOUT`).
pub fn is_last_word(payload: &[u8]) -> bool {
    let code = ErrorPacket::read(payload).map_or(0, |error| error.code);
    matches!(code, 1053 | 1927 | 3169 | 4031)
}

/// Longest packet that is kept to be read: a report of every variable of a server is far shorter.
const SAYING_BYTES_MAX: usize = 1024 * 1024;

/// Most temporary tables of one session whose names are kept.
const HELD_MAX: usize = 10_000;

/// Length of an EOF packet's payload.
const EOF_BYTES: usize = 5;

/// A command is over, or there was none: what pins is told, and a backend that nothing keeps is released.
pub fn boundary(session: Option<&mut Session>, backend: &mut Backend, orders: &mut Orders<Work>) {
    if !backend.exchange.is_empty() || backend.holding {
        return;
    }
    // Whoever has a transaction or a pin keeps the backend with what is on it.
    let may_part = backend.exchange.is_doubtful
        || !backend.exchange.in_transaction()
            && session.as_deref().is_some_and(|it| it.pins.is_empty());
    if may_part
        && let Some(session) = session.as_deref()
        && capture(session, backend, orders)
    {
        return;
    }
    if backend.exchange.is_doubtful {
        backend.exchange.push(Whose::Status, Shape::Simple);
        backend.has_counts = false;
        return orders.to_backend(|out| write::command(out, command::PING, b""));
    }
    let Some(session) = session else {
        if backend.exchange.is_clean() {
            if !parting::part(backend, orders) {
                orders.push(Order::Release);
            }
        } else if backend.exchange.in_transaction() {
            roll_back(&mut backend.exchange, orders);
        }
        return;
    };
    pinning::tell(session, backend, orders);
    parting::tell_limit(session, orders);
    if backend.exchange.is_clean()
        && session.pins.is_empty()
        && backend.give_error.is_none()
        && !parting::part(backend, orders)
    {
        session.status = backend.exchange.status.without(Status::OF_STATEMENT);
        orders.push(Order::Release);
    }
}

/// Asks for the conditions that the session's last statement left here, ahead of what would clear them. Whether there may be any.
fn capture(session: &Session, backend: &mut Backend, orders: &mut Orders<Work>) -> bool {
    if session.left.conditions != Conditions::There || backend.last != session.left.mark {
        return false;
    }
    orders.to_backend(|out| write::query(out, SHOW));
    backend.exchange.push(Whose::Conditions, Shape::Results);
    backend.has_counts = false;
    true
}

/// Where an OK packet has its status: behind two length-encoded numbers.
fn status_at(payload: &[u8]) -> usize {
    let mut fields = Fields(&payload[1..]);
    let numbers = (fields.number(), fields.number());
    debug_assert!(numbers.0.is_ok() && numbers.1.is_ok(), "it was read before");
    payload.len() - fields.0.len()
}

/// The settings with these changes, where the server's own values of these differ from what sessions begin with.
fn with_changes(map: &Map, changes: &[(Box<str>, Becomes)], dropped: bool, globals: &Map) -> Map {
    let mut map = map.clone();
    for (name, value) in changes {
        let value = match value {
            Becomes::Value(value) => Some(value),
            Becomes::Default => globals.get(name),
            Becomes::Nothing => None,
        };
        match value {
            Some(value) => map.insert(name.clone(), value.clone()),
            None => map.remove(name),
        };
    }
    if dropped {
        map.remove(DATABASE);
    }
    map
}

/// `COM_RESET_CONNECTION` succeeded.
fn reset(settings: &mut Interner, session: &mut Session, backend: &mut Backend) {
    session.after_reset = Some(Arc::clone(&backend.after_reset));
    session.begin_anew(settings);
    backend.label = Arc::clone(&session.settings);
    backend.prepared.clear();
    // The operator's query is undone, and nothing is reported any more.
    backend.suspect = Some(Mark::NOBODY);
}

/// What a statement that succeeded has made and ended.
fn apply(session: &mut Session, backend: &mut Backend, said: &Said, unexplained: bool) {
    for reason in &said.unpins {
        unpin(session, *reason);
    }
    let text = backend.shape_text.take();
    let shape = || {
        let (text, dialect) = text.as_ref()?;
        Some(shape(text, *dialect))
    };
    if unexplained {
        // What it was is not told.
        pin(session, backend, PinReason::UnexplainedReport, shape);
    }
    for reason in &said.pins {
        pin(session, backend, *reason, shape);
    }
    if let Some(name) = &said.creates {
        let temporary = &mut session.held().temporary;
        let reason = match temporary.len() < HELD_MAX {
            true => {
                temporary.insert(name.clone());
                PinReason::TemporaryObject
            }
            // Without its name nobody knows when the last one is gone.
            false => PinReason::UntrackedSetting,
        };
        pin(session, backend, reason, shape);
    }
    if !said.drops.is_empty() && session.pins.contains(PinReason::TemporaryObject) {
        let held = session.held();
        let before = held.temporary.len();
        held.temporary.retain(|name| !said.drops.contains(name));
        if held.temporary.is_empty() && before > 0 {
            unpin(session, PinReason::TemporaryObject);
        }
    }
    if let Some((name, body)) = &said.prepares {
        session
            .held()
            .prepared
            .insert(name.clone(), (**body).clone());
        pin(session, backend, PinReason::SqlPrepare, shape);
    }
    if let Some(name) = &said.deallocates {
        let held = session.held();
        held.prepared.remove(name);
        if held.prepared.is_empty() {
            unpin(session, PinReason::SqlPrepare);
        }
    }
    match &said.handler {
        Some((name, true)) => {
            session.held().handlers.insert(name.clone());
            pin(session, backend, PinReason::Handler, shape);
        }
        Some((name, false)) => {
            let held = session.held();
            held.handlers.remove(name);
            if held.handlers.is_empty() {
                unpin(session, PinReason::Handler);
            }
        }
        None => {}
    }
    let in_transaction = backend.exchange.in_transaction();
    if session.pins.contains(PinReason::OneShotSetting) {
        // It is used up by the transaction that began since.
        match (in_transaction, session.one_shot_began) {
            (true, _) => session.one_shot_began = true,
            (false, true) => {
                session.one_shot_began = false;
                unpin(session, PinReason::OneShotSetting);
            }
            (false, false) => {}
        }
    }
}

/// What the next statement may ask for of this one.
fn leave_behind(session: &mut Session, backend: &mut Backend, said: &Said, told: &Told) {
    let kind = Kind {
        // Nor does it find what a cursor fetches.
        is_plain_query: backend.kind.is_plain_query
            && !said.counts_rows
            && !told.status.has(Status::CURSOR_EXISTS),
        leaves_conditions: backend.kind.leaves_conditions || said.keeps_diagnostics,
        clears_conditions: backend.kind.clears_conditions && !said.keeps_diagnostics,
        leaves_found_rows: said.keeps_diagnostics
            || told.rows.is_none() && !(said.writes || said.is_opaque || told.affected_rows > 0),
    };
    backend.is_warned = told.warnings > 0 || !kind.clears_conditions && backend.is_warned;
    let counts = Counts {
        rows: told.rows,
        affected_rows: told.affected_rows,
        warnings: told.warnings,
    };
    session.left.on_told(counts, kind);
    if said.is_opaque && kind.leaves_conditions {
        // Whether the code that was called used a table, nobody knows.
        session.left.lose();
    }
    if said.sets_insert_id {
        // Its session keeps this backend; the value is not told where results end with an EOF packet.
        session.insert_ids = session.insert_ids.wrapping_add(1);
        backend.insert_id_of = Some(session.insert_id_mark());
    }
    if told.last_insert_id != 0 {
        let was_own = backend
            .insert_id_of
            .is_none_or(|mark| mark == session.insert_id_mark());
        session.last_insert_id = Some(told.last_insert_id);
        session.insert_ids = session.insert_ids.wrapping_add(1);
        // What is told may have been said by the statement, and leave the function what it was before: another's.
        backend.insert_id_of = Some(match was_own {
            true => session.insert_id_mark(),
            false => Mark::NOBODY,
        });
    }
    // To keep a backend for every warning would keep all of them from others: who never asks gives it back.
    let keeps = said.counts_rows || session.reads_left_behind;
    match keeps {
        true => keep(session, backend, PinReason::LeftBehind),
        false if kind.leaves_conditions => {}
        false => unpin(session, PinReason::LeftBehind),
    }
}

/// Whether the statement has rows to fetch.
fn follow_cursor(session: &mut Session, backend: &mut Backend, id: u32, status: Status) {
    if status.has(Status::CURSOR_EXISTS) && !status.has(Status::LAST_ROW_SENT) {
        session.add_cursor(id);
        pin(session, backend, PinReason::Cursor, || None);
    } else {
        session.remove_cursor(id);
    }
}
