//! A statement that reads `pg_prepared_statements`: it is to find the session's own statements by their own names, and nothing else.
//!
//! On a backend the protocol's statements have names of ours, and stay for others. Ahead of a message that begins a segment and speaks of
//! the view, the session's statements are prepared under their clients' names, as for SQL (`plain.rs`), in the order in which they were
//! given; whatever else the backend has is closed. Within a segment only that is done. Each is prepared in a segment of its own, so that what cannot be prepared again harms nothing,
//! in a transaction between two savepoints: statements are no part of a transaction, its end is. What reads the view unseen, in
//! functions and views, finds what the backend has.

use super::plain::{PREPARING, Want};
use super::{FromClient, RESTORING, Step};
use crate::exchange::{Awaits, Expect};
use crate::plain_names::PLAIN_NAMES_MAX;
use crate::sql::Effect;
use crate::statements::{Statement, lists_statements};
use crate::wire::write;
use std::collections::HashSet;

/// Most statements of one session that are shown; of one with more, those that the backend has.
const SHOWN_MAX: usize = PLAIN_NAMES_MAX;

impl FromClient<'_> {
    /// Sees to it that statements which do this, with this text, find the session's prepared statements and no others, if they list them. Returns
    /// what becomes of the message if it cannot be sent yet.
    pub(super) fn provide_inventory(&mut self, text: &[u8], effects: &[Effect]) -> Option<Step> {
        let lists = lists_statements(text) || self.runs_list(effects);
        if lists { self.provide_all() } else { None }
    }

    fn provide_all(&mut self) -> Option<Step> {
        let exchange = &self.backend.exchange;
        if exchange.open_segment {
            self.part_from_others();
            return None;
        }
        if !exchange.expects_only_replay() || (exchange.is_guarded() && !exchange.is_empty()) {
            return Some(self.wait(Awaits::Answers));
        }
        let own = self.session.prepared.in_order(SHOWN_MAX);
        let own = own.filter(|_| self.backend.exchange.status != b'E')?;
        let itself = true;
        let wants: Vec<_> = own.iter().map(|name| Want { name, itself }).collect();
        self.provide_safely(&wants);
        self.part_from_strange_names(&wants);
        for name in self.backend.prepared.staying() {
            self.take_off(name);
        }
        // What an error has left behind.
        for name in [PREPARING, RESTORING] {
            self.take(name, true);
        }
        None
    }

    /// The same for a Bind of the statement that has this name.
    pub(super) fn provide_inventory_for(&mut self, name: &[u8]) -> Option<Step> {
        let own = match name {
            [] => self.session.unnamed.as_ref(),
            name => self.session.prepared.get(name),
        };
        if self.lists(own?) {
            self.provide_all()
        } else {
            None
        }
    }

    /// Within a segment nothing is prepared, which could fail and harm it. What is not the session's is closed.
    fn part_from_others(&mut self) {
        let Some(names) = self.session.prepared.in_order(SHOWN_MAX) else {
            return;
        };
        // Those that it has under their clients' names need no other.
        let only_here = |name: &[u8]| {
            let own = self.session.prepared.get(name)?.name;
            (self.backend.plain.get(name) != Some(own)).then_some(own)
        };
        let stay: HashSet<_> = names.iter().filter_map(|name| only_here(name)).collect();
        for name in self.backend.prepared.staying() {
            if !stay.contains(&name) {
                self.take_off(name);
            }
        }
        let exchange = &self.backend.exchange;
        let in_doubt = |since| exchange.is_running(since);
        if !self.backend.plain.is_any(in_doubt) {
            self.part_from_strange_names(&[]);
        }
    }

    fn lists(&self, own: &Statement) -> bool {
        own.lists() || self.runs_list(std::slice::from_ref(&own.effect))
    }

    /// Whether a statement that is run by name lists names.
    fn runs_list(&self, effects: &[Effect]) -> bool {
        let runs = |effect: &Effect| match effect {
            Effect::Execute(executes) => {
                let own = self.session.prepared.get(executes.name.as_bytes());
                own.is_some_and(|own| own.lists())
            }
            _ => false,
        };
        effects.iter().any(runs)
    }

    /// Whether a statement is used under its client's name, because it finds itself by that.
    pub(super) fn is_used_plainly(&self, name: &[u8], statement: &Statement) -> bool {
        statement.is_sql
            || (self.lists(statement) && self.backend.plain.get(name) == Some(statement.name))
    }

    /// Names are given so that none which cannot be given harms the client's transaction.
    fn provide_safely(&mut self, wants: &[Want<'_>]) {
        let lacks = wants.iter().any(|want| {
            let own = self.session.prepared.get(want.name).map(|own| own.name);
            self.backend.plain.get(want.name) != own
        });
        let within = lacks && self.backend.exchange.status == b'T';
        if within {
            self.attempt(&[&b"SAVEPOINT fb_shown"[..]]);
        }
        self.provide(wants, true);
        if within {
            self.attempt(&[&b"ROLLBACK TO fb_shown"[..], b"RELEASE fb_shown"]);
        }
    }

    /// Statements of ours that may fail, in a segment of their own. Not as a Query, which would end the unnamed statement.
    fn attempt(&mut self, statements: &[&[u8]]) {
        self.orders.to_backend(|out| {
            write::close(out, b'S', RESTORING);
            for sql in statements {
                write::run(out, RESTORING, sql);
            }
            out.extend_from_slice(write::SYNC);
        });
        self.backend.exchange.push(Expect::Attempt);
    }
}
