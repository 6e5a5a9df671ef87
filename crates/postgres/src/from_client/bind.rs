//! Bind, Describe, Execute and Close: a statement is used, under the name that it has on this backend.
//!
//! What the backend lacks is prepared again before; what it has of others is taken away before. Neither shows.

use super::listen::Heard;
use super::{FromClient, NAMES_BYTES_MAX, Step, answer_locals};
use crate::backend::{Presence, Seen};
use crate::errors;
use crate::exchange::{About, Awaits, Expect, LocalClose};
use crate::said::Said;
use crate::sql;
use crate::statements::{NOBODYS_NAME, Statement, is_like_ours};
use crate::wire::read::Fields;
use crate::wire::{HEADER_BYTES, Header, write};
use forebay_core::PinReason;
use forebay_core::orders::Order;
use std::sync::Arc;

/// A statement as a portal has it that is bound to these parameters, where they name settings. `fields` is what comes behind the names of a
/// Bind.
fn bound_to(statement: Arc<Statement>, fields: Fields<'_>, is_whole: bool) -> Arc<Statement> {
    let is_asked = statement.effect.pins().contains(&PinReason::SetConfig);
    if !is_asked || !is_whole || memchr::memchr(b'$', &statement.text).is_none() {
        return statement;
    }
    let values = parameters(fields).unwrap_or_default();
    let value = |number: usize| {
        let value = values.get(number.checked_sub(1)?)?.as_ref()?;
        Some(std::str::from_utf8(value).ok()?.to_owned())
    };
    match sql::mentioned_with(&statement.text, true, value) {
        Some(settings) => statement.naming(settings),
        None => statement,
    }
}

/// The values of a Bind's parameters; `None` if they cannot be read. A text is the same in both formats.
fn parameters(mut fields: Fields<'_>) -> Option<Vec<Option<&[u8]>>> {
    for _ in 0..fields.u16().ok()? {
        fields.u16().ok()?;
    }
    let count = fields.u16().ok()?;
    let mut values = Vec::new();
    for _ in 0..count {
        let len = fields.u32().ok()?;
        if len == u32::MAX {
            values.push(None);
            continue;
        }
        let (value, rest) = fields.0.split_at_checked(usize::try_from(len).ok()?)?;
        fields.0 = rest;
        values.push(Some(value));
    }
    Some(values)
}

/// What became of comparing a statement's columns.
pub(super) enum Compared {
    /// They are what they were, or nobody was told any.
    Same,
    /// The server is asked.
    NotYet(Step),
    /// They are others: what is prepared from now on.
    Changed(Arc<Statement>),
}

