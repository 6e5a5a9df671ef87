//! Answers to what the proxy asked by itself: of them the client sees nothing.
//!
//! They set a backend's settings for its session, again or for the first time, or roll back what a client left behind.

use super::{FromBackend, Step, tell_reports};
use crate::backend::Mark;
use crate::exchange::Expect;
use crate::from_client::answer_locals;
use crate::listening;
use crate::probe::Probe;
use crate::session::Stage;
use crate::wire::Header;
use crate::wire::read::ErrorFields;
use forebay_core::orders::Order;
use forebay_core::{CloseReason, Refusal};
use std::sync::Arc;

impl FromBackend<'_> {
    /// The answer to a query of ours.
    pub(super) fn hidden(&mut self, header: Header, rest: &[u8]) -> Step {
        match header.kind {
            b'S' => match self.body(header, rest) {
                Ok(body) => {
                    self.note_report(body);
                    self.hide(header, rest)
                }
                Err(Step::Stop) => self.broken("a ParameterStatus is impossibly long"),
                Err(step) => step,
            },
            b'E' if self.probe().is_some() => {
                if let Some(probe) = self.probe() {
                    probe.failed = true;
                }
                self.hide(header, rest)
            }
            b'E' if matches!(self.backend.exchange.front(), Some(Expect::Attempt)) => {
                self.hide(header, rest)
            }
            b'E' => match self.body(header, rest) {
                Ok(body) => {
                    let error = ErrorFields::read(body);
                    let text = |bytes: &[u8]| Arc::from(String::from_utf8_lossy(bytes));
                    self.backend.replay_error = Some((text(error.code), text(error.message)));
                    if self.is_at_guard() {
                        // The server skips whatever is behind it.
                        self.orders.swallow(header.len);
                        self.refuse_replay(false);
                        return Step::Stop;
                    }
                    self.hide(header, rest)
                }
                Err(Step::Stop) => self.broken("an error of a backend is impossibly long"),
                Err(step) => step,
            },
            b'Z' if !self.is_at_guard() => match self.body(header, rest) {
                Ok(&[status]) => {
                    self.orders.swallow(header.len);
                    self.end_hidden(status);
                    Step::Took(header.len)
                }
                Ok(_) | Err(Step::Stop) => self.broken("a ReadyForQuery has no status"),
                Err(step) => step,
            },
            kind @ (b'1' | b'3') if self.is_at_guard() => {
                let step = self.hide(header, rest);
                let set = matches!(self.backend.exchange.front(), Some(Expect::GuardSet));
                if set || kind == b'3' {
                    self.backend.exchange.pop();
                    self.answer_locals();
                }
                step
            }
            b'A' => self.notified(header, rest),
            b'N' => self.hide(header, rest),
            _ if self.is_at_guard() => {
                self.broken("a backend answered a guard of ours with something else")
            }
            // An initialization query may also copy something out.
            b'C' | b'T' | b'I' | b'1' | b'2' | b'3' | b'H' | b'c' => self.hide(header, rest),
            _ => self.broken("a backend answered a query of ours with something else"),
        }
    }

    /// A row of what was asked.
    pub(super) fn probed(&mut self, header: Header, rest: &[u8]) -> Step {
        match self.body(header, rest) {
            Ok(body) => {
                if let Some(probe) = self.probe() {
                    probe.on_row(body);
                }
            }
            Err(Step::Stop) => {
                if let Some(probe) = self.probe() {
                    probe.failed = true;
                }
            }
            Err(step) => return step,
        }
        self.hide(header, rest)
    }

    fn probe(&mut self) -> Option<&mut Probe> {
        match self.backend.exchange.front_mut() {
            Some(Expect::Probe(probe)) => Some(probe),
            _ => None,
        }
    }

    fn is_at_guard(&self) -> bool {
        let front = self.backend.exchange.front();
        matches!(front, Some(Expect::GuardSet | Expect::Guard))
    }

    /// What the session wants is not in force, and nothing that it has sent is executed.
    fn refuse_replay(&mut self, held: bool) {
        let (Some(session), Some((code, message))) =
            (&self.session, self.backend.replay_error.take())
        else {
            return;
        };
        // Nobody knows what it holds now.
        self.backend.suspect = Some(Mark::NOBODY);
        self.released = true;
        match &session.stage {
            // Somebody intervened (operator_intervention), a time-out among others, or there was not enough of something.
            Stage::Ready if code.starts_with("57") || code.starts_with("53") => {
                self.orders.refuse(Refusal::BackendLost);
            }
            Stage::Ready if !held => self
                .orders
                .push(Order::Bug("a setting that was accepted before is refused")),
            _ => self
                .orders
                .refuse(Refusal::SettingRefused { code, message }),
        }
    }

    pub(super) fn end_hidden(&mut self, status: u8) {
        let ended = self.backend.exchange.pop();
        self.backend.exchange.status = status;
        if let Some(Expect::Probe(probe)) = ended {
            return self.end_probe(&probe);
        }
        let parting = matches!(ended, Some(Expect::Parting));
        let cleaning = parting || matches!(ended, Some(Expect::Cleaning));
        let more = matches!(
            self.backend.exchange.front(),
            Some(Expect::Replay | Expect::Attempt)
        );
        if more && self.backend.replay_error.is_none() && self.session.is_some() {
            // Only together they are what was to be set.
            return;
        }
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
        if parting {
            return self.end_parting(error.is_some());
        }
        if error.is_some() {
            self.backend.replay_error = error;
            return self.refuse_replay(held);
        }
        if let Stage::Admission(_) = session.stage {
            self.released =
                crate::engine::finish_admission(self.shared, session, self.backend, self.orders);
            return;
        }
        tell_reports(session, self.backend, self.orders);
        // What the client asked meanwhile may be ours to answer.
        answer_locals(self.backend, self.orders);
        if held {
            // The lease was taken for what the client has asked and not been able to send yet.
            return self.orders.push(Order::Resume);
        }
        if self.end_waiting() {
            return;
        }
        self.release_if_clean();
    }

    /// What the backend must not take along is off, and the session goes on without it.
    fn end_parting(&mut self, failed: bool) {
        if failed {
            self.backend.suspect = Some(Mark::NOBODY);
        }
        if let Some(session) = self.session.as_deref_mut() {
            listening::deliver(session, Some(self.backend), self.orders);
        }
        // What the client has sent meanwhile asks for a backend anew.
        self.orders.push(Order::Resume);
        self.orders.push(Order::Release);
        self.released = true;
    }
}
