//! Which settings a session has, and what must be sent to a backend that holds others.
//!
//! The value changes only at a boundary that the server confirmed: what a transaction sets is pending until it commits and is undone
//! by its rollback, or by a rollback to a savepoint. What a client's startup message set is its baseline, to which RESET returns.
//! A difference travels as one simple query of its own, ahead of the client's message.
//! (`src/backend/utils/misc/guc.c`, `AtEOXact_GUC`; ledger: settings-follow-the-client.)

use crate::reports::Reports;
use crate::sql::quote::{quote_identifier, quote_literal};
use crate::sql::{Effect, SetValue};
use forebay_core::settings::{Interner, Map, Settings, Value};
use std::sync::Arc;

/// The current role; not a setting that RESET ALL touches.
const ROLE: &str = "role";
/// The session user; not a setting that RESET ALL touches.
const AUTHORIZATION: &str = "session_authorization";

/// A setting of two parts; a value that names only one leaves the other as it is (`check_datestyle`).
const DATESTYLE: &str = "datestyle";

/// What one session has set.
#[derive(Debug)]
pub struct Tracker {
    committed: Arc<Settings>,
    baseline: Arc<Settings>,
    /// Only while the open transaction has set something or has savepoints.
    pending: Option<Box<Pending>>,
    /// What a committed RESET took away on the backend and must be set again there.
    restore: Vec<Box<str>>,
}

/// The open transaction's own values: one frame for it, one for each savepoint.
#[derive(Debug)]
struct Pending {
    frames: Vec<Frame>,
    /// Settings of the baseline that a RESET took away on the backend.
    restore: Vec<Box<str>>,
}

/// What must be set again on the backend because a RESET brought back its default instead of the client's baseline.
#[derive(Debug, PartialEq, Eq)]
pub struct Restore {
    /// The statements that do.
    pub statements: Vec<String>,
    /// The settings.
    pub names: Vec<Box<str>>,
}

#[derive(Debug)]
struct Frame {
    savepoint: Option<String>,
    /// `None`: as the frame below.
    map: Option<Map>,
}

impl Tracker {
    /// A session that begins with the settings of its startup message.
    pub fn new(baseline: Arc<Settings>) -> Tracker {
        Tracker {
            committed: Arc::clone(&baseline),
            baseline,
            pending: None,
            restore: Vec::new(),
        }
    }

    /// What the session relies on between transactions.
    pub fn committed(&self) -> &Arc<Settings> {
        &self.committed
    }

    /// Whether the open transaction has set something that a boundary will decide on.
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// A setting's value as the session sees it now.
    pub fn current(&self, name: &str) -> Option<&Value> {
        self.current_map().get(name)
    }

    fn current_map(&self) -> &Map {
        let pending = self.pending.as_deref();
        let top =
            pending.and_then(|pending| pending.frames.iter().rev().find_map(|f| f.map.as_ref()));
        top.unwrap_or(self.committed.map())
    }

    fn pending(&mut self) -> &mut Pending {
        self.pending.get_or_insert_with(|| {
            Box::new(Pending {
                frames: vec![Frame {
                    savepoint: None,
                    map: None,
                }],
                restore: Vec::new(),
            })
        })
    }

    /// The map that the innermost frame may change.
    fn map_mut(&mut self) -> &mut Map {
        let current = self.current_map().clone();
        let frame = self
            .pending()
            .frames
            .last_mut()
            .expect("a transaction has at least its own frame");
        frame.map.get_or_insert(current)
    }

