//! Between two transactions the server is asked what the session holds, where statements ran whose texts do not tell.
//!
//! Until the answer is there the client's next message waits, and the backend stays with it.

use super::{FromBackend, tell_reports};
use crate::backend::Mark;
use crate::customs;
use crate::exchange::Expect;
use crate::parting;
use crate::pinning;
use crate::probe::{Asks, NAMES_ASKED_MAX, Probe};
use crate::reports;
use crate::session::Session;
use crate::tracking::{self, Adopted, Server};
use forebay_core::Pins;
use forebay_core::orders::Order;
use forebay_core::{CloseReason, PinReason};
use std::sync::Arc;

impl FromBackend<'_> {
    /// A transaction is over and nothing is under way: asks what there is to ask. Whether it did.
    pub(super) fn ask(&mut self) -> bool {
        let Some(session) = self.session.as_deref() else {
            return false;
        };
        if !self.backend.exchange.is_clean() {
            return false;
        }
        let Some(mut asks) = self.backend.exchange.take_asks() else {
            return false;
        };
        if session.pins.is_empty() && asks.learned.is_empty() {
            // What pinned has ended by itself.
            return false;
        }
        if asks.settings {
            let scope = self.shared.statements.code_scope(session.scope);
            add_names(&mut asks, session, self.shared.verdicts.mentioned(scope));
        }
        let mut probe = Probe::new(asks);
        probe.scope = self.shared.statements.code_scope(session.scope);
        probe.known_code = self.shared.verdicts.code(probe.scope).map(Box::from);
        self.orders.to_backend(|out| probe.write(out));
        self.orders.push(Order::Probed);
        let exchange = &mut self.backend.exchange;
        exchange.settling = true;
        exchange.push(Expect::Probe(Box::new(probe)));
        true
    }

    /// What the session holds was told.
    pub(super) fn end_probe(&mut self, probe: &Probe) {
        if self.session.is_none() {
            return self.end_probe_of_nobody(probe);
        }
        if probe.failed {
            self.doubt(probe);
        } else {
            self.take_over(probe);
        }
        self.send_restore();
        if let Some(session) = self.session.as_deref_mut()
            && self.backend.exchange.is_empty()
        {
            // Of what code has set behind a RESET the client was not told before.
            tell_reports(session, self.backend, self.orders);
        }
        self.answer_locals();
        // What the client asked meanwhile it asks with a lease of its own, unless something pins: nobody else waits for both.
        self.end_waiting();
        self.release_if_clean();
    }

    /// The client is gone. What was told is good for others; the backend stays if nothing is left on it but settings, which the next session
    /// resets.
    fn end_probe_of_nobody(&mut self, probe: &Probe) {
        self.released = true;
        let held = self.held(probe);
        if !probe.failed {
            let server = Server {
                user: reports::value(&self.backend.reports, b"session_authorization")
                    .unwrap_or_default(),
                reads_utf8: reports::reads_utf8(&self.backend.reports),
            };
            let settings = &mut self.shared.settings;
            let set = tracking::is_set_by_code(&self.backend.label, probe, server, settings);
            self.backend.note_customs(probe.customs(), settings);
            self.learn(probe, set || !held.is_empty());
        }
        self.backend.suspect = Some(Mark::NOBODY);
        let stays = !probe.failed && held.is_empty() && self.backend.exchange.is_clean();
        self.orders.push(if stays {
            Order::Release
        } else {
            Order::Close(CloseReason::NotClean)
        });
    }

    /// What is left on the backend beside settings.
    fn held(&self, probe: &Probe) -> Pins {
        let mut held = probe.held;
        let plain = &self.backend.plain;
        let known = |name: &str| plain.iter().any(|(known, _)| **known == *name.as_bytes());
        if probe.prepared.iter().any(|name| !known(name)) {
            // Code has prepared it.
            held.add(PinReason::SqlPrepare);
        }
        held
    }

    /// What statements do that were looked after.
    fn learn(&mut self, probe: &Probe, left_something: bool) {
        let verdicts = &mut self.shared.verdicts;
        let is_known = probe.code.is_some() && probe.code == probe.known_code;
        if probe.asks.mentioned && !is_known {
            let (names, code) = (probe.mentioned.clone(), probe.code.clone());
            verdicts.note_mentioned(probe.scope, names, code);
        }
        // Of several, any may have left what was found.
        for fingerprint in &probe.asks.learned {
            verdicts.learn(probe.scope, *fingerprint, left_something);
        }
    }

    /// It cannot be told what the session holds: it keeps this backend, until that can be asked.
    fn doubt(&mut self, probe: &Probe) {
        let Some(session) = self.session.as_deref_mut() else {
            return;
        };
        if !std::mem::replace(&mut session.is_doubted, true) {
            session.doubted_for = 0;
        }
        if session.pins.is_empty() {
            session.pin_said = probe.asks.said.clone();
            session.pins.add(PinReason::ProcedureCall);
            self.backend.pinned = true;
        }
    }

    fn take_over(&mut self, probe: &Probe) {
        let mut held = self.held(probe);
        let Some(session) = self.session.as_deref_mut() else {
            return;
        };
        let server = Server {
            user: reports::value(&session.welcome, b"session_authorization").unwrap_or_default(),
            reads_utf8: reports::reads_utf8(&self.backend.reports),
        };
        let read = probe.asks.settings || !probe.asks.names.is_empty();
        let adopted = if read {
            session
                .tracker
                .adopt(probe, server, &mut self.shared.settings)
        } else {
            Adopted::Nothing
        };
        if adopted == Adopted::Changed {
            let before = std::mem::replace(
                &mut self.backend.label,
                Arc::clone(session.tracker.committed()),
            );
            parting::tell_limit(before.map(), session, self.orders);
            let names = customs::among(self.backend.label.map());
            customs::add(&mut session.customs, names, &mut self.shared.settings);
        }
        session.is_doubted &= !(probe.asks.settings && probe.asks.objects);
        if held.contains(PinReason::Listen)
            && !session.pins.contains(PinReason::Listen)
            && (self.backend.exchange.listens || session.hears())
        {
            // It is heard elsewhere: the backend is to listen no more.
            held.retain(|reason| reason != PinReason::Listen);
            self.backend.exchange.listens = true;
        }
        self.backend.had_temporary |= held.contains(PinReason::TemporaryObject);
        let left_something = adopted != Adopted::Nothing || !held.is_empty();
        if adopted == Adopted::Unsaid && !pinning::hides_settings(session.pins) {
            session.pins.add(PinReason::UntrackedSetting);
        }
        // A server process never forgets a name, whatever became of its value.
        // One that nobody else has made here, this session has.
        let known = self.backend.customs.map();
        let own: Vec<&str> = probe
            .customs()
            .filter(|name| !known.contains_key(*name))
            .collect();
        let settings = &mut self.shared.settings;
        customs::add(&mut session.customs, own.into_iter(), settings);
        self.backend.note_customs(probe.customs(), settings);
        let known =
            adopted != Adopted::Unsaid && !session.tracker.has_lost() && !session.settings_unknown;
        pinning::on_probe(
            session,
            self.backend,
            (&probe.asks, held),
            known,
            self.orders,
        );
        self.learn(probe, left_something);
    }
}

/// Settings with a dot in their names are not listed by the server: those that somebody speaks of are asked for.
fn add_names(asks: &mut Asks, session: &Session, mentioned: Option<&[Box<str>]>) {
    let own = session.tracker.committed().map().keys().cloned();
    let others = mentioned.unwrap_or_default().iter().cloned();
    let dotted = own.chain(others).filter(|name| name.contains('.'));
    let room = NAMES_ASKED_MAX.saturating_sub(asks.names.len());
    asks.names.extend(dotted.take(room));
    asks.mentioned |= mentioned.is_none();
}
