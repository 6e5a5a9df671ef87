//! Which value each setting has in one session, and how transactions undo changes.
//!
//! Three layers, the first that knows a name wins: `local` (SET LOCAL, gone at the end of the transaction), `session`
//! (SET), and the baseline (startup packet over server defaults). The two changeable layers are one value,
//! [`Layers`], so that undoing is restoring a copy: ROLLBACK restores the one from the start of the transaction,
//! ROLLBACK TO the one from the savepoint. PostgreSQL keeps a stack per setting; the outcome is the same.

use std::collections::{BTreeMap, BTreeSet};

use super::error::PgError;
use super::gucs::{self, Guc};
use super::sql::{Scope, SetValue};

/// The changeable layers. Keys are lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Layers {
    session: BTreeMap<String, String>,
    local: BTreeMap<String, String>,
}

impl Layers {
    /// The value the session itself gave, if it gave one.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.local
            .get(key)
            .or_else(|| self.session.get(key))
            .map(String::as_str)
    }

    pub(crate) fn put(&mut self, scope: Scope, key: &str, value: String) {
        match scope {
            Scope::Local => drop(self.local.insert(key.to_owned(), value)),
            // A later SET outlives an earlier SET LOCAL of the same transaction.
            Scope::Session => {
                self.local.remove(key);
                self.session.insert(key.to_owned(), value);
            }
        }
    }

    /// Back to the baseline, whatever set it.
    pub(crate) fn reset(&mut self, key: &str) {
        self.local.remove(key);
        self.session.remove(key);
    }

    /// RESET ALL leaves the two identities alone (`GUC_NO_RESET_ALL`).
    pub(crate) fn reset_all(&mut self) {
        let keep =
            |key: &String, _: &mut String| matches!(key.as_str(), "role" | "session_authorization");
        self.session.retain(keep);
        self.local.retain(keep);
    }

    /// The end of a transaction that succeeded: SET stays, SET LOCAL goes.
    pub(crate) fn commit(&mut self) {
        self.local.clear();
    }

    /// Names the session itself gave a value, each once.
    pub(crate) fn keys(&self) -> BTreeSet<&str> {
        self.session
            .keys()
            .chain(self.local.keys())
            .map(String::as_str)
            .collect()
    }
}

/// What a session starts from and what it has told its client; not undone by anything.
#[derive(Debug, Clone, Default)]
pub(crate) struct Baseline {
    /// Startup packet and the server's own configuration; lower-case keys.
    values: BTreeMap<String, String>,
    /// Server configuration alone: what `whoami()` compares with.
    configured: BTreeMap<String, String>,
    /// Custom settings ever named; they stay known as `''` even when their SET was rolled back or reset.
    custom: BTreeSet<String>,
}

impl Baseline {
    /// A session on a server that overrides the built-in defaults with `configured` (lower-case keys).
    pub(crate) fn new(configured: BTreeMap<String, String>) -> Self {
        Self {
            values: configured.clone(),
            configured,
            custom: BTreeSet::new(),
        }
    }

    /// Takes a setting of the startup packet or its `options`.
    pub(crate) fn start_with(&mut self, name: &str, raw: &str) -> Result<(), PgError> {
        let key = name.to_ascii_lowercase();
        let value = match gucs::find(name) {
            Some(guc) => {
                guc.check_context(false)?;
                guc.canonical(raw, guc.default)?
            }
            None if gucs::is_custom(name) => raw.to_owned(),
            None => return Err(gucs::unknown(name)),
        };
        self.note_custom(&key);
        self.values.insert(key, value);
        Ok(())
    }

    /// The value a RESET leads to; `None` for names nobody knows.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        if let Some(value) = self.values.get(key) {
            return Some(value);
        }
        self.built_in(key)
    }

    /// The server's value, whatever this session's client asked for.
    pub(crate) fn configured(&self, key: &str) -> Option<&str> {
        self.configured
            .get(key)
            .map(String::as_str)
            .or_else(|| self.built_in(key))
    }

    /// Names the startup packet gave a value.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    fn built_in(&self, key: &str) -> Option<&str> {
        match gucs::find(key) {
            Some(guc) => Some(guc.default),
            None => self.custom.contains(key).then_some(""),
        }
    }

    /// Remembers that a custom name exists from now on.
    pub(crate) fn note_custom(&mut self, key: &str) {
        if key.contains('.') {
            self.custom.insert(key.to_owned());
        }
    }
}

/// The setting behind a name: known, or custom.
pub(crate) enum Target {
    Known(&'static Guc),
    Custom,
}

/// Finds what `name` means for SET; an unknown name without a class is an error.
pub(crate) fn target(name: &str) -> Result<Target, PgError> {
    match gucs::find(name) {
        Some(guc) => Ok(Target::Known(guc)),
        None if gucs::is_custom(name) => Ok(Target::Custom),
        None if name.contains('.') => Err(PgError::error(
            "42602",
            format!("invalid configuration parameter name \"{name}\""),
        )),
        None => Err(gucs::unknown(name)),
    }
}

/// The string that the right side of a SET stands for; `None` for DEFAULT.
pub(crate) fn joined(target: &Target, value: &SetValue) -> Result<Option<String>, PgError> {
    match (target, value) {
        (_, SetValue::Default) => Ok(None),
        (Target::Known(guc), SetValue::List(values)) => guc.join(values).map(Some),
        (Target::Custom, SetValue::List(values)) => Ok(Some(values.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_after_a_set_local_wins_and_stays() {
        let mut layers = Layers::default();
        layers.put(Scope::Local, "jit", "off".into());
        layers.put(Scope::Session, "jit", "on".into());
        layers.commit();
        assert_eq!(layers.get("jit"), Some("on"));
    }

    #[test]
    fn a_set_local_hides_a_set_until_the_end_of_the_transaction() {
        let mut layers = Layers::default();
        layers.put(Scope::Session, "jit", "on".into());
        layers.put(Scope::Local, "jit", "off".into());
        assert_eq!(layers.get("jit"), Some("off"));
        layers.commit();
        assert_eq!(layers.get("jit"), Some("on"));
    }

    #[test]
    fn reset_all_keeps_the_identities() {
        let mut layers = Layers::default();
        layers.put(Scope::Session, "role", "reader".into());
        layers.put(Scope::Session, "jit", "off".into());
        layers.reset_all();
        assert_eq!(
            (layers.get("role"), layers.get("jit")),
            (Some("reader"), None)
        );
    }

    #[test]
    fn a_custom_name_once_seen_stays_known_as_empty() {
        let mut baseline = Baseline::default();
        assert_eq!(baseline.get("app.user"), None);
        baseline.note_custom("app.user");
        assert_eq!(baseline.get("app.user"), Some(""));
    }
}
