//! What a backend's message answers: whose turn it is, whether the client sees it, what it confirms, and where a boundary is.
//!
//! Rows are counted through by their headers. Of the rest only those messages are read that end something or change something.
//!
//! | file | answers |
//! | --- | --- |
//! | `from_backend/complete.rs` | what a statement did |
//! | `from_backend/error.rs` | what did not happen |
//! | `from_backend/boundary.rs` | what a transaction's end decides |
//! | `from_backend/hidden.rs` | what comes of queries of ours |
//! | `from_backend/plain.rs` | what comes of names that are given and taken ahead of SQL |
//! | `from_backend/probed.rs` | what the server is asked by us |

mod boundary;
mod complete;
mod error;
mod hidden;
mod plain;
mod probed;

use crate::backend::{Backend, Seen};
use crate::columns::{of_no_rows, of_rows};
use crate::engine::Shared;
use crate::exchange::{Exchange, Expect};
use crate::from_client::answer_locals;
use crate::login_cache::Work;
use crate::pinning;
use crate::reports;
use crate::said::Said;
use crate::session::Session;
use crate::statements::Statement;
use crate::wire::read::Fields;
use crate::wire::{self, HEADER_BYTES, Header, write};
use forebay_core::orders::{Order, Orders};
use forebay_core::{Instant, PinReason};
use std::sync::Arc;

/// Longest message that is read whole; errors beyond are counted through.
const READ_BYTES_MAX: usize = 64 * 1024;

/// What became of the message at the front of the input.
enum Step {
    Took(usize),
    Need(usize),
    Stop,
}

/// One look at a backend's bytes, with the session that it serves, if any.
pub struct FromBackend<'a> {
    /// The worker's tables.
    pub shared: &'a mut Shared,
    /// Whose bytes.
    pub backend: &'a mut Backend,
    /// Its leaseholder.
    pub session: Option<&'a mut Session>,
    /// When they came.
    pub now: Instant,
    /// Where to say what to do.
    pub orders: &'a mut Orders<Work>,
    /// This session and this backend have parted: what comes behind is looked at anew, if at all.
    released: bool,
}

impl<'a> FromBackend<'a> {
    /// Ready to look.
    pub fn new(
        shared: &'a mut Shared,
        backend: &'a mut Backend,
        session: Option<&'a mut Session>,
        now: Instant,
        orders: &'a mut Orders<Work>,
    ) -> FromBackend<'a> {
        FromBackend {
            shared,
            backend,
            session,
            now,
            orders,
            released: false,
        }
    }
}

