//! A simple Query: what its text does, and what goes to the backend in its place.
//!
//! Short texts are read; of long ones the tags of their answers must tell. A DEALLOCATE of names that only the proxy knows is
//! replaced by a statement that does nothing.

use super::listen::Heard;
use super::{CANNOT_LISTEN, FromClient, QUERY_INSPECTED_BYTES_MAX, Step};
use crate::exchange::{Awaits, Expect, ExpectQuery};
use crate::said::Said;
use crate::sql::{Class, Effect};
use crate::statements::{self, Named, STAND_IN, Statement};
use crate::wire::{Header, write};
use forebay_core::PinReason;
use std::sync::Arc;

impl FromClient<'_> {
    pub(super) fn query(&mut self, header: Header, rest: &[u8]) -> Step {
        if header.len > QUERY_INSPECTED_BYTES_MAX {
            return self.long_query(header, rest);
        }
        let body = match self.whole(header, rest, QUERY_INSPECTED_BYTES_MAX) {
            Ok(body) => body,
            Err(step) => return step,
        };
        let Some((0, text)) = body.split_last() else {
            return self.violation("invalid message format");
        };
        let conforming = self.draft(text, b"").conforming;
        let class = statements::judge(text, conforming);
        if let Class::Statements(effects) = &class
            && effects.iter().any(|effect| self.is_drop_in_doubt(effect))
        {
            return self.wait(Awaits::Segments);
        }
        let effects = match &class {
            Class::Pure => &[][..],
            Class::Statements(effects) => effects,
        };
        let listens = |effect: &&Effect| matches!(effect, Effect::Listen(_));
        self.listens = effects.iter().filter(listens).count();
        match self.hear_for_query(effects) {
            // Now they are counted among those that were sent.
            Heard::Yes => self.listens = 0,
            Heard::NotYet(step) => return step,
            Heard::Never(words) => {
                self.send_denied_query(words);
                self.orders.swallow(header.len);
                return Step::Took(header.len);
            }
        }
        if let Some(step) = self.provide_inventory(text, effects) {
            return step;
        }
        let mut effects = match class {
            Class::Pure => {
                self.requests += 1;
                self.forget_unnamed();
                self.backend.exchange.push(Expect::PlainQuery(self.now));
                return Step::Took(self.pass(header.len, rest));
            }
            Class::Statements(effects) => effects,
        };
        let stands_in = effects.len() == 1 && self.is_virtual(&effects[0]);
        let tag = if stands_in {
            statements::stand_in_tag(&effects[0])
        } else {
            None
        };
        if tag.is_none()
            && let Some(step) = self.provide_for_query(&effects)
        {
            return step;
        }
        self.requests += 1;
        self.forget_unnamed();
        let uses = self.resolve(&mut effects);
        let said = Some(Said::new(text, conforming));
        self.note(&effects, said);
        self.note_taint_of(&uses);
        let Some(makes) = self.makes(&effects, text) else {
            return self.violation("too many prepared statements");
        };
        self.backend
            .exchange
            .push(Expect::Query(Box::new(ExpectQuery {
                effects,
                done: 0,
                since: self.now,
                tag: tag.map(Box::from),
                named: Named { makes, uses },
            })));
        if tag.is_some() {
            self.orders.to_backend(|out| write::query(out, STAND_IN));
            self.orders.swallow(header.len);
            return Step::Took(header.len);
        }
        Step::Took(self.pass(header.len, rest))
    }

    /// A Query ends the unnamed statement. To be noted only when it is sent: until then the lease may end.
    pub(super) fn forget_unnamed(&mut self) {
        self.session.unnamed = None;
        self.backend.unnamed = None;
    }

    /// A query too long to be looked into: what it did is read off the tags of its answer.
    pub(super) fn long_query(&mut self, header: Header, rest: &[u8]) -> Step {
        let exchange = &self.backend.exchange;
        if self
            .backend
            .plain
            .is_any(|since| exchange.is_running(since))
        {
            return self.wait(Awaits::Segments);
        }
        // Whatever it does, it may end a transaction.
        match self.hear_for_end(&[Effect::Pin(PinReason::ProcedureCall)]) {
            Heard::Yes => {}
            Heard::NotYet(step) => return step,
            Heard::Never(_) => return self.violation(CANNOT_LISTEN),
        }
        self.requests += 1;
        self.forget_unnamed();
        self.part_from_strange_names(&[]);
        // Whatever it did that its tags do not tell.
        self.note(&[Effect::Pin(PinReason::ProcedureCall)], None);
        self.backend
            .exchange
            .push(Expect::Query(Box::new(ExpectQuery {
                effects: Vec::new(),
                done: 0,
                since: self.now,
                tag: None,
                named: Named::default(),
            })));
        Step::Took(self.pass(header.len, rest))
    }

    /// Whether a DEALLOCATE speaks of names that this backend does not have. A session that is pinned, for whatever reason, may have
    /// others.
    fn is_virtual(&self, effect: &Effect) -> bool {
        match effect {
            Effect::DeallocateAll => self.session.pins.is_empty(),
            Effect::Deallocate(name) => {
                let own = self.session.prepared.get(name.as_bytes());
                own.is_some_and(|own| self.backend.plain.get(name.as_bytes()) != Some(own.name))
            }
            _ => false,
        }
    }

    /// Whether it depends on a segment under way if the name that a DEALLOCATE speaks of exists only here.
    pub(super) fn is_drop_in_doubt(&self, effect: &Effect) -> bool {
        matches!(effect, Effect::Deallocate(name) if self.is_name_in_doubt(name.as_bytes()) || self.is_plain_in_doubt(name.as_bytes()))
    }

    /// A statement in the form that suits what there is to be dropped: the client's own, or one that stands in for it. `None` if it
    /// has that form.
    pub(super) fn suited(&self, statement: &Arc<Statement>) -> Option<Arc<Statement>> {
        let tag = statements::stand_in_tag(&statement.effect)?;
        let tag = self.is_virtual(&statement.effect).then_some(tag);
        (statement.tag != tag).then(|| statement.standing_in(tag))
    }
}
