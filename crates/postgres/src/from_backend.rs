//! What a backend's message answers: whose turn it is, whether the client sees it, what it confirms, and where a boundary is.
//!
//! Rows are counted through by their headers. Of the rest only those messages are read that end something or change something.

use crate::backend::Backend;
use crate::engine::Shared;
use crate::exchange::{Expect, LocalClose, Settling};
use crate::from_client::answer_locals;
use crate::login_cache::Work;
use crate::pinning;
use crate::reports;
use crate::session::{Session, Stage};
use crate::sql::Effect;
use crate::statements::Statement;
use crate::wire::read::{ErrorFields, Fields};
use crate::wire::{self, HEADER_BYTES, Header, write};
use forebay_core::orders::{Order, Orders};
use forebay_core::{CloseReason, PinReason, Refusal};
use std::sync::Arc;

/// Longest message that is read whole; errors beyond are counted through.
const READ_BYTES_MAX: usize = 64 * 1024;

/// `feature_not_supported`: among others, a statement's result has other columns since a table was changed.
const CACHED_PLAN_CHANGED: &[u8] = b"0A000";

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
        orders: &'a mut Orders<Work>,
    ) -> FromBackend<'a> {
        FromBackend {
            shared,
            backend,
            session,
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
            Some(Expect::Replay | Expect::Cleaning) => self.hidden(header, rest),
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
            Some(Expect::Replay | Expect::Cleaning) => self.hide(header, rest),
            _ => self.broken("a backend sent data that nobody asked for"),
        }
    }

    /// The answer to a query of ours.
    fn hidden(&mut self, header: Header, rest: &[u8]) -> Step {
        match header.kind {
            b'S' => match self.body(header, rest) {
                Ok(body) => {
                    self.note_report(body);
                    self.hide(header, rest)
                }
                Err(Step::Stop) => self.broken("a ParameterStatus is impossibly long"),
                Err(step) => step,
            },
            b'E' => match self.body(header, rest) {
                Ok(body) => {
                    let error = ErrorFields::read(body);
                    let text = |bytes: &[u8]| Arc::from(String::from_utf8_lossy(bytes));
                    self.backend.replay_error = Some((text(error.code), text(error.message)));
                    self.hide(header, rest)
                }
                Err(Step::Stop) => self.broken("an error of a backend is impossibly long"),
                Err(step) => step,
            },
            b'Z' => match self.body(header, rest) {
                Ok(&[status]) => {
                    self.orders.swallow(header.len);
                    self.end_hidden(status);
                    Step::Took(header.len)
                }
                Ok(_) | Err(Step::Stop) => self.broken("a ReadyForQuery has no status"),
                Err(step) => step,
            },
            b'C' | b'T' | b'I' | b'N' | b'A' => self.hide(header, rest),
            _ => self.broken("a backend answered a query of ours with something else"),
        }
    }

    fn end_hidden(&mut self, status: u8) {
        let cleaning = matches!(self.backend.exchange.pop(), Some(Expect::Cleaning));
        self.backend.exchange.status = status;
        let error = self.backend.replay_error.take();
        let held = std::mem::take(&mut self.backend.holding);
        let Some(session) = self.session.as_deref_mut() else {
            let clean = cleaning && error.is_none() && self.backend.exchange.is_clean();
            self.released = true;
            return self.orders.push(if clean {
                Order::Release
            } else {
                Order::Close(CloseReason::NotClean)
            });
        };
        if let Some((code, message)) = error {
            // Nobody knows what it holds now.
            self.backend.suspect = Some(0);
            self.released = true;
            return match (&session.stage, held) {
                (Stage::Ready, false) => self
                    .orders
                    .push(Order::Bug("a setting that was accepted before is refused")),
                _ => self
                    .orders
                    .refuse(Refusal::SettingRefused { code, message }),
            };
        }
        if let Stage::Admission(_) = session.stage {
            crate::engine::finish_admission(self.shared, session, self.backend, self.orders);
            // Released with it, if it is clean.
            self.released = self.backend.exchange.is_clean();
            return;
        }
        tell_reports(session, self.backend, self.orders);
        // What the client asked meanwhile may be ours to answer.
        answer_locals(self.backend, self.orders);
        if held {
            // The lease was taken for what the client has asked and not been able to send yet.
            return self.orders.push(Order::Resume);
        }
        if self.end_settling() {
            return;
        }
        self.release_if_clean();
    }

    fn message(&mut self, header: Header, rest: &[u8]) -> Step {
        match header.kind {
            b'Z' => self.ready(header, rest),
            b'C' => self.complete(header, rest),
            b'E' => self.error(header, rest),
            b'S' => match self.body(header, rest) {
                Ok(body) => self.report(body, header, rest),
                Err(Step::Stop) => self.broken("a ParameterStatus is impossibly long"),
                Err(step) => step,
            },
            b'N' => self.pass(header, rest),
            b'A' => {
                let listens = self
                    .session
                    .as_ref()
                    .is_some_and(|session| session.pin.is_some());
                if listens {
                    self.pass(header, rest)
                } else {
                    self.hide(header, rest)
                }
            }
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
                (true, parse.client_name.is_some())
            }
            (b'1', Some(Expect::ParseUnnamed { .. })) => (true, true),
            (b'1', Some(Expect::ReparseUnnamed { .. })) => (true, false),
            (b'2', Some(Expect::Bind(_))) => (true, true),
            (b'3', Some(Expect::CloseUnnamed { .. })) => (true, true),
            (b'3', Some(Expect::Close { swallow, .. })) => (true, !swallow),
            (b't', Some(Expect::Describe(_))) => (false, true),
            (b'T' | b'n', Some(Expect::Describe(_))) => (true, true),
            (b's' | b'I', Some(Expect::Execute(_))) => (true, true),
            (b'V', Some(Expect::Function(_))) => (false, true),
            (b'T' | b'I' | b'H' | b'G' | b'c', Some(Expect::PlainQuery(_) | Expect::Query(_))) => {
                (false, true)
            }
            (b'H' | b'G' | b'c', Some(Expect::Execute(_))) => (false, true),
            _ => return self.broken("a backend answered out of turn"),
        };
        if kind == b'G' {
            exchange.begin_copy_in();
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

    fn answer_locals(&mut self) {
        if self.session.is_some() {
            answer_locals(self.backend, self.orders);
        }
    }

    fn complete(&mut self, header: Header, rest: &[u8]) -> Step {
        match self.backend.exchange.front() {
            Some(Expect::PlainQuery(_)) => return self.pass(header, rest),
            Some(Expect::Execute(None)) => {
                let step = self.pass(header, rest);
                self.backend.exchange.pop();
                self.answer_locals();
                return step;
            }
            Some(Expect::Execute(Some(_)) | Expect::Query(_)) => {}
            _ => return self.broken("a backend completed a command that nobody gave"),
        }
        let tag = match self.body(header, rest) {
            Ok(body) => body.strip_suffix(b"\0").unwrap_or(body),
            Err(Step::Stop) => return self.broken("a CommandComplete is impossibly long"),
            Err(step) => return step,
        };
        let (effect, shown) = match self.backend.exchange.front_mut() {
            Some(Expect::Query(query)) => {
                let effect = query
                    .effects
                    .get(query.done)
                    .cloned()
                    .unwrap_or_else(|| effect_of_tag(tag));
                query.done += 1;
                (effect, query.tag.clone())
            }
            Some(Expect::Execute(Some(statement))) => {
                (statement.effect.clone(), statement.tag.map(Box::from))
            }
            _ => return self.broken("checked above"),
        };
        if effect != Effect::Pure && changes_schema(tag) {
            self.backend.exchange.schema_changed = true;
            self.shared.statements.on_schema_changed();
        }
        self.apply(&effect, tag, shown.is_some());
        if let Some(Expect::Execute(_)) = self.backend.exchange.front() {
            self.backend.exchange.pop();
        }
        let step = match shown {
            Some(shown) => {
                self.orders
                    .to_client(|out| write::command_complete(out, &shown));
                self.orders.swallow(header.len);
                Step::Took(header.len)
            }
            None => self.pass(header, rest),
        };
        self.answer_locals();
        step
    }

    /// A statement was completed, or one that stands in for it.
    fn apply(&mut self, effect: &Effect, tag: &[u8], stood_in: bool) {
        let Some(session) = self.session.as_deref_mut() else {
            return;
        };
        let exchange = &mut self.backend.exchange;
        match effect {
            Effect::Pure => return,
            Effect::Opaque | Effect::Pin(_) | Effect::PinMany(_) => exchange.opaque = true,
            _ => exchange.tracked = true,
        }
        session
            .tracker
            .on_complete(effect, tag, &mut self.shared.settings);
        match effect {
            Effect::DiscardAll => {
                session.prepared.clear();
                session.unnamed = None;
                self.backend.prepared.clear();
                self.backend.unnamed = None;
                pinning::on_discard_all(session, self.backend, self.orders);
            }
            Effect::DeallocateAll => {
                session.prepared.clear();
                if !stood_in {
                    // It was the real one: names of ours are gone as well.
                    self.backend.prepared.clear();
                }
            }
            Effect::Deallocate(name) => {
                session.prepared.remove(name.as_bytes());
            }
            // Seen only by the tag of a long query: which setting is not known.
            Effect::Pin(reason) => pinning::pin(session, self.backend, *reason, self.orders),
            _ => {}
        }
    }

    fn error(&mut self, header: Header, rest: &[u8]) -> Step {
        let body = match self.body(header, rest) {
            Ok(body) => body,
            Err(Step::Stop) => &[],
            Err(step) => return step,
        };
        if ErrorFields::read(body).is_fatal() {
            let served = self.session.is_some();
            let step = self.pass(header, rest);
            self.orders.push(if served {
                Order::CloseBoth(CloseReason::BackendGone)
            } else {
                Order::Close(CloseReason::BackendGone)
            });
            return match step {
                Step::Took(_) => Step::Stop,
                step => step,
            };
        }
        if self.session.is_none() {
            return self.broken("an idle backend reported an error");
        }
        self.backend.exchange.failed = true;
        let (replaced, extended) = match self.backend.exchange.front() {
            Some(Expect::PlainQuery(_) | Expect::Query(_) | Expect::Function(_)) => (None, false),
            Some(Expect::DuplicateName(name)) if ErrorFields::read(body).code == b"42P05" => {
                (Some((name.clone(), "already exists")), true)
            }
            Some(Expect::Bind(about) | Expect::Describe(about)) => {
                let code = ErrorFields::read(body).code;
                if code == CACHED_PLAN_CHANGED
                    && let Some(statement) = &about.statement
                {
                    self.shared.statements.renew(statement);
                }
                let name = about.client_name.clone().filter(|_| code == b"26000");
                (name.map(|name| (name, "does not exist")), true)
            }
            Some(Expect::Sync(_)) | None => (None, false),
            Some(_) => (None, true),
        };
        self.backend.exchange.copying_in = false;
        let step = match replaced {
            Some((name, what)) if header.len <= rest.len() => {
                // The name that the server speaks of is ours.
                let text = format!(
                    "prepared statement \"{}\" {what}",
                    String::from_utf8_lossy(&name)
                );
                let code = if what == "already exists" {
                    "42P05"
                } else {
                    "26000"
                };
                self.orders
                    .to_client(|out| write::error(out, "ERROR", code, &text));
                self.orders.swallow(header.len);
                Step::Took(header.len)
            }
            _ => self.pass(header, rest),
        };
        if extended {
            self.skip_to_sync();
        }
        step
    }

    /// The server skips to the next Sync: what was to be done on the way is undone here too.
    fn skip_to_sync(&mut self) {
        let Some(session) = self.session.as_deref_mut() else {
            return;
        };
        let backend = &mut *self.backend;
        let (prepared, unnamed) = (&mut backend.prepared, &mut backend.unnamed);
        let mut skipped = Vec::new();
        backend.exchange.skip_to_sync(|expect| skipped.push(expect));
        // Undone from the end: one name may have been given and taken away. The first is the one that failed.
        let skipped = skipped.into_iter().enumerate().rev();
        let mut kept = None;
        skipped.for_each(|(index, expect)| match expect {
            Expect::Parse(parse) => {
                prepared.remove(&parse.statement.name);
                if let Some(name) = &parse.client_name {
                    session.prepared.remove(name);
                }
            }
            Expect::Close { of: Some(name), .. } => drop(prepared.insert(name)),
            // It takes the one before away, whether it succeeds or not.
            Expect::ParseUnnamed { .. } if index == 0 => {
                kept = Some(None);
                *unnamed = None;
            }
            Expect::ReparseUnnamed { .. } if index == 0 => *unnamed = None,
            Expect::ParseUnnamed { before, there } | Expect::CloseUnnamed { before, there } => {
                kept = Some(before);
                *unnamed = there;
            }
            Expect::ReparseUnnamed { there } => *unnamed = there,
            Expect::Close {
                swallow: true,
                of: None,
            } => {
                // Something that is not this client's is still there: nobody's, from now on.
                *unnamed = Some(Statement::unnamed(&session.tracker, b"", b""));
            }
            Expect::LocalParse(parse) => drop(session.prepared.remove(&parse.client_name)),
            Expect::LocalClose(close) => {
                let LocalClose {
                    client_name,
                    statement,
                } = *close;
                session.prepared.insert(client_name, statement);
            }
            _ => {}
        });
        if let Some(kept) = kept
            && let Some(kept) = backend.exchange.restore_unnamed(kept)
        {
            session.unnamed = kept;
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
        if session.tracker.restores(name) {
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
            self.backend.suspect = Some(session.id);
            if exchange.opaque {
                pinning::pin(
                    session,
                    self.backend,
                    PinReason::UnexplainedReport,
                    self.orders,
                );
            }
        }
        self.pass(header, rest)
    }

    fn ready(&mut self, header: Header, rest: &[u8]) -> Step {
        let status = match self.body(header, rest) {
            Ok(&[status]) => status,
            Ok(_) | Err(Step::Stop) => return self.broken("a ReadyForQuery has no status"),
            Err(step) => return step,
        };
        let since = match self.backend.exchange.pop() {
            Some(Expect::PlainQuery(since) | Expect::Sync(since) | Expect::Function(since)) => {
                since
            }
            Some(Expect::Query(query)) => query.since,
            _ => return self.broken("a ReadyForQuery came out of turn"),
        };
        let Some(session) = self.session.as_deref_mut() else {
            return self.broken("a ReadyForQuery came for nobody");
        };
        let exchange = &mut self.backend.exchange;
        exchange.status = status;
        exchange.copying_in = false;
        let failed = std::mem::take(&mut exchange.failed);
        (exchange.tracked, exchange.opaque) = (false, false);
        if status == b'I' {
            // Behind it there may be portals of segments that were sent without waiting for this one.
            if exchange.is_empty() && !exchange.open_segment {
                exchange.portals.clear();
            }
            if std::mem::take(&mut exchange.schema_changed) {
                // Others see the change only now, and may have prepared in between.
                self.shared.statements.on_schema_changed();
            }
        }
        if session.tracker.is_pending() {
            session
                .tracker
                .on_ready(status, failed, &mut self.shared.settings);
        }
        if !Arc::ptr_eq(&self.backend.label, session.tracker.committed()) {
            self.backend.label = Arc::clone(session.tracker.committed());
        }
        // In a failed transaction nothing can be set.
        let restore = if status == b'E' {
            None
        } else {
            session.tracker.take_restore()
        };
        if let Some(restore) = &restore {
            self.tell_restored(&restore.names);
        }
        let step = self.pass(header, rest);
        self.orders.push(Order::Answered { since });
        if let Some(restore) = restore.filter(|restore| !restore.sql.is_empty()) {
            self.orders
                .to_backend(|out| write::query(out, restore.sql.as_bytes()));
            self.backend.exchange.push(Expect::Replay);
        }
        self.answer_locals();
        if self.end_settling() {
            return step;
        }
        self.release_if_clean();
        step
    }

    /// What was reset has the client's values again, or will have them before anything else is done.
    fn tell_restored(&mut self, names: &[Box<str>]) {
        let Some(session) = self.session.as_deref_mut() else {
            return;
        };
        let welcome = Arc::clone(&session.welcome);
        for (name, value) in welcome.iter() {
            let restored = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
            let Some(known) = names.iter().find(|known| restored(known)) else {
                continue;
            };
            if !session.tracker.is_at_baseline(known) {
                continue;
            }
            let reports = self.shared.reports.with(&session.reports, name, value);
            if !Arc::ptr_eq(&reports, &session.reports) {
                session.reports = reports;
                self.orders
                    .to_client(|out| write::parameter_status(out, name, value));
            }
        }
    }

    /// The client may go on; true when it waits to do so, with this lease.
    fn end_settling(&mut self) -> bool {
        let exchange = &mut self.backend.exchange;
        let ended = match exchange.settling {
            Settling::No => false,
            Settling::Doubted => exchange.segments() == 0,
            Settling::Sent | Settling::Awaited => {
                exchange.expects_only_replay() && !exchange.open_segment
            }
        };
        if !ended {
            return false;
        }
        let awaited = exchange.settling != Settling::Sent;
        exchange.settling = Settling::No;
        if awaited {
            self.orders.push(Order::Resume);
        }
        awaited
    }

    fn release_if_clean(&mut self) {
        let served = self
            .session
            .as_ref()
            .is_some_and(|session| session.pin.is_none());
        if served && self.backend.exchange.is_clean() {
            self.orders.push(Order::Release);
            self.released = true;
        }
    }
}

/// Whether a command's tag is that of a change to tables, types or functions.
fn changes_schema(tag: &[u8]) -> bool {
    [&b"ALTER "[..], b"CREATE ", b"DROP "]
        .iter()
        .any(|word| tag.starts_with(word))
}

/// What a statement that was not looked into did, by its tag.
fn effect_of_tag(tag: &[u8]) -> Effect {
    match tag {
        b"COMMIT" => Effect::Commit { chain: false },
        b"DISCARD ALL" => Effect::DiscardAll,
        b"DEALLOCATE ALL" => Effect::DeallocateAll,
        // ROLLBACK is also the tag of ROLLBACK TO: what it undid is not known, and neither is where savepoints are.
        b"SET" | b"RESET" | b"ROLLBACK" | b"SAVEPOINT" | b"RELEASE" => {
            Effect::Pin(PinReason::UntrackedSetting)
        }
        b"DISCARD TEMP" | b"CREATE TABLE" | b"CREATE VIEW" | b"CREATE SEQUENCE" => {
            Effect::Pin(PinReason::TemporaryObject)
        }
        b"LISTEN" => Effect::Pin(PinReason::Listen),
        b"PREPARE" => Effect::Pin(PinReason::SqlPrepare),
        b"LOAD" => Effect::Pin(PinReason::LoadLibrary),
        b"DECLARE CURSOR" => Effect::Pin(PinReason::HoldableCursor),
        b"DO" | b"CALL" => Effect::Pin(PinReason::ProcedureCall),
        _ => Effect::Opaque,
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
