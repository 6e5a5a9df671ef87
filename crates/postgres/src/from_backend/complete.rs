//! CommandComplete: a statement was executed, and what it does is done.
//!
//! What it does was read off its text when it was sent, or else is read off its tag now.

use super::{FromBackend, Step, executed};
use crate::customs::{self, CUSTOMS_MAX};
use crate::exchange::{Expect, Segment};
use crate::pinning;
use crate::said::Said;
use crate::sql::Effect;
use crate::statements::Statement;
use crate::wire::{Header, write};
use forebay_core::PinReason;
use std::sync::Arc;

impl FromBackend<'_> {
    pub(super) fn complete(&mut self, header: Header, rest: &[u8]) -> Step {
        if self.backend.exchange.is_copying_in() {
            return self.broken("a COPY was completed before its data");
        }
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
        let mut made = None;
        let unread = match self.backend.exchange.front() {
            Some(Expect::Query(query)) => query.done >= query.effects.len(),
            Some(Expect::Execute(Some(statement))) => statement.is_unread,
            _ => false,
        };
        let (effect, shown) = match self.backend.exchange.front_mut() {
            Some(Expect::Query(query)) => {
                made = query.named.made(query.done);
                let effect = query
                    .effects
                    .get(query.done)
                    .cloned()
                    .unwrap_or_else(|| effect_of_tag(tag));
                query.done += 1;
                (effect, query.tag.clone())
            }
            Some(Expect::Execute(Some(statement))) if statement.is_unread => {
                (effect_of_tag(tag), None)
            }
            Some(Expect::Execute(Some(statement))) => {
                made = statement.named.made(0);
                (statement.effect.clone(), statement.tag.map(Box::from))
            }
            _ => return self.broken("checked above"),
        };
        let effect = match tag {
            // What EXECUTE runs by name may be that, too.
            b"DEALLOCATE ALL" if matches!(effect, Effect::Pin(_) | Effect::PinMany(_)) => {
                Effect::DeallocateAll
            }
            b"DEALLOCATE" if matches!(effect, Effect::Pin(_) | Effect::PinMany(_)) => {
                effect_of_tag(tag)
            }
            _ => effect,
        };
        if unread
            && effect == Effect::Pin(PinReason::UntrackedSetting)
            && let Some(session) = self.session.as_deref_mut()
        {
            // Which setting it was, its tag does not tell.
            session.settings_unknown = true;
        }
        if effect != Effect::Pure && changes_schema(tag) {
            self.backend.exchange.schema_changed = true;
            if let Some(session) = self.session.as_deref() {
                self.shared.statements.on_schema_changed(session.scope);
                if changes_code(tag) {
                    self.shared.statements.on_code_changed(session.scope);
                }
            }
        }
        if let (Effect::Prepare(prepares), Some(made)) = (&effect, made) {
            self.note_made(prepares.name.as_bytes(), made);
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

    /// PortalSuspended: a statement was executed in part, and what it has done so far is done.
    pub(super) fn suspended(&mut self, header: Header, rest: &[u8]) -> Step {
        let effect = match self.backend.exchange.front() {
            Some(Expect::Execute(None)) => Effect::Pure,
            Some(Expect::Execute(Some(statement))) if statement.is_unread => Effect::Opaque,
            Some(Expect::Execute(Some(statement))) => statement.effect.clone(),
            _ => return self.broken("a backend suspended a portal that nobody executes"),
        };
        self.apply(&effect, b"", false);
        let step = self.pass(header, rest);
        self.backend.exchange.pop();
        self.answer_locals();
        step
    }

    /// A statement has a name that PREPARE gave it, which its backend knows.
    fn note_made(&mut self, name: &[u8], made: Arc<Statement>) {
        if let Some(session) = self.session.as_deref_mut() {
            self.backend.plain.is(name, Some(made.name));
            session.prepared.insert(name.into(), made, Segment::DONE);
        }
    }

    /// A statement was completed, or one that stands in for it.
    pub(super) fn apply(&mut self, effect: &Effect, tag: &[u8], stood_in: bool) {
        let Some(session) = self.session.as_deref_mut() else {
            return;
        };
        let exchange = &mut self.backend.exchange;
        exchange.notifies |= effect.may_notify();
        match effect {
            Effect::Pure | Effect::Notify => return,
            Effect::Listen(_) => exchange.listens = true,
            Effect::Unlisten(_) | Effect::UnlistenAll => {}
            Effect::Opaque
            | Effect::CopyIn
            | Effect::Execute(_)
            | Effect::Pin(_)
            | Effect::PinMany(_) => {
                exchange.opaque = true;
                exchange.opaque_behind_reset |= session.tracker.restores_again();
            }
            Effect::Close => {}
            _ => exchange.tracked = true,
        }
        session
            .tracker
            .on_complete(effect, tag, &mut self.shared.settings);
        let named = &mut exchange.customs;
        if named.len() <= CUSTOMS_MAX {
            named.extend(customs::named_by(effect).map(Box::from));
        }
        let untracked = PinReason::UntrackedSetting;
        let too_many = session.customs.map().len() + named.len() > CUSTOMS_MAX;
        if (session.tracker.has_lost() || too_many) && !session.pins.contains(untracked) {
            session.settings_unknown = true;
            let executed = executed(&self.backend.exchange);
            let said = executed.as_deref().and_then(Said::statement);
            pinning::pin(session, self.backend, untracked, said);
            session.suspect(self.backend);
        }
        if !session.pins.is_empty() && pinning::may_end(tag) {
            let asks = self.backend.exchange.asks();
            asks.verify_all(session.pins);
            if session.is_doubted {
                asks.verify(PinReason::ProcedureCall);
            }
        }
        match effect {
            Effect::DiscardAll => {
                // The unnamed statement stays (`DropAllPreparedStatements`).
                session.prepared.clear();
                self.backend.prepared.clear();
                self.backend.plain.clear();
                pinning::on_discard_all(session, self.backend, self.orders);
            }
            Effect::DeallocateAll => {
                session.prepared.clear();
                if !stood_in {
                    // It was the real one: names of ours are gone as well.
                    self.backend.prepared.clear();
                    self.backend.plain.clear();
                }
            }
            Effect::Deallocate(name) => {
                let own = session.prepared.remove(name.as_bytes());
                if !stood_in {
                    self.backend.plain.is(name.as_bytes(), None);
                }
                if !own {
                    // The server shows names of ours to everybody.
                    self.backend.prepared.is_lost(name.as_bytes());
                }
            }
            // Only this backend has it: code that nobody here reads has prepared it.
            Effect::Execute(_) => {
                let executed = executed(&self.backend.exchange);
                let said = executed.as_deref().and_then(Said::statement);
                pinning::pin(session, self.backend, PinReason::SqlPrepare, said);
            }
            Effect::Pin(reason) => {
                let executed = executed(&self.backend.exchange);
                let said = executed.as_deref().and_then(Said::statement);
                pinning::pin(session, self.backend, *reason, said);
                if *reason == PinReason::LongStatement {
                    pinning::keep(session, self.backend, *reason, said);
                }
            }
            Effect::DiscardSequences => {
                pinning::on_discard_sequences(session, self.backend, self.orders);
            }
            _ => {}
        }
    }
}

/// Whether a command's tag is that of a change to tables, types or functions.
fn changes_schema(tag: &[u8]) -> bool {
    [&b"ALTER "[..], b"CREATE ", b"DROP "]
        .iter()
        .any(|word| tag.starts_with(word))
}

/// Whether a command's tag is that of a change to what may run behind other statements: functions, triggers, rules, defaults, views.
fn changes_code(tag: &[u8]) -> bool {
    let harmless: [&[u8]; 7] = [
        b"CREATE TABLE",
        b"CREATE INDEX",
        b"CREATE SEQUENCE",
        b"DROP TABLE",
        b"DROP INDEX",
        b"DROP SEQUENCE",
        b"CREATE TABLE AS",
    ];
    changes_schema(tag) && !harmless.contains(&tag)
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
        // Which name is free again, nobody here knows.
        b"DEALLOCATE" => Effect::Pin(PinReason::LongStatement),
        b"LISTEN" => Effect::Pin(PinReason::Listen),
        b"PREPARE" => Effect::Pin(PinReason::SqlPrepare),
        b"LOAD" => Effect::Pin(PinReason::LoadLibrary),
        b"DECLARE CURSOR" => Effect::Pin(PinReason::HoldableCursor),
        b"DO" | b"CALL" => Effect::Pin(PinReason::ProcedureCall),
        _ => Effect::Opaque,
    }
}