impl FromBackend<'_> {
    /// Looks at all of `input`.
    pub fn run(mut self, input: &[u8]) {
        self.look(input);
        let exchange = &self.backend.exchange;
        let midway = exchange.from_backend_left > 0 && !exchange.discarding;
        if let Some(session) = self.session.as_deref_mut() {
            session.midway = midway;
        }
    }

    fn look(&mut self, input: &[u8]) {
        let mut rest = input;
        while !rest.is_empty() {
            match self.step(rest) {
                Step::Took(len) => rest = &rest[len..],
                Step::Need(len) => return self.orders.push(Order::Need(len)),
                Step::Stop => return,
            }
            // What comes behind a release belongs to no session.
            if self.released {
                return;
            }
            self.end_waiting();
        }
    }

    fn step(&mut self, rest: &[u8]) -> Step {
        let left = self.backend.exchange.from_backend_left;
        if left > 0 {
            let discarding = self.backend.exchange.discarding;
            let took = self.count_through(left, rest, discarding);
            self.answer_locals();
            return Step::Took(took);
        }
        let header = match wire::header(rest) {
            Ok(Some(header)) => header,
            Ok(None) => return Step::Need(HEADER_BYTES),
            Err(_) => return self.broken("a backend message has an impossible length"),
        };
        if header.kind == b'D' || header.kind == b'd' {
            return self.data(header, rest);
        }
        match self.backend.exchange.front() {
            Some(Expect::GivePlain(_)) if header.kind != b'E' => self.given(header, rest),
            Some(Expect::GivePlain(given)) if given.end == b'Z' => self.not_given(header, rest),
            Some(expect) if expect.is_ours() => self.hidden(header, rest),
            _ => self.message(header, rest),
        }
    }

    /// "Cannot happen": this backend and its session are in doubt.
    fn broken(&mut self, what: &'static str) -> Step {
        self.orders.push(Order::Bug(what));
        Step::Stop
    }

    fn count_through(&mut self, len: usize, rest: &[u8], discard: bool) -> usize {
        let now = len.min(rest.len());
        if discard {
            self.orders.swallow(now);
        } else {
            self.orders.forward(now);
        }
        self.backend.exchange.from_backend_left = len - now;
        self.backend.exchange.discarding = discard;
        now
    }

    fn pass(&mut self, header: Header, rest: &[u8]) -> Step {
        let discard = self.session.is_none();
        Step::Took(self.count_through(header.len, rest, discard))
    }

    fn hide(&mut self, header: Header, rest: &[u8]) -> Step {
        Step::Took(self.count_through(header.len, rest, true))
    }

    /// The body of a message that is read, if it is there and not too long.
    fn body<'b>(&self, header: Header, rest: &'b [u8]) -> Result<&'b [u8], Step> {
        if header.len <= rest.len() {
            Ok(&rest[HEADER_BYTES..header.len])
        } else if header.len <= READ_BYTES_MAX {
            Err(Step::Need(header.len))
        } else {
            Err(Step::Stop)
        }
    }

    fn data(&mut self, header: Header, rest: &[u8]) -> Step {
        match self.backend.exchange.front() {
            Some(Expect::PlainQuery(_) | Expect::Query(_) | Expect::Execute(_)) => {
                self.pass(header, rest)
            }
            Some(Expect::Probe(_)) => self.probed(header, rest),
            Some(Expect::Replay | Expect::Cleaning) => self.hide(header, rest),
            _ => self.broken("a backend sent data that nobody asked for"),
        }
    }

    fn message(&mut self, header: Header, rest: &[u8]) -> Step {
        match header.kind {
            b'Z' => self.ready(header, rest),
            b'C' => self.complete(header, rest),
            b's' => self.suspended(header, rest),
            b'E' => self.error(header, rest),
            b'S' => match self.body(header, rest) {
                Ok(body) => self.report(body, header, rest),
                Err(Step::Stop) => self.broken("a ParameterStatus is impossibly long"),
                Err(step) => step,
            },
            b'N' => self.pass(header, rest),
            b'A' => self.notified(header, rest),
            _ if self.session.is_none() => self.broken("an idle backend sent something"),
            kind => self.reply(kind, header, rest),
        }
    }

    /// A reply of the extended protocol, or within a query.
    fn reply(&mut self, kind: u8, header: Header, rest: &[u8]) -> Step {
        let exchange = &mut self.backend.exchange;
        let (pop, show) = match (kind, exchange.front()) {
            (b'1', Some(Expect::Parse(parse))) => {
                parse.statement.prove();
                self.backend.prepared.has_come(&parse.statement.name);
                (true, parse.client_name.is_some())
            }
            (b'1', Some(Expect::ParseUnnamed { .. } | Expect::DuplicateName(_))) => (true, true),
            (b'1', Some(Expect::ReparseUnnamed { .. })) => (true, false),
            (b'2', Some(Expect::Bind(_))) => (true, true),
            (b'3', Some(Expect::CloseUnnamed { .. })) => (true, true),
            (b'3', Some(Expect::Close { swallow, of })) => {
                if let Some(name) = of {
                    self.backend.prepared.has_gone(name);
                }
                (true, !swallow)
            }
            (b'3', Some(Expect::TakePlain(taken))) => {
                self.backend.plain.has_gone(&taken.name);
                (true, !taken.swallow)
            }
            (b't', Some(Expect::Describe(_))) => return self.parameters(header, rest),
            (b'T' | b'n', Some(Expect::Describe(_) | Expect::Compare(_))) => {
                return self.columns(header, rest);
            }
            (b't', Some(Expect::Compare(_))) => (false, false),
            (b'I', Some(Expect::Execute(_))) => (true, true),
            (b'V', Some(Expect::Function(_))) => (false, true),
            (b'T' | b'I' | b'H' | b'G' | b'c', Some(Expect::PlainQuery(_) | Expect::Query(_))) => {
                (false, true)
            }
            (b'H' | b'G' | b'c', Some(Expect::Execute(_))) => (false, true),
            _ => return self.broken("a backend answered out of turn"),
        };
        if kind == b'G' && !exchange.begin_copy_in() {
            return self.broken("a COPY from the client was not seen coming");
        }
        let step = if show {
            self.pass(header, rest)
        } else {
            self.hide(header, rest)
        };
        if pop {
            self.backend.exchange.pop();
            self.answer_locals();
        }
        step
    }

    /// A ParameterDescription: which types the client takes its values to have from now on.
    fn parameters(&mut self, header: Header, rest: &[u8]) -> Step {
        match self.body(header, rest) {
            Ok(body) => {
                if let Some(Expect::Describe(about)) = self.backend.exchange.front()
                    && let Some(statement) = &about.described
                {
                    statement.tell_types(body);
                }
                self.pass(header, rest)
            }
            Err(Step::Stop) => self.pass(header, rest),
            Err(step) => step,
        }
    }

    /// RowDescription or NoData: the columns that the client is told, or was told before.
    fn columns(&mut self, header: Header, rest: &[u8]) -> Step {
        let columns = match self.body(header, rest) {
            Ok(_) if header.kind == b'n' => Some(of_no_rows()),
            Ok(body) => Some(of_rows(body)),
            // Too many to be looked at.
            Err(Step::Stop) => None,
            Err(step) => return step,
        };
        let compares = matches!(self.backend.exchange.front(), Some(Expect::Compare(_)));
        let step = if compares {
            self.hide(header, rest)
        } else {
            self.pass(header, rest)
        };
        let (statement, told) = match self.backend.exchange.pop() {
            Some(Expect::Compare(statement)) => (Some(statement), None),
            Some(Expect::Describe(about)) => (about.described, about.client_name),
            _ => (None, None),
        };
        if let (Some(statement), Some(columns)) = (statement, columns)
            && !statement.shows_own()
        {
            self.see_columns(&statement, columns, told.as_deref());
        }
        self.answer_locals();
        step
    }

    /// The columns of a statement were seen, by the client too if it has a name for it that is `told`. Where they are others than clients were
    /// told before, it is another statement from now on: the others are refused, as where the server has it from before.
    fn see_columns(&mut self, statement: &Arc<Statement>, columns: u64, told: Option<&[u8]>) {
        let Some(session) = self.session.as_deref_mut() else {
            return;
        };
        let statements = &mut self.shared.statements;
        let version = statements.schema_version(session.scope);
        if statement.columns.see(columns, self.now, version) {
            return self.backend.prepared.see(&statement.name, Seen::AsTold);
        }
        self.backend.prepared.see(&statement.name, Seen::Others);
        let given = told.and_then(|name| session.prepared.given_mut(name));
        if let Some(given) = given.filter(|given| Arc::ptr_eq(&given.statement, statement)) {
            given.statement = statements.renew(statement);
            let newer = &given.statement.columns;
            newer.see(columns, self.now, version);
        }
    }

    /// It may come behind an answer to anything, also to a query of ours.
    fn notified(&mut self, header: Header, rest: &[u8]) -> Step {
        match self.body(header, rest) {
            Ok(body) => self.notification(body, header, rest),
            Err(Step::Stop) => self.broken("a NotificationResponse is impossibly long"),
            Err(step) => step,
        }
    }

    /// A backend that listens itself: meant for its session if that has LISTENs which nobody else hears.
    fn notification(&mut self, body: &[u8], header: Header, rest: &[u8]) -> Step {
        let process = Fields(body).u32().unwrap_or_default();
        let channel = body.get(4..).unwrap_or_default();
        let channel = Fields(channel).string().unwrap_or_default();
        let meant =
            |session: &&mut Session| !session.pins.is_empty() && !session.listening.hears(channel);
        let Some(session) = self.session.as_deref_mut().filter(meant) else {
            return self.hide(header, rest);
        };
        if process != self.backend.process {
            return self.pass(header, rest);
        }
        // The session's own: it knows itself by another number.
        let process = session.process.to_be_bytes();
        self.orders.to_client(|out| {
            write::message(out, b'A', |out| {
                out.extend_from_slice(&process);
                out.extend_from_slice(body.get(4..).unwrap_or_default());
            });
        });
        self.orders.swallow(header.len);
        Step::Took(header.len)
    }

    fn answer_locals(&mut self) {
        if self.session.is_some() {
            answer_locals(self.backend, self.orders);
        }
    }

    /// Notes a reported setting; returns whether it was news.
    fn note_report(&mut self, body: &[u8]) -> bool {
        let mut fields = Fields(body);
        let (Ok(name), Ok(value)) = (fields.string(), fields.string()) else {
            return false;
        };
        let reports = self.shared.reports.with(&self.backend.reports, name, value);
        let news = !Arc::ptr_eq(&reports, &self.backend.reports);
        self.backend.reports = reports;
        news
    }

    fn report(&mut self, body: &[u8], header: Header, rest: &[u8]) -> Step {
        let news = self.note_report(body);
        let Some(session) = self.session.as_deref_mut() else {
            return self.hide(header, rest);
        };
        let name = Fields(body).string().unwrap_or_default();
        let failed = self.backend.exchange.failed;
        let is_lost = if failed {
            session.tracker.loses_by_error(name)
        } else {
            session.tracker.restores(name)
        };
        if is_lost {
            // Not what the session has: the client's own value is set again right away.
            return self.hide(header, rest);
        }
        session.reports = self
            .shared
            .reports
            .only(&session.reports, &self.backend.reports, name);
        let exchange = &self.backend.exchange;
        if news && !exchange.tracked {
            // A setting changed and no statement that is tracked explains it.
            session.suspect(self.backend);
            let executed = executed(&self.backend.exchange);
            let said = executed.as_deref().and_then(Said::statement);
            pinning::pin(session, self.backend, PinReason::UnexplainedReport, said);
        }
        self.pass(header, rest)
    }
}

/// The statement that is being executed, where its text is kept.
fn executed(exchange: &Exchange) -> Option<Arc<Statement>> {
    match exchange.front() {
        Some(Expect::Execute(statement)) => statement.clone(),
        _ => None,
    }
}

/// Tells the client what its backend reports and the client does not know yet.
pub fn tell_reports(session: &mut Session, backend: &Backend, orders: &mut Orders<Work>) {
    if Arc::ptr_eq(&session.reports, &backend.reports) {
        return;
    }
    orders.to_client(|out| {
        for (name, value) in reports::differing(&session.reports, &backend.reports) {
            write::parameter_status(out, name, value);
        }
    });
    session.reports = Arc::clone(&backend.reports);
}