impl FromClient<'_> {
    pub(super) fn ensure_prepared(&mut self, statement: &Arc<Statement>) {
        if let None | Some(Presence::Going(_)) = self.backend.prepared.presence(&statement.name) {
            self.send_parse(statement, None);
        }
    }

    /// Whether it depends on a segment under way what this name means.
    pub(super) fn is_name_in_doubt(&self, name: &[u8]) -> bool {
        let exchange = &self.backend.exchange;
        match self.session.prepared.given(name) {
            Some(given) => exchange.is_running(given.since),
            None => exchange.segments() > 0 && exchange.closes_names(),
        }
    }

    /// Whether it depends on a segment under way what this name means, or if the backend has its statement. Not where the server says so
    /// itself: where the Parse that gave the name is the one that the backend has the statement from.
    fn is_in_doubt(&self, name: &[u8]) -> bool {
        let in_doubt = self.is_name_in_doubt(name);
        let Some(given) = self.session.prepared.given(name) else {
            return in_doubt;
        };
        match self.backend.prepared.presence(&given.statement.name) {
            Some(Presence::Coming(segment)) if in_doubt => {
                // Closed before it was given again, the name has its old meaning if both are skipped.
                let closed = self.backend.exchange.closes_names();
                segment != given.since
                    || closed
                    || self.suited(&given.statement).is_some()
                    || !self.is_usable(&given.statement)
            }
            _ => {
                in_doubt
                    || self.is_presence_in_doubt(&given.statement.name)
                    || self.is_replacement_in_doubt(&given.statement)
            }
        }
    }

    /// Whether what a Bind or Describe says of a statement must not be understood yet.
    fn is_statement_in_doubt(&self, name: &[u8]) -> bool {
        if self.backend.exchange.segments() == 0 {
            return false;
        }
        let (statement, in_doubt) = if name.is_empty() {
            let (exchange, own) = (&self.backend.exchange, self.session.unnamed.as_ref());
            let sent_anew = || own.is_some_and(|own| self.suited(own).is_some());
            let in_doubt = exchange.doubts_unnamed() || (exchange.gives_unnamed() && sent_anew());
            (own, in_doubt)
        } else {
            (self.session.prepared.get(name), self.is_in_doubt(name))
        };
        in_doubt
            || (!name.is_empty() && self.is_plain_in_doubt(name))
            || statement.is_some_and(|statement| {
                self.is_drop_in_doubt(&statement.effect) || self.is_run_in_doubt(statement)
            })
    }

    /// What a name means, with the stand-in that it takes now.
    fn named(&mut self, name: &[u8]) -> Option<Arc<Statement>> {
        let statement = self.session.prepared.get(name)?;
        let Some(suited) = self.suited(statement) else {
            return Some(Arc::clone(statement));
        };
        if let Some(given) = self.session.prepared.given_mut(name) {
            given.statement = Arc::clone(&suited);
        }
        Some(suited)
    }

    /// The statement of a name as it is used now; the backend has it, or will have.
    fn ready_for_use(
        &mut self,
        name: &[u8],
        statement: Arc<Statement>,
    ) -> Result<Arc<Statement>, Step> {
        if statement.is_sql {
            self.provide_itself(name);
            let given = self.session.prepared.get(name).cloned();
            return Ok(given.unwrap_or(statement));
        }
        self.provide_for_run(&statement);
        let statement = self.usable(name, statement);
        if self.is_used_plainly(name, &statement) {
            return Ok(statement);
        }
        match self.compared(&statement) {
            Compared::Same => self.ensure_prepared(&statement),
            Compared::NotYet(step) => return Err(step),
            Compared::Changed(newer) => {
                if let Some(given) = self.session.prepared.given_mut(name) {
                    given.statement = newer;
                }
                // The server skips the client's message.
                self.send_denied(Box::new(errors::cached_plan_changed()));
            }
        }
        Ok(statement)
    }

    /// Whether the columns of a statement are still those that its client was told, where this backend has not got it, or has got it without
    /// a look at them.
    pub(super) fn compared(&mut self, statement: &Arc<Statement>) -> Compared {
        let seen = self.backend.prepared.seen(&statement.name);
        let exchange = &self.backend.exchange;
        let failed = exchange.status == b'E' && exchange.segments() == 0;
        if seen == Some(Seen::AsTold) || failed || statement.tag.is_some() {
            return Compared::Same;
        }
        if seen == Some(Seen::Others) {
            if !self.backend.exchange.is_empty() {
                // Behind an error all of this would be skipped.
                return Compared::NotYet(self.wait(Awaits::Answers));
            }
            self.take_off(statement.name);
            return Compared::Changed(self.shared.statements.renew(statement));
        }
        let version = self.shared.statements.schema_version(self.session.scope);
        if !statement.columns.are_in_doubt(self.now, version) {
            return Compared::Same;
        }
        if seen.is_some() {
            if statement.is_momentary() {
                // Preparing it again would bring another moment.
                return Compared::Same;
            }
            self.take_off(statement.name);
        }
        self.send_parse(statement, None);
        self.orders.to_backend(|out| {
            write::message(out, b'D', |out| {
                out.push(b'S');
                write::string(out, statement.name.as_bytes());
            });
        });
        let statement = Arc::clone(statement);
        self.backend.exchange.push(Expect::Compare(statement));
        Compared::NotYet(self.wait(Awaits::Answers))
    }

    /// What the unnamed statement runs by name must be there when it is parsed, and when it is bound.
    fn provide_for_unnamed(&mut self) {
        if let Some(own) = self.session.unnamed.clone() {
            self.provide_for_run(&own);
        }
    }

    /// Another session's unnamed statement leaves the backend with the first message of a segment, which an error cannot skip;
    /// behind an error, a later message might find it.
    pub(super) fn part_from_strangers(&mut self) {
        let Some(there) = &self.backend.unnamed else {
            return;
        };
        let own = self.session.unnamed.as_ref();
        if self.backend.exchange.open_segment || own.is_some_and(|own| Arc::ptr_eq(own, there)) {
            return;
        }
        self.orders.to_backend(|out| write::close(out, b'S', b""));
        self.backend.exchange.push(Expect::Close {
            swallow: true,
            of: None,
        });
        self.backend.unnamed = None;
    }

    /// Makes sure that the backend's unnamed statement is this session's, or none.
    pub(super) fn ensure_unnamed(&mut self) {
        if let Some(suited) = self
            .session
            .unnamed
            .as_ref()
            .and_then(|own| self.suited(own))
        {
            self.session.unnamed = Some(suited);
        }
        match (&self.session.unnamed, &self.backend.unnamed) {
            (Some(wanted), Some(there)) if Arc::ptr_eq(wanted, there) => {}
            (Some(wanted), _) => {
                let mut wanted = Arc::clone(wanted);
                if memchr::memchr(b'\\', &wanted.text).is_some() && wanted.tag.is_none() {
                    // What it does depends on how this server reads it now.
                    let types = wanted.types_to_keep();
                    wanted = Statement::unnamed(&self.draft(&wanted.text, types));
                    self.session.unnamed = Some(Arc::clone(&wanted));
                }
                self.orders.to_backend(|out| {
                    write::parse(out, b"", wanted.sent_text(), wanted.types_to_keep())
                });
                let there = self.backend.unnamed.replace(wanted);
                self.backend.exchange.push(Expect::ReparseUnnamed { there });
                self.orders.push(Order::Reprepared);
            }
            (None, _) => {
                // Another session's, or one that an error has left there: it must not be found.
                self.orders.to_backend(|out| write::close(out, b'S', b""));
                self.backend.exchange.push(Expect::Close {
                    swallow: true,
                    of: None,
                });
                self.backend.unnamed = None;
            }
        }
    }

    pub(super) fn about(&self, name: &[u8], statement: &Arc<Statement>) -> About {
        About {
            statement: Some(Arc::clone(statement)),
            client_name: Some(name.into()),
            ..About::default()
        }
    }

    pub(super) fn bind(&mut self, header: Header, rest: &[u8]) -> Step {
        let seen = &rest[HEADER_BYTES..header.len.min(rest.len())];
        let mut fields = Fields(seen);
        let (Ok(portal), Ok(name)) = (fields.string(), fields.string()) else {
            return if header.len <= rest.len() || seen.len() > NAMES_BYTES_MAX {
                self.violation("invalid message format")
            } else {
                Step::Need(header.len.min(rest.len() + 256))
            };
        };
        if self.is_statement_in_doubt(name) {
            return self.wait(Awaits::Segments);
        }
        if let Some(step) = self.provide_inventory_for(name) {
            return step;
        }
        if !name.is_empty() {
            self.part_from_strangers();
        }
        self.backend.exchange.open_segment = true;
        if name.is_empty() {
            self.provide_for_unnamed();
            self.ensure_unnamed();
            let about = About::default();
            let bound = self.session.unnamed.clone();
            let bound =
                bound.map(|statement| bound_to(statement, fields, header.len <= rest.len()));
            if !self.send_bind(portal, bound, about) {
                return self.violation("too many portals");
            }
            return Step::Took(self.pass(header.len, rest));
        }
        let Some(statement) = self.named(name) else {
            return self.bind_unknown(portal, name, header, rest);
        };
        let statement = match self.ready_for_use(name, statement) {
            Ok(statement) => statement,
            Err(step) => return step,
        };
        let about = self.about(name, &statement);
        let (renamed, is_plain) = (statement.name, self.is_used_plainly(name, &statement));
        let statement = bound_to(statement, fields, header.len <= rest.len());
        if !self.send_bind(portal, Some(statement), about) {
            return self.violation("too many portals");
        }
        if is_plain {
            return Step::Took(self.pass(header.len, rest));
        }
        Step::Took(self.pass_bind(portal, name, renamed.as_bytes(), header, rest))
    }

    /// A Bind of a name that only the server may know. It says that there is no such statement, unless the session has prepared one in
    /// a way that is not seen.
    fn bind_unknown(&mut self, portal: &[u8], name: &[u8], header: Header, rest: &[u8]) -> Step {
        self.provide_itself(name);
        let unread = (!self.session.pins.is_empty()).then(Statement::unread);
        if !self.send_bind(portal, unread, about_unknown(name)) {
            return self.violation("too many portals");
        }
        if is_like_ours(name) {
            return Step::Took(self.pass_bind(portal, name, NOBODYS_NAME, header, rest));
        }
        Step::Took(self.pass(header.len, rest))
    }

    /// Forwards a Bind with another name in the place of the client's.
    fn pass_bind(
        &mut self,
        portal: &[u8],
        name: &[u8],
        renamed: &[u8],
        header: Header,
        rest: &[u8],
    ) -> usize {
        let head = HEADER_BYTES + portal.len() + 1 + name.len() + 1;
        self.orders.to_backend(|out| {
            let len = header.len - 1 - name.len() + renamed.len();
            out.push(b'B');
            out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
            write::string(out, portal);
            write::string(out, renamed);
        });
        self.orders.swallow(head);
        head + self.pass(header.len - head, &rest[head..])
    }

    /// Notes a Bind that is sent, and what executing its portal will do; false if there are too many portals.
    fn send_bind(
        &mut self,
        portal: &[u8],
        statement: Option<Arc<Statement>>,
        mut about: About,
    ) -> bool {
        let exchange = &mut self.backend.exchange;
        let Ok(rebound) = exchange.portals.bind(portal, statement.as_ref()) else {
            return false;
        };
        about.rebound = rebound;
        exchange.push(Expect::Bind(about));
        true
    }

    pub(super) fn describe(&mut self, header: Header, rest: &[u8]) -> Step {
        let body = match self.whole(header, rest, NAMES_BYTES_MAX) {
            Ok(body) => body,
            Err(step) => return step,
        };
        if let [b'S', name @ .., 0] = body
            && self.is_statement_in_doubt(name)
        {
            return self.wait(Awaits::Segments);
        }
        if body != b"S\0" {
            self.part_from_strangers();
        }
        self.backend.exchange.open_segment = true;
        let mut about = About::default();
        match body {
            [b'S', 0] => {
                self.provide_for_unnamed();
                self.ensure_unnamed();
                about.described = self.session.unnamed.clone();
            }
            [b'S', name @ .., 0] => {
                if let Some(statement) = self.named(name) {
                    let statement = match self.ready_for_use(name, statement) {
                        Ok(statement) => statement,
                        Err(step) => return step,
                    };
                    let mut about = self.about(name, &statement);
                    about.described = Some(Arc::clone(&statement));
                    self.backend.exchange.push(Expect::Describe(about));
                    if self.is_used_plainly(name, &statement) {
                        return Step::Took(self.pass(header.len, rest));
                    }
                    self.orders.to_backend(|out| {
                        write::message(out, b'D', |out| {
                            out.push(b'S');
                            write::string(out, statement.name.as_bytes());
                        });
                    });
                    self.orders.swallow(header.len);
                    return Step::Took(header.len);
                }
                if is_like_ours(name) {
                    let about = about_unknown(name);
                    self.backend.exchange.push(Expect::Describe(about));
                    self.orders.to_backend(|out| {
                        write::message(out, b'D', |out| {
                            out.push(b'S');
                            write::string(out, NOBODYS_NAME);
                        });
                    });
                    self.orders.swallow(header.len);
                    return Step::Took(header.len);
                }
                self.provide_itself(name);
            }
            [b'P', .., 0] => {}
            _ => return self.violation("invalid message format"),
        }
        self.backend.exchange.push(Expect::Describe(about));
        Step::Took(self.pass(header.len, rest))
    }

    pub(super) fn execute(&mut self, header: Header, rest: &[u8]) -> Step {
        let body = match self.whole(header, rest, NAMES_BYTES_MAX) {
            Ok(body) => body,
            Err(step) => return step,
        };
        let Ok(portal) = Fields(body).string() else {
            return self.violation("invalid message format");
        };
        if self.backend.exchange.segments() > 0 && self.backend.exchange.doubts_portal(portal) {
            return self.wait(Awaits::Segments);
        }
        let mut statement = self.backend.exchange.portals.get(portal).cloned();
        let named = statement.as_ref().filter(|known| known.tag.is_none());
        if named.is_some_and(|known| self.is_effect_in_doubt(&known.effect)) {
            return self.wait(Awaits::Segments);
        }
        if let Some(statement) = &statement {
            match self.hear_for_execute(&statement.effect) {
                Heard::Yes => {}
                Heard::NotYet(step) => return step,
                // The server skips what is behind it.
                Heard::Never(words) => {
                    self.send_denied(words);
                    self.orders.swallow(header.len);
                    return Step::Took(header.len);
                }
            }
        }
        self.requests += 1;
        self.part_from_strangers();
        self.backend.exchange.open_segment = true;
        if let Some(known) = statement.take_if(|known| known.tag.is_none()) {
            self.provide_for(&known.effect);
            statement = self.doing(known);
            if statement.is_none() {
                return self.violation("too many prepared statements");
            }
        }
        if let Some(statement) = &statement {
            let said = Said::statement(statement);
            self.note(std::slice::from_ref(&statement.effect), said);
        }
        self.backend.exchange.push(Expect::Execute(statement));
        Step::Took(self.pass(header.len, rest))
    }

    pub(super) fn close(&mut self, header: Header, rest: &[u8]) -> Step {
        let body = match self.whole(header, rest, NAMES_BYTES_MAX) {
            Ok(body) => body,
            Err(step) => return step,
        };
        if let [b'S', name @ .., 0] = body
            && (self.is_name_in_doubt(name) || self.is_plain_in_doubt(name))
        {
            return self.wait(Awaits::Segments);
        }
        self.part_from_strangers();
        self.backend.exchange.open_segment = true;
        match body {
            [b'S', 0] => {
                let (before, there) = (self.session.unnamed.take(), self.backend.unnamed.take());
                let exchange = &mut self.backend.exchange;
                exchange.give_unnamed(before.as_ref(), there.as_ref(), None);
                exchange.push(Expect::CloseUnnamed { before, there });
                return Step::Took(self.pass(header.len, rest));
            }
            [b'S', name @ .., 0] => {
                // The statement itself stays on the backend: others may be using it.
                if let Some(statement) = self.session.prepared.get(name).cloned() {
                    self.session.prepared.remove(name);
                    self.drop_private(&statement);
                    let client_name = name.into();
                    let close = LocalClose {
                        client_name,
                        statement,
                    };
                    self.backend
                        .exchange
                        .push(Expect::LocalClose(Box::new(close)));
                    self.orders.swallow(header.len);
                    answer_locals(self.backend, self.orders);
                    return Step::Took(header.len);
                }
                if is_like_ours(name) {
                    let close = Expect::Close {
                        swallow: false,
                        of: None,
                    };
                    self.backend.exchange.push(close);
                    self.orders
                        .to_backend(|out| write::close(out, b'S', NOBODYS_NAME));
                    self.orders.swallow(header.len);
                    return Step::Took(header.len);
                }
                if self.backend.plain.get(name).is_some() {
                    self.take(name, false);
                    self.orders.swallow(header.len);
                    return Step::Took(header.len);
                }
            }
            [b'P', .., 0] => {}
            _ => return self.violation("invalid message format"),
        }
        self.backend.exchange.push(Expect::Close {
            swallow: false,
            of: None,
        });
        Step::Took(self.pass(header.len, rest))
    }
}

/// What an error would have to know of a name that is none of the session's.
fn about_unknown(name: &[u8]) -> About {
    About {
        client_name: is_like_ours(name).then(|| name.into()),
        ..About::default()
    }
}
