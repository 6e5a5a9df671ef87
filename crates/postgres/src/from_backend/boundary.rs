//! ReadyForQuery: settings are kept or undone, and the session may go on without this backend.
//!
//! What was reset is set again to what the client began with; what waited for this moment goes on.

use super::{FromBackend, Step};
use crate::backend::Mark;
use crate::customs;
use crate::exchange::{Awaits, CopyIn, Expect};
use crate::from_client::{EXPECTS_MAX, RESTORING};
use crate::listening;
use crate::parting;
use crate::pinning;
use crate::reports;
use crate::tracking::Restore;
use crate::wire::{Header, write};
use forebay_core::PinReason;
use forebay_core::orders::Order;
use std::sync::Arc;

impl FromBackend<'_> {
    pub(super) fn ready(&mut self, header: Header, rest: &[u8]) -> Step {
        let status = match self.body(header, rest) {
            Ok(&[status]) => status,
            Ok(_) | Err(Step::Stop) => return self.broken("a ReadyForQuery has no status"),
            Err(step) => return step,
        };
        if !self.is_told_all(status) {
            return Step::Stop;
        }
        let since = match self.backend.exchange.pop() {
            Some(Expect::PlainQuery(since) | Expect::Sync(since) | Expect::Function(since)) => {
                since
            }
            Some(Expect::Query(query)) => query.since,
            _ => return self.broken("a ReadyForQuery came out of turn"),
        };
        self.backend.give_error = None;
        let Some(session) = self.session.as_deref_mut() else {
            return self.broken("a ReadyForQuery came for nobody");
        };
        let exchange = &mut self.backend.exchange;
        exchange.status = status;
        let failed = std::mem::take(&mut exchange.failed);
        (exchange.tracked, exchange.opaque) = (false, false);
        let opaque_behind_reset = std::mem::take(&mut exchange.opaque_behind_reset);
        if status == b'I' {
            // Behind it there may be portals of segments that were sent without waiting for this one.
            if exchange.is_empty() && !exchange.open_segment {
                exchange.portals.clear();
            }
            if std::mem::take(&mut exchange.schema_changed) {
                // Others see the change only now, and may have prepared in between.
                self.shared.statements.on_schema_changed(session.scope);
            }
        }
        let customs = std::mem::take(&mut exchange.customs);
        let names = customs.iter().map(|name| &**name);
        customs::add(&mut session.customs, names, &mut self.shared.settings);
        if session.tracker.is_pending() {
            session
                .tracker
                .on_ready(status, failed, &mut self.shared.settings);
        }
        if !Arc::ptr_eq(&self.backend.label, session.tracker.committed()) {
            if status == b'I' {
                session
                    .tracker
                    .take_reported(&self.backend.reports, &mut self.shared.settings);
            }
            let before = std::mem::replace(
                &mut self.backend.label,
                Arc::clone(session.tracker.committed()),
            );
            parting::tell_limit(before.map(), session, self.orders);
        }
        let unheard =
            session
                .listening
                .on_ready(status, &self.backend.exchange, session.tracker.channels());
        if !unheard.is_empty() {
            self.orders.push(Order::Unsubscribe(unheard));
        }
        if status == b'I' {
            listening::deliver(session, Some(self.backend), self.orders);
            let notified = std::mem::take(&mut self.backend.exchange.notifies);
            self.backend.stirred |= notified && !session.hears();
        }
        self.doubt_again();
        // What code has set behind a RESET is to stay.
        let asks_first = opaque_behind_reset && self.restores_what_is_asked();
        let restore = if asks_first {
            self.foretell_restored();
            None
        } else {
            self.take_restore()
        };
        let step = self.pass(header, rest);
        self.orders.push(Order::Answered { since });
        self.restore(restore);
        if asks_first && !self.ask() {
            self.send_restore();
        }
        self.answer_locals();
        if self.end_waiting() {
            return step;
        }
        self.release_if_clean();
        step
    }

    /// What was reset and must be set again, which the client is told of before its ReadyForQuery.
    fn take_restore(&mut self) -> Option<Restore> {
        let session = self.session.as_deref_mut()?;
        // In a failed transaction nothing can be set.
        if self.backend.exchange.status == b'E' {
            return None;
        }
        if !session.tracker.restores_again() {
            return None;
        }
        let reads_utf8 = reports::reads_utf8(&self.backend.reports);
        let in_transaction = self.backend.exchange.status != b'I';
        let restore = session.tracker.take_restore(reads_utf8, in_transaction);
        if session.tracker.lacks_baseline() {
            // Should nobody be there to set it again when the transaction is over.
            self.backend.suspect = Some(Mark::NOBODY);
        }
        let restore = restore?;
        self.tell_restored(&restore.names, &restore.local);
        Some(restore)
    }

    /// Whether something is to be set again outside of a transaction, of which the server is about to be asked whether it is set.
    fn restores_what_is_asked(&self) -> bool {
        let exchange = &self.backend.exchange;
        let session = self.session.as_deref();
        session.is_some_and(|session| session.tracker.restores_again())
            && exchange.is_clean()
            && exchange.asks_settings()
    }

    /// Most code sets nothing: the client is told in time what it will have then.
    fn foretell_restored(&mut self) {
        let session = self.session.as_deref();
        let names = session.map_or(Vec::new(), |session| session.tracker.lost());
        self.tell_restored(&names, &[]);
    }

    fn restore(&mut self, restore: Option<Restore>) {
        if let Some(restore) = restore {
            self.run_hidden(restore.statements.iter().map(String::as_str));
        }
    }

    /// Sends statements of ours, if there are any.
    fn run_hidden<'s>(&mut self, statements: impl Iterator<Item = &'s str>) {
        let mut statements = statements.peekable();
        if statements.peek().is_none() {
            return;
        }
        // Not a Query: the client may have an unnamed statement there, and in its transaction an unnamed portal.
        self.orders.to_backend(|out| {
            write::close(out, b'S', RESTORING);
            for sql in statements {
                write::run(out, RESTORING, sql.as_bytes());
            }
            out.extend_from_slice(write::SYNC);
        });
        self.backend.exchange.push(Expect::Replay);
    }

    /// Code has reset something: the client's value is set again.
    pub(super) fn send_restore(&mut self) {
        let restore = self.take_restore();
        self.restore(restore);
    }

    /// Whether the ReadyForQuery at hand may be shown: what the session's own transaction has told comes before it.
    fn is_told_all(&mut self, status: u8) -> bool {
        let notifies = status == b'I' && self.backend.exchange.notifies;
        let Some(session) = self.session.as_deref_mut().filter(|_| notifies) else {
            return true;
        };
        if !session.hears() || session.listening.take_boundary() {
            return true;
        }
        if let Some(number) = session.listening.ask_at_boundary() {
            self.orders.push(Order::Subscribe {
                number,
                channels: Vec::new(),
            });
        }
        false
    }

    /// What was reset has the client's values again, or will have them before anything else is done.
    pub(super) fn tell_restored(&mut self, names: &[Box<str>], local: &[Box<str>]) {
        let Some(session) = self.session.as_deref_mut() else {
            return;
        };
        let welcome = Arc::clone(&session.welcome);
        for (name, value) in welcome.iter() {
            let restored = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
            let known = names.iter().find(|known| restored(known));
            let first = known.is_some_and(|known| session.tracker.is_at_baseline(known));
            if !first && !local.iter().any(|known| restored(known)) {
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

    /// The client may go on, if what it waits for has happened; true if it waited, to do so with this lease.
    pub(super) fn end_waiting(&mut self) -> bool {
        let exchange = &mut self.backend.exchange;
        if exchange.settling && exchange.is_empty() && !exchange.open_segment {
            exchange.settling = false;
        }
        let over = match exchange.awaits {
            Awaits::Nothing => false,
            Awaits::Drops => !exchange.drops_names(),
            Awaits::CopyIn => exchange.copy_in() != CopyIn::Maybe,
            Awaits::Answers => exchange.is_empty(),
            Awaits::Room => exchange.len() <= EXPECTS_MAX / 2,
            Awaits::Segments => exchange.segments() == 0,
            Awaits::Settling => !exchange.settling,
        };
        if over {
            exchange.awaits = Awaits::Nothing;
            self.orders.push(Order::Resume);
        }
        over
    }

    /// Whatever kept the server from answering may have gone: it is asked again, behind whichever statement, but less and less often.
    fn doubt_again(&mut self) {
        let exchange = &mut self.backend.exchange;
        if let Some(session) = self.session.as_deref_mut()
            && session.is_doubted
            && exchange.is_clean()
        {
            session.doubted_for = session.doubted_for.saturating_add(1);
            if session.doubted_for.is_power_of_two() {
                exchange.asks().verify(PinReason::ProcedureCall);
            }
        }
    }

    /// Where nothing is under way any more: asks what there is to ask, and then parts, unless something pins. What a backend must not go
    /// on listening to is taken off it behind the answer, so that what code listens on is found.
    pub(super) fn release_if_clean(&mut self) {
        if self.ask() || !self.backend.exchange.is_clean() {
            return;
        }
        let Some(session) = self.session.as_deref_mut() else {
            return;
        };
        if !std::mem::take(&mut self.backend.exchange.keeps_sequences) {
            pinning::on_sequences_unasked(session, self.backend, self.orders);
        }
        pinning::tell(session, self.orders);
        listening::deliver(session, Some(self.backend), self.orders);
        if !session.pins.is_empty() {
            return;
        }
        self.backend.pinned = false;
        if std::mem::take(&mut self.backend.exchange.listens) {
            // It listened on what is heard elsewhere, and is to listen no more.
            return self.run_hidden(std::iter::once("UNLISTEN *"));
        }
        let settings = &mut self.shared.settings;
        self.released = parting::part(self.backend, settings, self.orders);
    }
}