    /// A statement was completed; `tag` is what CommandComplete said.
    pub fn on_complete(&mut self, effect: &Effect, tag: &[u8], interner: &mut Interner) {
        match effect {
            Effect::Commit { .. } | Effect::PrepareTransaction | Effect::Rollback { .. } => {
                // A COMMIT of a failed transaction says ROLLBACK: the tag decides, not the client's words.
                self.end(tag != b"ROLLBACK", interner);
            }
            Effect::Savepoint(name) => {
                let frame = Frame {
                    savepoint: Some(name.clone()),
                    map: None,
                };
                self.pending().frames.push(frame);
            }
            Effect::RollbackTo(name) => self.rollback_to(name),
            Effect::Release(name) => self.release(name),
            Effect::Set { name, value } => self.set(name, value),
            Effect::SetMany(values) => values
                .iter()
                .for_each(|(name, value)| self.set(name, value)),
            Effect::Reset(name) => self.reset(name),
            Effect::ResetAll => self.reset_all(|name| name == ROLE || name == AUTHORIZATION),
            Effect::DiscardAll => {
                self.reset_all(|_| false);
                // It commits at once: an error behind it in its segment does not bring anything back (`PreventInTransactionBlock`).
                self.end(true, interner);
            }
            Effect::Pure
            | Effect::Opaque
            | Effect::CopyIn
            | Effect::Begin
            | Effect::SetLocal
            | Effect::DiscardPlans
            | Effect::DiscardTemp
            | Effect::DiscardSequences
            | Effect::Deallocate(_)
            | Effect::DeallocateAll
            | Effect::Unlisten
            | Effect::Pin(_)
            | Effect::PinMany(_) => {}
        }
    }

    /// A segment ended with this transaction status; `failed` when it held an error.
    pub fn on_ready(&mut self, status: u8, failed: bool, interner: &mut Interner) {
        // Without a COMMIT or ROLLBACK of its own, an implicit transaction ends here.
        if status == b'I' && self.pending.is_some() {
            self.end(!failed, interner);
        }
    }

    fn end(&mut self, commit: bool, interner: &mut Interner) {
        if commit && self.current_map() != self.committed.map() {
            self.committed = interner.intern(self.current_map().clone());
        }
        if let Some(mut pending) = self.pending.take().filter(|_| commit) {
            self.restore.append(&mut pending.restore);
        }
    }

    fn rollback_to(&mut self, name: &str) {
        let frames = &mut self.pending().frames;
        if let Some(at) = frames
            .iter()
            .rposition(|frame| frame.savepoint.as_deref() == Some(name))
        {
            // The savepoint itself stays.
            frames.truncate(at + 1);
            frames[at].map = None;
        }
    }

    fn release(&mut self, name: &str) {
        let frames = &mut self.pending().frames;
        if let Some(at) = frames
            .iter()
            .rposition(|frame| frame.savepoint.as_deref() == Some(name))
        {
            let map = frames.drain(at..).rev().find_map(|frame| frame.map);
            let below = frames
                .last_mut()
                .expect("the transaction's own frame has no savepoint");
            below.map = map.or(below.map.take());
        }
    }

    fn set(&mut self, name: &str, value: &SetValue) {
        let value = match value {
            SetValue::Sql(text) => Value::Sql(text.as_str().into()),
            SetValue::Literal(text) => Value::Literal(text.as_str().into()),
            SetValue::Default => return self.reset(name),
        };
        let map = self.map_mut();
        if name == AUTHORIZATION {
            // A new session user starts with no role (`assign_session_authorization`).
            map.remove(ROLE);
        }
        map.insert(name.into(), value);
    }

    fn reset(&mut self, name: &str) {
        let baseline = self.baseline.map().get(name).cloned();
        let map = self.map_mut();
        match baseline {
            Some(value) => {
                map.insert(name.into(), value);
                self.pending().restore.push(name.into());
            }
            None => drop(map.remove(name)),
        }
        if name == AUTHORIZATION {
            self.map_mut().remove(ROLE);
        }
    }

    fn reset_all(&mut self, kept: impl Fn(&str) -> bool) {
        let baseline = Arc::clone(&self.baseline);
        let map = self.map_mut();
        map.retain(|name, _| kept(name));
        map.extend(
            baseline
                .map()
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        self.pending()
            .restore
            .extend(baseline.map().keys().cloned());
    }

    /// A boundary outside a transaction was noted: settings whose new value keeps parts of the old one are what the server reports.
    pub fn take_reported(&mut self, reports: &Reports, interner: &mut Interner) {
        let Some(value) = self.committed.map().get(DATESTYLE) else {
            return;
        };
        // The baseline is set on a default that is the same everywhere; and what is still to be restored is not reported yet.
        if self.is_at_baseline(DATESTYLE) || self.restores(DATESTYLE.as_bytes()) {
            return;
        }
        let reported = reports
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(DATESTYLE.as_bytes()))
            .and_then(|(_, value)| std::str::from_utf8(value).ok());
        let Some(reported) = reported.map(|text| Value::Literal(text.into())) else {
            return;
        };
        if *value != reported {
            let mut map = self.committed.map().clone();
            map.insert(DATESTYLE.into(), reported);
            self.committed = interner.intern(map);
        }
    }

