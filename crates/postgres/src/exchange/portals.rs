//! What executing a portal does, for portals whose execution matters.
//!
//! A client may bind as many portals in a transaction as it likes, and its backend must hold them; here a bounded number is known by
//! name. What the others do is read off the tags of their answers, which is less exact and pins sooner.

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

/// A statement that must be known by name was bound to one portal too many.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

impl Portals {
    /// A portal is bound to this statement.
    ///
    /// # Errors
    /// [`TooMany`] for a statement that stands in for another, once there are [`PORTALS_MAX`]: its tag would not tell what it does.
    pub fn bind(
        &mut self,
        portal: &[u8],
        statement: Option<&Arc<Statement>>,
    ) -> Result<(), TooMany> {
        let portal = key(portal);
        if !self.known.is_empty() {
            self.known.remove(portal);
        }
        let Some(statement) = statement.filter(|statement| statement.effect != Effect::Pure) else {
            return Ok(());
        };
        if self.known.len() < PORTALS_MAX {
            self.known.insert(portal.into(), Arc::clone(statement));
        } else if statement.tag.is_some() {
            return Err(TooMany);
        } else if self.others.is_none() {
            self.others = Some(Statement::unread());
        }
        Ok(())
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

fn key(portal: &[u8]) -> &[u8] {
    &portal[..portal.len().min(NAME_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statements::Draft;

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
            assert_eq!(portals.bind(name.as_bytes(), Some(&begin)), Ok(()));
        }
        portals
    }

    #[test]
    fn only_what_matters_is_remembered_and_the_last_binding_counts() {
        let mut portals = Portals::default();
        assert_eq!(portals.bind(b"", Some(&statement("begin"))), Ok(()));
        assert_eq!(portals.get(b"").map(|it| &it.effect), Some(&Effect::Begin));
        assert_eq!(portals.bind(b"", Some(&statement("select 1"))), Ok(()));
        assert!(portals.get(b"").is_none());
    }

    #[test]
    fn of_one_portal_too_many_the_answers_tell_until_the_transaction_ends() {
        let mut portals = full();
        assert!(portals.get(b"more").is_none());
        assert_eq!(portals.bind(b"more", Some(&statement("reset all"))), Ok(()));
        assert!(portals.get(b"more").is_some_and(|it| it.is_unread));
        assert!(portals.get(b"7").is_some_and(|it| !it.is_unread));
        portals.clear();
        assert!(portals.get(b"more").is_none() && portals.get(b"7").is_none());
    }

    #[test]
    fn a_stand_in_is_not_bound_to_one_portal_too_many() {
        let stand_in = statement("deallocate all").standing_in(Some(b"DEALLOCATE ALL"));
        assert_eq!(full().bind(b"more", Some(&stand_in)), Err(TooMany));
        assert_eq!(full().bind(b"7", Some(&stand_in)), Ok(()));
    }

    #[test]
    fn a_name_counts_as_far_as_the_server_reads_it() {
        let mut portals = Portals::default();
        let long = [b'a'; 64];
        assert_eq!(portals.bind(&long, Some(&statement("begin"))), Ok(()));
        assert!(portals.get(&long[..63]).is_some() && portals.get(&long[..62]).is_none());
    }
}
