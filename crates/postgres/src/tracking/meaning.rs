//! Which settings give the text of a statement its meaning, and with which values they are in force.
//!
//! Two kinds. Some the server follows: when one changes it reads a prepared statement anew (`RevalidateCachedQuery`), or it asks for it
//! only when it plans. The others decide once and for all what the constants of a text mean, when the text is parsed.
//! What SET LOCAL set is in force until its transaction ends; where its value is not known, neither is the meaning.

use super::bounds::{SETTINGS_BYTES_MAX, bytes_of};
use super::{AUTHORIZATION, ROLE, Tracker};
use crate::sql::SetValue;
use forebay_core::settings::{Map, Value};
use std::hash::{BuildHasher, Hash, Hasher};

/// What texts mean: equal for equal settings in all workers of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// Of names, and of everything else that the server follows.
    pub names: u64,
    /// Of constants.
    pub constants: u64,
}

/// Settings that the server follows, or that count only when a statement is planned.
const OF_NAMES: &[&str] = &[
    AUTHORIZATION,
    ROLE,
    "bytea_output",
    "extra_float_digits",
    "plan_cache_mode",
    "row_security",
    "search_path",
    "transform_null_equals",
];

/// Settings that decide what constants mean when they are parsed.
const OF_CONSTANTS: &[&str] = &[
    "array_nulls",
    "backslash_quote",
    "client_encoding",
    "datestyle",
    "intervalstyle",
    "lc_monetary",
    "standard_conforming_strings",
    "timezone",
    "timezone_abbreviations",
    "xmloption",
];

/// Whether the meaning of texts depends on this setting.
pub fn is_meaningful(name: &str) -> bool {
    OF_NAMES.contains(&name) || OF_CONSTANTS.contains(&name)
}

/// What SET LOCAL has set.
#[derive(Debug, Clone, Default)]
pub(super) struct Local {
    /// Meaningful settings; `None`: the backend's default.
    values: Vec<(Box<str>, Option<Value>)>,
    /// A meaningful setting has a value that is not known.
    unknown: bool,
}

impl Local {
    fn remove(&mut self, name: &str) {
        self.values.retain(|(known, _)| **known != *name);
    }

    fn bytes(&self) -> usize {
        let bytes = self.values.iter();
        bytes
            .map(|(name, value)| bytes_of(name, value.as_ref()))
            .sum()
    }
}

impl Tracker {
    /// What texts mean now, if that is known. `hasher` must be the same in all workers of a process.
    pub fn meaning(&self, hasher: &impl BuildHasher) -> Option<Meaning> {
        if let Some(known) = self.meaning.get() {
            return Some(known);
        }
        let local = self.local();
        if self.lost || local.is_some_and(|local| local.unknown) {
            return None;
        }
        let hash = |names: &[&str]| {
            let mut hash = hasher.build_hasher();
            for name in names {
                value(self.current_map(), local, name).hash(&mut hash);
            }
            hash.finish()
        };
        let meaning = Meaning {
            names: hash(OF_NAMES),
            constants: hash(OF_CONSTANTS),
        };
        self.meaning.set(Some(meaning));
        Some(meaning)
    }

    fn local(&self) -> Option<&Local> {
        let frames = self.pending.as_deref()?.frames.iter();
        frames.rev().find_map(|frame| frame.local.as_ref())
    }

    fn local_mut(&mut self) -> &mut Local {
        self.bound_copies();
        let current = self.local().cloned().unwrap_or_default();
        self.frame().local.get_or_insert(current)
    }

    /// A setting has this value until the transaction ends; `None` if the value is not known.
    pub(super) fn set_locally(&mut self, name: &str, value: Option<&SetValue>) {
        if !name.is_empty() && !is_meaningful(name) {
            return;
        }
        // The backend is about to be given it: `lost_locally`.
        let first = self.baseline.map().get(name).cloned();
        let local = self.local_mut();
        local.remove(name);
        let value = match value {
            Some(SetValue::Sql(text)) => Some(Value::Sql(text.as_str().into())),
            Some(SetValue::Literal(text)) => Some(Value::Literal(text.as_str().into())),
            Some(SetValue::Default) => first,
            None => return local.unknown = true,
        };
        if name == AUTHORIZATION {
            local.remove(ROLE);
            local.values.push((ROLE.into(), None));
        }
        if local.bytes() + bytes_of(name, value.as_ref()) > SETTINGS_BYTES_MAX {
            return local.unknown = true;
        }
        local.values.push((name.into(), value));
    }

    /// A setting has a new value for the rest of the session.
    pub(super) fn forget_local(&mut self, name: &str) {
        self.lost_locally.is_set(name, self.frames());
        if self.local().is_some() {
            let local = self.local_mut();
            local.remove(name);
            if name == AUTHORIZATION {
                local.remove(ROLE);
            }
        }
    }

    /// All settings but those that are `kept` have new values for the rest of the session.
    pub(super) fn forget_all_local(&mut self, kept: impl Fn(&str) -> bool) {
        if self.local().is_some() {
            self.local_mut().values.retain(|(name, _)| kept(name));
        }
    }
}

/// The value in force.
fn value<'a>(map: &'a Map, local: Option<&'a Local>, name: &str) -> Option<&'a Value> {
    let set = local.and_then(|local| local.values.iter().find(|(known, _)| **known == *name));
    match set {
        Some((_, value)) => value.as_ref(),
        None => map.get(name),
    }
}
