//! What executing a portal does, for portals whose execution matters.
//!
//! A client may bind as many portals in a transaction as it likes, and its backend must hold them; here a bounded number is known by
//! name. What the others do is read off the tags of their answers, which is less exact and pins sooner.

use super::{About, Exchange, Expect};
use crate::sql::Effect;
use crate::statements::Statement;
use std::collections::HashMap;
use std::sync::Arc;

/// Most portals known by name.
pub const PORTALS_MAX: usize = 1000;

/// Bytes of a portal's name that count (`NAMEDATALEN` without its NUL).
const NAME_BYTES_MAX: usize = 63;

/// The portals of one backend, until its transaction ends.
#[derive(Debug, Default)]
pub struct Portals {
    known: HashMap<Box<[u8]>, Arc<Statement>>,
    /// There are others: their statement is known by its answers only.
    others: Option<Arc<Statement>>,
}

/// What a portal was bound to before, and is again should the Bind fail.
#[derive(Debug)]
pub struct Rebound {
    portal: Box<[u8]>,
    before: Option<Arc<Statement>>,
}

/// A statement that must be known by name was bound to one portal too many.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

impl Portals {
    /// A portal is bound to this statement. Returns how to undo that, if it makes a difference.
    ///
    /// # Errors
    /// [`TooMany`] for a statement that stands in for another, once there are [`PORTALS_MAX`]: its tag would not tell what it does.
    pub fn bind(
        &mut self,
        portal: &[u8],
        statement: Option<&Arc<Statement>>,
    ) -> Result<Option<Box<Rebound>>, TooMany> {
        let portal = key(portal);
        let statement = statement.filter(|statement| statement.effect != Effect::Pure);
        if self.known.is_empty() && statement.is_none() {
            return Ok(None);
        }
        let before = self.known.remove(portal);
        if let Some(statement) = statement {
            if self.known.len() < PORTALS_MAX {
                self.known.insert(portal.into(), Arc::clone(statement));
            } else if statement.tag.is_some() {
                return Err(TooMany);
            } else if self.others.is_none() {
                self.others = Some(Statement::unread());
            }
        } else if before.is_none() {
            return Ok(None);
        }
        let portal = portal.into();
        Ok(Some(Box::new(Rebound { portal, before })))
    }

    fn restore(&mut self, portal: Box<[u8]>, before: Option<Arc<Statement>>) {
        match before {
            Some(before) => drop(self.known.insert(portal, before)),
            None => drop(self.known.remove(&portal)),
        }
    }

    /// What executing this portal does, when it matters.
    pub fn get(&self, portal: &[u8]) -> Option<&Arc<Statement>> {
        self.known.get(key(portal)).or(self.others.as_ref())
    }

    /// There are none any more.
    pub fn clear(&mut self) {
        if !self.known.is_empty() {
            *self = Portals::default();
        }
    }
}

impl Exchange {
    /// Whether it depends on a segment under way what executing this portal does.
    pub fn doubts_portal(&self, portal: &[u8]) -> bool {
        let (mut bound, mut doubted) = (false, false);
        for expect in &self.expects {
            match expect {
                Expect::Bind(about) if about.rebinds(portal) => bound = true,
                expect if expect.ends_segment() => doubted |= std::mem::take(&mut bound),
                _ => {}
            }
        }
        // What is bound in its own segment is skipped together with its execution.
        doubted && !bound
    }

    /// A Bind has failed, or was skipped.
    pub fn undo_bind(&mut self, rebound: Rebound) {
        let Rebound { portal, mut before } = rebound;
        let mut others = false;
        for expect in &mut self.expects {
            let Expect::Bind(about) = expect else {
                continue;
            };
            match &mut about.rebound {
                Some(later) if later.portal == portal => {
                    later.before = before;
                    return;
                }
                _ => others = true,
            }
        }
        if others {
            // One of them may be for this portal and have found that nothing changes: its answers tell.
            before = before.map(|_| Statement::unread());
        }
        self.portals.restore(portal, before);
    }
}

impl About {
    fn rebinds(&self, portal: &[u8]) -> bool {
        let rebound = self.rebound.as_ref();
        rebound.is_some_and(|rebound| *rebound.portal == *key(portal))
    }
}

