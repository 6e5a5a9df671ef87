//! Under which name a statement may be used now.
//!
//! A shared name stands for a text in one meaning, so it is given, and used, only while the server is known to have the settings that
//! make that meaning. While what it has is not known (a change of settings is unanswered, or made by code that nobody here reads) a
//! statement is prepared for its session alone.

use super::FromClient;
use crate::backend::Presence;
use crate::exchange::{Expect, Unsettled};
use crate::pinning::hides_settings;
use crate::sql::{Effect, SetValue};
use crate::statements::{Draft, Name, Statement, is_momentary};
use crate::tracking::{Meaning, is_meaningful};
use crate::wire::write;
use forebay_core::PinReason;
use std::sync::Arc;

impl FromClient<'_> {
    /// What texts mean now, if that is known.
    fn meaning(&self) -> Option<Meaning> {
        match self.backend.exchange.unsettled {
            // Until the server was asked.
            _ if self.backend.exchange.is_learning() || hides_settings(self.session.pins) => None,
            // A temporary table may hide another that a shared statement speaks of.
            _ if self.session.pins.contains(PinReason::TemporaryObject) => None,
            Unsettled::No => self.shared.statements.meaning(&self.session.tracker),
            Unsettled::Opaque | Unsettled::Tracked => None,
        }
    }

    /// A reported setting, while the server is known to have it as the session knows it.
    fn settled_report(&self, name: &[u8]) -> Option<&[u8]> {
        let exchange = &self.backend.exchange;
        // A segment's reports come at its end.
        if exchange.unsettled != Unsettled::No || exchange.tracked || exchange.opaque {
            return None;
        }
        let own = crate::reports::value(&self.session.reports, name)?;
        // They differ while a difference is under way.
        let there = crate::reports::value(&self.backend.reports, name)?;
        (own == there).then_some(own)
    }

    /// Whether the server takes backslashes in plain strings for ordinary characters, if that is known.
    pub(super) fn conforming(&self) -> Option<bool> {
        let value = self.settled_report(b"standard_conforming_strings")?;
        Some(value == b"on")
    }

    /// Whether a statement sets something to a value that cannot be said again elsewhere, because it is not known to be UTF-8.
    pub(super) fn is_said_in_another_encoding(&self, effect: &Effect) -> bool {
        let ascii = |(name, value): &(String, SetValue)| match value {
            SetValue::Sql(text) | SetValue::Literal(text) => name.is_ascii() && text.is_ascii(),
            SetValue::Default => name.is_ascii(),
        };
        let ascii = match effect {
            Effect::Set {
                name,
                value: SetValue::Sql(text) | SetValue::Literal(text),
            } => name.is_ascii() && text.is_ascii(),
            Effect::SetMany(session) | Effect::SetLocally { session, .. } => {
                session.iter().all(ascii)
            }
            Effect::Set { name, .. } | Effect::Reset(name) => name.is_ascii(),
            _ => true,
        };
        !ascii && self.settled_report(b"client_encoding") != Some(b"UTF8")
    }

    /// What is to be prepared.
    pub(super) fn draft<'t>(&self, text: &'t [u8], types: &'t [u8]) -> Draft<'t> {
        Draft {
            scope: self.session.scope,
            text,
            types,
            // Most texts have no backslash, and then it makes no difference.
            conforming: memchr::memchr(b'\\', text).map_or(Some(true), |_| self.conforming()),
            session: self.session.id,
            is_sql: false,
        }
    }

    /// The statement that a client's text is now.
    pub(super) fn prepared(&mut self, draft: &Draft<'_>) -> Arc<Statement> {
        match self.meaning() {
            Some(now) if !is_momentary(draft.text) => self.shared.statements.named(draft, now),
            _ => self.shared.statements.private(draft),
        }
    }

    /// Whether a statement was read as it would be read now.
    pub(super) fn means_the_same(&self, statement: &Statement) -> bool {
        statement.is_momentary() || self.meaning().is_some_and(|now| statement.means(now))
    }

    /// Whether a statement is still what its name on backends says.
    pub(super) fn is_usable(&self, statement: &Statement) -> bool {
        match self.meaning() {
            // What stands in for a text does nothing, whatever the text means.
            _ if statement.tag.is_some() => true,
            // Preparing it again would bring another moment.
            _ if statement.is_momentary() => true,
            // It is the session's own, and nothing in it is looked at before it is executed.
            _ if statement.shows_own() => true,
            Some(now) => statement.means(now),
            None => statement.is_private() || self.may_be_used_unseen(statement),
        }
    }

    /// Whether it depends on a segment under way if the backend has what this statement is to be used as.
    pub(super) fn is_replacement_in_doubt(&self, statement: &Statement) -> bool {
        let Some(now) = self.meaning().filter(|_| !self.is_usable(statement)) else {
            return false;
        };
        let draft = self.draft(&statement.text, statement.types_to_keep());
        self.is_presence_in_doubt(&self.shared.statements.name(&draft, now))
    }

    /// What the client's `name` is to be used as, which is `statement` unless that does not mean any more what its own name says.
    pub(super) fn usable(&mut self, name: &[u8], statement: Arc<Statement>) -> Arc<Statement> {
        if self.is_usable(&statement) {
            return statement;
        }
        let draft = self.draft(&statement.text, statement.types_to_keep());
        let other = self.prepared(&draft);
        if statement.is_private() {
            other.columns.take_over(&statement.columns);
        } else if other.is_private() {
            other.columns.go_on_from(&statement.columns);
        }
        self.drop_private(&statement);
        if let Some(given) = self.session.prepared.given_mut(name) {
            given.statement = Arc::clone(&other);
        }
        other
    }

    /// Whether a shared statement that the backend has may be used although nobody can tell what texts mean now.
    fn may_be_used_unseen(&self, statement: &Statement) -> bool {
        let there = self.is_there(statement);
        let by_code = self.backend.exchange.unsettled == Unsettled::Opaque;
        // Should the server read it anew, only a change that is seen here would change its constants; other changes are reported.
        there && (by_code || !statement.has_constants())
    }

    fn is_there(&self, statement: &Statement) -> bool {
        let presence = self.backend.prepared.presence(&statement.name);
        !matches!(presence, None | Some(Presence::Going(_)))
    }

    /// Nobody will use this statement any more, if it is private.
    pub(super) fn drop_private(&mut self, statement: &Statement) {
        if !statement.is_private() || !self.is_there(statement) {
            return;
        }
        self.take_off(statement.name);
    }

    /// A statement with a name of ours leaves the backend.
    pub(super) fn take_off(&mut self, name: Name) {
        let segment = self.backend.exchange.segment();
        self.backend.prepared.goes(name, segment);
        self.orders
            .to_backend(|out| write::close(out, b'S', name.as_bytes()));
        let of = Some(name);
        self.backend
            .exchange
            .push(Expect::Close { swallow: true, of });
    }

    /// A statement is sent: until it is answered nobody can tell what texts mean, if it changes that.
    pub(super) fn unsettle(&mut self, effect: &Effect) {
        let change = match effect {
            Effect::Opaque | Effect::CopyIn | Effect::Execute(_) => Unsettled::Opaque,
            _ if self.changes_meaning(effect) => Unsettled::Tracked,
            _ => return,
        };
        let unsettled = &mut self.backend.exchange.unsettled;
        *unsettled = (*unsettled).max(change);
    }

    fn changes_meaning(&self, effect: &Effect) -> bool {
        let any =
            |values: &[(String, SetValue)]| values.iter().any(|(name, _)| is_meaningful(name));
        match effect {
            Effect::Set { name, .. } | Effect::Reset(name) => is_meaningful(name),
            Effect::SetMany(values) => any(values),
            Effect::SetLocally { local, session } => {
                let mut names = local.iter().map(|(name, _)| name);
                any(session) || names.any(|name| name.is_empty() || is_meaningful(name))
            }
            Effect::ResetAll | Effect::DiscardAll | Effect::Pin(_) | Effect::PinMany(_) => true,
            Effect::Commit { .. }
            | Effect::Rollback { .. }
            | Effect::RollbackTo(_)
            | Effect::PrepareTransaction => self.session.tracker.is_pending(),
            _ => false,
        }
    }
}