    /// Whether this takes values of the baseline away on the backend.
    pub fn loses_baseline(&self, effect: &Effect) -> bool {
        let has = |name: &str| self.baseline.map().contains_key(name);
        match effect {
            Effect::Reset(name) => has(name),
            Effect::Set { name, value } => *value == SetValue::Default && has(name),
            Effect::SetMany(values) => values
                .iter()
                .any(|(name, value)| *value == SetValue::Default && has(name)),
            Effect::ResetAll | Effect::DiscardAll => !self.baseline.map().is_empty(),
            _ => false,
        }
    }

    /// What must be set again on the backend now, after the boundary was noted.
    pub fn take_restore(&mut self) -> Option<Restore> {
        let mut names = std::mem::take(&mut self.restore);
        if let Some(pending) = self.pending.as_mut() {
            names.append(&mut pending.restore);
        }
        if names.is_empty() {
            return None;
        }
        // As the session sees it now: a rollback to a savepoint may have undone the RESET.
        let current = names
            .iter()
            .filter_map(|name| Some((name, self.current(name)?)));
        let statements = current.map(|(name, value)| {
            let mut sql = String::new();
            push_set(&mut sql, name, value);
            sql.pop();
            sql
        });
        let statements = statements.collect();
        Some(Restore { statements, names })
    }

    /// Whether a setting has the value that the session began with.
    pub fn is_at_baseline(&self, name: &str) -> bool {
        self.current(name) == self.baseline.map().get(name)
    }

    /// Whether the backend lost this setting of the baseline to a RESET and is about to be given it again.
    pub fn restores(&self, name: &[u8]) -> bool {
        let pending = self.pending.iter().flat_map(|pending| &pending.restore);
        let mut names = pending.chain(&self.restore);
        names.any(|restored| restored.as_bytes().eq_ignore_ascii_case(name))
    }

    /// What decides the meaning of a statement's text at the time it is parsed, for naming it.
    pub fn meaning(&self, mut visit: impl FnMut(&str, &Value)) {
        let map = self.current_map();
        for name in MEANINGFUL {
            if let Some(value) = map.get(*name) {
                visit(name, value);
            }
        }
    }
}

/// Settings that change what the text of a statement means when it is parsed: names, constants and rewriting.
const MEANINGFUL: &[&str] = &[
    AUTHORIZATION,
    ROLE,
    "array_nulls",
    "backslash_quote",
    "bytea_output",
    "client_encoding",
    "datestyle",
    "intervalstyle",
    "row_security",
    "search_path",
    "standard_conforming_strings",
    "timezone",
    "timezone_abbreviations",
    "transform_null_equals",
    "xmloption",
    "plan_cache_mode",
];

/// Settings whose value, once a server has taken it, it takes again: they may travel in the same write as the client's message.
/// All others are waited for (extensions' settings, roles, things that name objects which may be dropped).
const INFALLIBLE: &[&str] = &[
    "application_name",
    "array_nulls",
    "backslash_quote",
    "bytea_output",
    "client_min_messages",
    "constraint_exclusion",
    "cursor_tuple_fraction",
    "datestyle",
    "deadlock_timeout",
    "default_statistics_target",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "effective_cache_size",
    "escape_string_warning",
    "extra_float_digits",
    "from_collapse_limit",
    "geqo",
    "gin_fuzzy_search_limit",
    "idle_in_transaction_session_timeout",
    "intervalstyle",
    "jit",
    "join_collapse_limit",
    "lock_timeout",
    "maintenance_work_mem",
    "max_parallel_workers_per_gather",
    "plan_cache_mode",
    "quote_all_identifiers",
    "random_page_cost",
    "row_security",
    "search_path",
    "seq_page_cost",
    "standard_conforming_strings",
    "statement_timeout",
    "synchronize_seqscans",
    "timezone",
    "transaction_timeout",
    "transform_null_equals",
    "work_mem",
    "xmlbinary",
    "xmloption",
];