fn key(portal: &[u8]) -> &[u8] {
    &portal[..portal.len().min(NAME_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statements::Draft;
    use forebay_core::Instant;

    fn statement(text: &str) -> Arc<Statement> {
        Statement::unnamed(&Draft {
            text: text.as_bytes(),
            ..Draft::default()
        })
    }

    fn full() -> Portals {
        let (mut portals, begin) = (Portals::default(), statement("begin"));
        for number in 0..PORTALS_MAX {
            let name = number.to_string();
            assert!(portals.bind(name.as_bytes(), Some(&begin)).is_ok());
        }
        portals
    }

    #[test]
    fn only_what_matters_is_remembered_and_the_last_binding_counts() {
        let mut portals = Portals::default();
        assert!(portals.bind(b"", Some(&statement("begin"))).is_ok());
        assert_eq!(portals.get(b"").map(|it| &it.effect), Some(&Effect::Begin));
        assert!(portals.bind(b"", Some(&statement("select 1"))).is_ok());
        assert!(portals.get(b"").is_none());
    }

    #[test]
    fn of_one_portal_too_many_the_answers_tell_until_the_transaction_ends() {
        let mut portals = full();
        assert!(portals.get(b"more").is_none());
        assert!(portals.bind(b"more", Some(&statement("reset all"))).is_ok());
        assert!(portals.get(b"more").is_some_and(|it| it.is_unread));
        assert!(portals.get(b"7").is_some_and(|it| !it.is_unread));
        portals.clear();
        assert!(portals.get(b"more").is_none() && portals.get(b"7").is_none());
    }

    #[test]
    fn a_stand_in_is_not_bound_to_one_portal_too_many() {
        let stand_in = statement("deallocate all").standing_in(Some(b"DEALLOCATE ALL"));
        assert!(full().bind(b"more", Some(&stand_in)).is_err());
        assert!(full().bind(b"7", Some(&stand_in)).is_ok());
    }

    /// A Bind that is sent.
    fn bind(exchange: &mut Exchange, portal: &[u8], text: &str) {
        let rebound = exchange.portals.bind(portal, Some(&statement(text)));
        exchange.push(Expect::Bind(About {
            rebound: rebound.unwrap(),
            ..About::default()
        }));
    }

    /// The server skips to the next Sync.
    fn skip(exchange: &mut Exchange) {
        let mut skipped = Vec::new();
        exchange.skip_to_sync(|expect| skipped.push(expect));
        for expect in skipped.into_iter().rev() {
            if let Expect::Bind(About {
                rebound: Some(rebound),
                ..
            }) = expect
            {
                exchange.undo_bind(*rebound);
            }
        }
    }

    fn effect(exchange: &Exchange, portal: &[u8]) -> Option<Effect> {
        let statement = exchange.portals.get(portal)?;
        Some(statement.effect.clone())
    }

    #[test]
    fn a_bind_that_fails_changes_nothing() {
        let mut exchange = Exchange::new();
        bind(&mut exchange, b"p", "begin");
        exchange.pop();
        for text in ["select 1", "commit"] {
            bind(&mut exchange, b"p", text);
            bind(&mut exchange, b"q", text);
            skip(&mut exchange);
            assert_eq!(effect(&exchange, b"p"), Some(Effect::Begin));
            assert_eq!(effect(&exchange, b"q"), None);
        }
    }

    #[test]
    fn a_bind_behind_one_that_fails_counts_and_nothing_is_executed_before_that_is_known() {
        let mut exchange = Exchange::new();
        bind(&mut exchange, b"p", "select set_config('a.b', 'c', false)");
        exchange.push(Expect::Sync(Instant::ZERO));
        assert!(exchange.doubts_portal(b"p") && !exchange.doubts_portal(b"q"));
        bind(&mut exchange, b"p", "begin");
        assert!(!exchange.doubts_portal(b"p"));
        skip(&mut exchange);
        assert_eq!(effect(&exchange, b"p"), Some(Effect::Begin));
        exchange.pop();
        skip(&mut exchange);
        assert_eq!(effect(&exchange, b"p"), None);
    }

    #[test]
    fn what_a_portal_may_be_bound_to_its_answers_tell() {
        let mut exchange = Exchange::new();
        bind(&mut exchange, b"p", "begin");
        exchange.pop();
        bind(&mut exchange, b"p", "select 1");
        exchange.push(Expect::Sync(Instant::ZERO));
        bind(&mut exchange, b"p", "select 2");
        skip(&mut exchange);
        assert!(exchange.portals.get(b"p").is_some_and(|it| it.is_unread));
    }

    #[test]
    fn a_name_counts_as_far_as_the_server_reads_it() {
        let mut portals = Portals::default();
        let long = [b'a'; 64];
        assert!(portals.bind(&long, Some(&statement("begin"))).is_ok());
        assert!(portals.get(&long[..63]).is_some() && portals.get(&long[..62]).is_none());
    }
}
