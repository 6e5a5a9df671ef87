//! A Parse: what a statement is known by here and on its backend.
//!
//! Named statements are prepared under a name of ours, and not again where they are known. The unnamed one goes as it is. Too long
//! ones live on one backend only.

use super::bind::Compared;
use super::{FromClient, Step, answer_locals};
use crate::backend::Presence;
use crate::exchange::{Awaits, Expect, ExpectParse, LocalParse};
use crate::pinning;
use crate::session::STATEMENT_NAME_BYTES_MAX;
use crate::statements::{Name, STATEMENT_BYTES_MAX, Statement};
use crate::wire::read::Fields;
use crate::wire::{HEADER_BYTES, Header, write};
use forebay_core::PinReason;
use forebay_core::orders::Order;
use std::sync::Arc;

impl FromClient<'_> {
    pub(super) fn parse(&mut self, header: Header, rest: &[u8]) -> Step {
        if header.len > STATEMENT_BYTES_MAX {
            return self.long_parse(header, rest);
        }
        let body = match self.whole(header, rest, STATEMENT_BYTES_MAX) {
            Ok(body) => body,
            Err(step) => return step,
        };
        let mut fields = Fields(body);
        let (Ok(name), Ok(text)) = (fields.string(), fields.string()) else {
            return self.violation("invalid message format");
        };
        let types = fields.0;
        if name.len() > STATEMENT_NAME_BYTES_MAX {
            return self.violation("statement name is too long");
        }
        if name.is_empty() {
            self.parse_unnamed(header, rest, text, types)
        } else {
            self.parse_named((header, rest), name, text, types)
        }
    }

    /// Whether it depends on a segment under way if this name is taken.
    fn is_taken_in_doubt(&self, name: &[u8]) -> bool {
        let exchange = &self.backend.exchange;
        let known = self.session.prepared.get(name).is_some();
        exchange.segments() > 0 && (known || exchange.closes_names())
    }

    /// Whether it depends on a segment under way if the backend has the statement of this name.
    pub(super) fn is_presence_in_doubt(&self, name: &Name) -> bool {
        match self.backend.prepared.presence(name) {
            Some(
                Presence::Coming(segment) | Presence::Going(segment) | Presence::Renewed(segment),
            ) => self.backend.exchange.is_running(segment),
            Some(Presence::There) | None => false,
        }
    }

    /// A statement too long to be kept: it lives on this backend alone, so the session keeps the backend.
    pub(super) fn long_parse(&mut self, header: Header, rest: &[u8]) -> Step {
        let seen = &rest[HEADER_BYTES..header.len.min(rest.len())];
        let Ok(name) = Fields(seen).string() else {
            return if seen.len() > STATEMENT_NAME_BYTES_MAX {
                self.violation("statement name is too long")
            } else {
                Step::Need(header.len.min(rest.len() + 256))
            };
        };
        if name.len() > STATEMENT_NAME_BYTES_MAX {
            return self.violation("statement name is too long");
        }
        if !name.is_empty() && (self.is_taken_in_doubt(name) || self.is_plain_in_doubt(name)) {
            return self.wait(Awaits::Segments);
        }
        pinning::keep(self.session, self.backend, PinReason::LongStatement, None);
        self.session.suspect(self.backend);
        self.part_from_strangers();
        self.backend.exchange.open_segment = true;
        if name.is_empty() {
            let unread = Statement::unread();
            let before = self.session.unnamed.replace(Arc::clone(&unread));
            let there = self.backend.unnamed.replace(Arc::clone(&unread));
            let exchange = &mut self.backend.exchange;
            exchange.give_unnamed(before.as_ref(), there.as_ref(), Some(&unread));
            exchange.push(Expect::ParseUnnamed { before, there });
            return Step::Took(self.pass(header.len, rest));
        }
        let known = self.session.prepared.get(name).cloned();
        let known = known.filter(|known| !known.is_sql);
        match &known {
            Some(known) => self.ensure_prepared(known),
            None => self.provide_presence(name),
        }
        self.backend
            .exchange
            .push(Expect::DuplicateName(name.into()));
        let Some(known) = known else {
            return Step::Took(self.pass(header.len, rest));
        };
        // The server is made to say that the name is taken.
        let head = HEADER_BYTES + name.len() + 1;
        self.orders.to_backend(|out| {
            let renamed = known.name.as_bytes();
            let len = header.len - 1 - name.len() + renamed.len();
            out.push(b'P');
            out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
            write::string(out, renamed);
        });
        self.orders.swallow(head);
        Step::Took(head + self.pass(header.len - head, &rest[head..]))
    }

    pub(super) fn parse_unnamed(
        &mut self,
        header: Header,
        rest: &[u8],
        text: &[u8],
        types: &[u8],
    ) -> Step {
        let draft = self.draft(text, types);
        // Without backslashes its effect is the same whenever it is judged; the types that the server finds may be others.
        let same = |known: &&Arc<Statement>| {
            *known.text == *text
                && *known.types == *types
                && !known.has_told_types()
                && memchr::memchr(b'\\', text).is_none()
        };
        let statement = match self.session.unnamed.as_ref().filter(same) {
            Some(known) => Arc::clone(known),
            None => Statement::unnamed(&draft),
        };
        let statement = self.suited(&statement).unwrap_or(statement);
        if self.is_run_in_doubt(&statement) {
            return self.wait(Awaits::Segments);
        }
        if let Some(step) = self.provide_inventory(text, std::slice::from_ref(&statement.effect)) {
            return step;
        }
        self.backend.exchange.open_segment = true;
        self.provide_for_run(&statement);
        let (before, there) = (self.session.unnamed.take(), self.backend.unnamed.take());
        let exchange = &mut self.backend.exchange;
        exchange.give_unnamed(before.as_ref(), there.as_ref(), Some(&statement));
        exchange.push(Expect::ParseUnnamed { before, there });
        self.session.unnamed = Some(Arc::clone(&statement));
        self.backend.unnamed = Some(Arc::clone(&statement));
        if statement.tag.is_some() {
            self.orders
                .to_backend(|out| write::parse(out, b"", statement.sent_text(), types));
            self.orders.swallow(header.len);
            return Step::Took(header.len);
        }
        Step::Took(self.pass(header.len, rest))
    }

    pub(super) fn parse_named(
        &mut self,
        (header, rest): (Header, &[u8]),
        name: &[u8],
        text: &[u8],
        types: &[u8],
    ) -> Step {
        if self.is_taken_in_doubt(name) {
            return self.wait(Awaits::Segments);
        }
        if let Some(known) = self.session.prepared.get(name).cloned() {
            if known.is_sql && self.is_plain_in_doubt(name) {
                return self.wait(Awaits::Segments);
            }
            self.part_from_strangers();
            self.backend.exchange.open_segment = true;
            if known.is_sql {
                self.provide_presence(name);
                self.backend
                    .exchange
                    .push(Expect::DuplicateName(name.into()));
                return Step::Took(self.pass(header.len, rest));
            }
            // The server is made to say so itself, so that what it skips and what it fails are as they should be.
            let known = self.usable(name, known);
            self.ensure_prepared(&known);
            self.orders
                .to_backend(|out| write::parse(out, known.name.as_bytes(), text, types));
            self.backend
                .exchange
                .push(Expect::DuplicateName(name.into()));
            self.orders.swallow(header.len);
            return Step::Took(header.len);
        }
        if !self
            .session
            .prepared
            .has_room(name, text.len() + types.len())
        {
            return self.violation("too many prepared statements");
        }
        let draft = self.draft(text, types);
        let statement = self.prepared(&draft);
        let statement = self.suited(&statement).unwrap_or(statement);
        if self.is_presence_in_doubt(&statement.name) || self.is_run_in_doubt(&statement) {
            return self.wait(Awaits::Segments);
        }
        self.part_from_strangers();
        self.backend.exchange.open_segment = true;
        self.provide_for_run(&statement);
        let statement = match self.compared(&statement) {
            Compared::Same => statement,
            Compared::NotYet(step) => return step,
            Compared::Changed(newer) => newer,
        };
        let exchange = &mut self.backend.exchange;
        let segment = exchange.segment();
        self.session
            .prepared
            .insert(name.into(), Arc::clone(&statement), segment);
        let presence = self.backend.prepared.presence(&statement.name);
        if !matches!(presence, None | Some(Presence::Going(_))) {
            let there = presence == Some(Presence::There);
            if there && exchange.segments() == 0 && exchange.status != b'E' {
                exchange.push(Expect::LocalParse(Box::new(LocalParse {
                    client_name: name.into(),
                })));
                self.orders.swallow(header.len);
                answer_locals(self.backend, self.orders);
                return Step::Took(header.len);
            }
            // Whether the transaction will have failed by then, or whether the statement will be there, is not known: the server
            // decides.
            self.take_off(statement.name);
        }
        self.send_parse(&statement, Some(name.into()));
        self.orders.swallow(header.len);
        Step::Took(header.len)
    }

    /// Prepares a statement on the backend under its name of ours.
    pub(super) fn send_parse(
        &mut self,
        statement: &Arc<Statement>,
        client_name: Option<Box<[u8]>>,
    ) {
        let segment = self.backend.exchange.segment();
        if let Some(oldest) = self.backend.prepared.comes(statement.name, segment) {
            self.orders
                .to_backend(|out| write::close(out, b'S', oldest.as_bytes()));
            let of = Some(oldest);
            self.backend
                .exchange
                .push(Expect::Close { swallow: true, of });
        }
        self.orders.to_backend(|out| {
            write::parse(
                out,
                statement.name.as_bytes(),
                statement.sent_text(),
                statement.types_to_keep(),
            );
        });
        if client_name.is_none() {
            self.orders.push(Order::Reprepared);
        }
        let statement = Arc::clone(statement);
        self.backend
            .exchange
            .push(Expect::Parse(Box::new(ExpectParse {
                statement,
                client_name,
            })));
    }
}
