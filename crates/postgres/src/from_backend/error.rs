//! An error: what is told of it, and what did not happen because of it.
//!
//! What it says of names of ours is said of the client's. What the server skips to the next Sync is undone here, too.

use super::{FromBackend, Step};
use crate::errors::{self, Words};
use crate::exchange::{About, Expect, LocalClose, Segment};
use crate::sequences;
use crate::sql::Effect;
use crate::statements::{Draft, Statement};
use crate::wire::read::ErrorFields;
use crate::wire::{Header, write};
use forebay_core::CloseReason;
use forebay_core::orders::Order;
use memchr::memmem;
use std::sync::Arc;

/// `feature_not_supported`: among others, a statement's result has other columns since a table was changed.
pub(super) const CACHED_PLAN_CHANGED: &[u8] = b"0A000";

/// `object_not_in_prerequisite_state`: among others, a sequence has made no value for this session.
const NOT_YET_DEFINED: &[u8] = b"55000";

/// Whether a value may have been refused because a parameter has a type that its column has no more: the server found it when it prepared
/// the statement, and a table may have been changed since where nobody here sees it.
fn is_of_types(code: &[u8], statement: &Statement) -> bool {
    let refused = code.starts_with(b"22") || code.starts_with(b"42");
    refused && !statement.is_sql && statement.leaves_types()
}