/// A difference to send.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// Statements, each ended by a semicolon.
    pub sql: String,
    /// Whether the answer must be seen before anything else is sent.
    pub wait: bool,
}

/// Everything that a session may leave behind, short of prepared statements, which have names of our own.
/// (`DISCARD ALL` cannot run together with other statements.)
const RESET: &str = "CLOSE ALL;SET SESSION AUTHORIZATION DEFAULT;RESET ROLE;RESET ALL;UNLISTEN *;\
    SELECT pg_catalog.pg_advisory_unlock_all();DISCARD TEMP;DISCARD SEQUENCES;";

/// What to send to a backend that holds `from` so that it holds `to`; `None` when that is nothing. With `reset`, what the backend
/// holds is not known.
pub fn difference(from: &Settings, to: &Settings, reset: bool) -> Option<Difference> {
    let mut sql = String::new();
    let (from, to) = (from.map(), to.map());
    let identity = |map: &Map| [AUTHORIZATION, ROLE].map(|name| map.get(name).cloned());
    // Under a lesser user some settings cannot be changed: change them as the login user, then become the other one.
    let new_identity = reset || identity(from) != identity(to);
    let lesser = identity(from) != [None, None];
    if reset {
        sql.push_str(RESET);
    } else if new_identity || lesser {
        sql.push_str("SET SESSION AUTHORIZATION DEFAULT;RESET ROLE;");
    }
    if !reset {
        for name in from
            .keys()
            .filter(|name| !to.contains_key(*name) && !is_identity(name))
        {
            sql.push_str("RESET ");
            push_name(&mut sql, name);
            sql.push(';');
        }
    }
    let mut wait = false;
    for (name, value) in to.iter().filter(|(name, _)| !is_identity(name)) {
        if reset || from.get(name) != Some(value) {
            if **name == *DATESTYLE && !reset && from.contains_key(name) {
                sql.push_str("RESET datestyle;");
            }
            wait |= INFALLIBLE.binary_search(&&**name).is_err();
            push_set(&mut sql, name, value);
        }
    }
    if new_identity || lesser {
        for name in [AUTHORIZATION, ROLE] {
            if let Some(value) = to.get(name) {
                wait = true;
                push_set(&mut sql, name, value);
            }
        }
    }
    (!sql.is_empty()).then_some(Difference { sql, wait })
}

fn is_identity(name: &str) -> bool {
    name == ROLE || name == AUTHORIZATION
}

fn push_set(sql: &mut String, name: &str, value: &Value) {
    match value {
        Value::Sql(text) if name == AUTHORIZATION => {
            sql.push_str("SET SESSION AUTHORIZATION ");
            sql.push_str(text);
        }
        Value::Sql(text) => {
            sql.push_str("SET ");
            push_name(sql, name);
            sql.push_str(" TO ");
            sql.push_str(text);
        }
        // Not SET: its list syntax would take a value like `a, b` for one name.
        Value::Literal(text) => {
            sql.push_str("SELECT pg_catalog.set_config(");
            sql.push_str(&quote_literal(name));
            sql.push(',');
            sql.push_str(&quote_literal(text));
            sql.push_str(",false)");
        }
    }
    sql.push(';');
}

/// Writes a setting's name; the parts of a dotted one are quoted one by one.
fn push_name(sql: &mut String, name: &str) {
    let plain = |part: &str| {
        let head = part
            .as_bytes()
            .first()
            .is_some_and(|&first| first.is_ascii_lowercase() || first == b'_');
        head && part
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    for (index, part) in name.split('.').enumerate() {
        if index > 0 {
            sql.push('.');
        }
        // `role`, `timezone` and others are words of the grammar only in places where no name stands.
        if plain(part) {
            sql.push_str(part)
        } else {
            sql.push_str(&quote_identifier(part))
        }
    }
}

#[cfg(test)]
mod tests;