impl FromBackend<'_> {
    pub(super) fn error(&mut self, header: Header, rest: &[u8]) -> Step {
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
        if let Some(Expect::Denied(words)) = self.backend.exchange.front() {
            let words = Words::clone(words);
            self.orders
                .to_client(|out| errors::write_error(&words, out));
            self.orders.swallow(header.len);
            self.skip_to_sync();
            self.end_waiting();
            return Step::Took(header.len);
        }
        if header.len <= rest.len() && self.note_failed_use(body) {
            self.orders.swallow(header.len);
            return Step::Took(header.len);
        }
        self.note_hidden_question(body);
        // What failed may have committed in parts.
        self.backend.exchange.notifies |= match self.backend.exchange.front() {
            Some(Expect::Query(query)) => query.effects.iter().any(Effect::may_notify),
            Some(Expect::Execute(Some(statement))) => statement.effect.may_notify(),
            _ => false,
        };
        let (replaced, extended) = match self.backend.exchange.front() {
            Some(Expect::PlainQuery(_) | Expect::Query(_) | Expect::Function(_)) => (None, false),
            Some(Expect::DuplicateName(name)) if ErrorFields::read(body).code == b"42P05" => {
                (Some((name.clone(), "already exists")), true)
            }
            Some(Expect::Bind(about) | Expect::Describe(about)) => {
                let code = ErrorFields::read(body).code;
                if let Some(statement) = &about.statement
                    && (code == CACHED_PLAN_CHANGED || is_of_types(code, statement))
                {
                    let newer = self.shared.statements.renew(statement);
                    let given = self.session.as_deref_mut().zip(about.client_name.as_ref());
                    let given = given.and_then(|(session, name)| session.prepared.given_mut(name));
                    if let Some(given) = given.filter(|given| {
                        code == CACHED_PLAN_CHANGED && Arc::ptr_eq(&given.statement, statement)
                    }) {
                        given.statement = newer;
                    }
                }
                let name = (code == b"26000").then(|| self.name_of_lost());
                (name.flatten().map(|name| (name, "does not exist")), true)
            }
            Some(Expect::Parse(parse)) => {
                if parse.statement.has_told_types() {
                    // Types that tables have no more, perhaps.
                    self.shared.statements.renew(&parse.statement);
                }
                (None, true)
            }
            Some(Expect::Sync(_)) | None => (None, false),
            Some(_) => (None, true),
        };
        let held = self.backend.exchange.fail_copy_in();
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
            _ => match self.renamed(body).filter(|_| header.len <= rest.len()) {
                Some(body) => {
                    self.orders.to_client(|out| {
                        write::message(out, b'E', |out| out.extend_from_slice(&body));
                    });
                    self.orders.swallow(header.len);
                    Step::Took(header.len)
                }
                None => self.pass(header, rest),
            },
        };
        if extended {
            self.skip_to_sync();
        }
        self.send_syncs(held);
        self.end_waiting();
        step
    }

    /// Code that nobody here reads has asked for values of sequences, which its session has made elsewhere, if at all: statements like those
    /// that may have made them are kept from now on. The last of these is what asks.
    fn note_hidden_question(&mut self, body: &[u8]) {
        let error = ErrorFields::read(body);
        if error.code != NOT_YET_DEFINED || !sequences::is_unmet(error.message) {
            return;
        }
        let is_code = match self.backend.exchange.front() {
            Some(Expect::Query(query)) => query.effects.get(query.done) == Some(&Effect::Opaque),
            Some(Expect::Execute(Some(statement))) => statement.effect == Effect::Opaque,
            _ => false,
        };
        let Some(session) = self.session.as_deref().filter(|_| is_code) else {
            return;
        };
        let scope = self.shared.statements.code_scope(session.scope);
        for maker in session.sequences.makers().skip(1) {
            self.shared.verdicts.was_asked_about(scope, maker);
        }
    }

    /// What is said of parameters that do not fit a statement, with the client's name for it.
    fn renamed(&self, body: &[u8]) -> Option<Vec<u8>> {
        let Some(Expect::Bind(about)) = self.backend.exchange.front() else {
            return None;
        };
        let statement = about.statement.as_ref()?;
        let ours = statement.name.as_bytes();
        let at = memmem::find(body, ours).filter(|_| !statement.is_sql)?;
        let name = about.client_name.as_ref()?;
        Some([&body[..at], name, &body[at + ours.len()..]].concat())
    }

    /// The server does not know a statement. Returns the client's name for it, where the server speaks of another.
    fn name_of_lost(&mut self) -> Option<Box<[u8]>> {
        let about = match self.backend.exchange.front() {
            Some(Expect::Bind(about) | Expect::Describe(about)) => about,
            _ => return None,
        };
        let Some(statement) = &about.statement else {
            return about.client_name.clone();
        };
        self.backend.prepared.is_lost(statement.name.as_bytes());
        let name = about.client_name.clone();
        if let Some(name) = &name
            && self.backend.plain.get(name) == Some(statement.name)
        {
            self.backend.plain.is(name, None);
        }
        name
    }

    /// A COPY failed before it read the Syncs behind it: the server finds them now.
    fn send_syncs(&mut self, count: u32) {
        let Some(session) = self.session.as_deref_mut() else {
            return;
        };
        let exchange = &mut self.backend.exchange;
        for _ in 0..count {
            exchange.push(Expect::Sync(self.now));
            self.orders
                .to_backend(|out| out.extend_from_slice(write::SYNC));
        }
        session.segment = exchange.segment();
    }

    /// The server skips to the next Sync: what was to be done on the way is undone here too.
    pub(super) fn skip_to_sync(&mut self) {
        let Some(session) = self.session.as_deref_mut() else {
            return;
        };
        let backend = &mut *self.backend;
        let (prepared, plain) = (&mut backend.prepared, &mut backend.plain);
        let mut skipped = Vec::new();
        backend.exchange.skip_to_sync(|expect| skipped.push(expect));
        // Undone from the end: one name may have been given and taken away. The first is the one that failed.
        let skipped = skipped.into_iter().enumerate().rev();
        let (mut kept, mut kept_there) = (None, None);
        skipped.for_each(|(index, expect)| match expect {
            Expect::Parse(parse) => {
                prepared.has_not_come(&parse.statement.name);
                if let Some(name) = &parse.client_name {
                    session.prepared.remove(name);
                }
            }
            Expect::Bind(About {
                rebound: Some(rebound),
                ..
            }) => backend.exchange.undo_bind(*rebound),
            Expect::Close { of: Some(name), .. } => prepared.has_stayed(name),
            Expect::GivePlain(given) => plain.is(&given.name, given.before),
            Expect::TakePlain(taken) => plain.is(&taken.name, taken.before),
            // It takes the one before away, whether it succeeds or not.
            Expect::ParseUnnamed { .. } if index == 0 => {
                kept = Some(None);
                kept_there = Some(None);
            }
            Expect::ReparseUnnamed { .. } if index == 0 => kept_there = Some(None),
            Expect::ParseUnnamed { before, there } | Expect::CloseUnnamed { before, there } => {
                kept = Some(before);
                kept_there = Some(there);
            }
            Expect::ReparseUnnamed { there } => kept_there = Some(there),
            Expect::Close {
                swallow: true,
                of: None,
            } => {
                // Something that is not this client's is still there: nobody's, from now on.
                kept_there = Some(Some(Statement::unnamed(&Draft::default())));
            }
            Expect::LocalParse(parse) => drop(session.prepared.remove(&parse.client_name)),
            Expect::LocalClose(close) => {
                let LocalClose {
                    client_name,
                    statement,
                } = *close;
                session
                    .prepared
                    .insert(client_name, statement, Segment::DONE);
            }
            _ => {}
        });
        if let Some(kept) = kept
            && let Some(kept) = backend.exchange.restore_unnamed(kept)
        {
            session.unnamed = kept;
        }
        if let Some(kept) = kept_there
            && let Some(kept) = backend.exchange.restore_unnamed_there(kept)
        {
            backend.unnamed = kept;
        }
    }
}
