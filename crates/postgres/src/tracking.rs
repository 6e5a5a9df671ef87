//! Which settings a session has, and what must be sent to a backend that holds others.
//!
//! The value changes only at a boundary that the server confirmed: what a transaction sets is pending until it commits and is undone
//! by its rollback, or by a rollback to a savepoint. What a client's startup message set is its baseline, to which RESET returns.
//! A difference travels as one simple query of its own, ahead of the client's message.
//! (`src/backend/utils/misc/guc.c`, `AtEOXact_GUC`; ledger: settings-follow-the-client.)

mod adopt;
mod bounds;
mod channels;
mod difference;
mod lists;
mod losses;
mod meaning;

pub use adopt::{Adopted, Server, is_set_by_code};
pub use bounds::{CHANNELS_MAX, COPIES_MAX, SAVEPOINTS_MAX, SETTINGS_BYTES_MAX, SETTINGS_MAX};
pub use difference::{READ_UTF8, There, replay};
pub use meaning::{Meaning, is_meaningful};

use crate::reports::Reports;
use crate::sql::{Effect, SetValue};
use difference::push_set;
use forebay_core::notification::Channel;
use forebay_core::settings::{Interner, Map, Settings, Value};
use losses::Losses;
use meaning::Local;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The current role; not a setting that RESET ALL touches.
const ROLE: &str = "role";
/// The session user; not a setting that RESET ALL touches.
const AUTHORIZATION: &str = "session_authorization";

/// What texts are written in, values too.
const ENCODING: &str = "client_encoding";

/// A setting of two parts; a value that names only one leaves the other as it is (`check_datestyle`).
const DATESTYLE: &str = "datestyle";

/// What one session has set.
#[derive(Debug)]
pub struct Tracker {
    committed: Arc<Settings>,
    baseline: Arc<Settings>,
    /// What it listens on between transactions.
    channels: BTreeSet<Channel>,
    /// Only while the open transaction has set something or has savepoints.
    pending: Option<Box<Pending>>,
    /// What a RESET took away on the backend and must be set again there.
    lost_values: Losses,
    /// What `SET LOCAL … TO DEFAULT` took away, until the transaction ends.
    lost_locally: Losses,
    /// What texts mean with the current values; `None` when it was not asked for since they changed.
    meaning: Cell<Option<Meaning>>,
    /// Not everything that is set is tracked: see `tracking/bounds.rs`.
    lost: bool,
}

/// The open transaction's own values: one frame for it, one for each savepoint.
#[derive(Debug)]
struct Pending {
    frames: Vec<Frame>,
}

/// What must be set again on the backend because a RESET brought back its default instead of the client's baseline.
#[derive(Debug, PartialEq, Eq)]
pub struct Restore {
    /// The statements that do.
    pub statements: Vec<String>,
    /// The settings that were reset for the session.
    pub names: Vec<Box<str>>,
    /// The settings that were reset for the rest of the transaction only.
    pub local: Vec<Box<str>>,
}

#[derive(Debug, Default)]
struct Frame {
    savepoint: Option<String>,
    /// How often it was set again with nothing set in between.
    again: u32,
    /// `None`: as the frame below.
    map: Option<Map>,
    /// What SET LOCAL set; `None`: as the frame below.
    local: Option<Local>,
    /// What it will listen on if this is committed; `None`: as the frame below.
    channels: Option<BTreeSet<Channel>>,
}

impl Tracker {
    /// A session that begins with the settings of its startup message.
    pub fn new(baseline: Arc<Settings>) -> Tracker {
        Tracker {
            committed: Arc::clone(&baseline),
            baseline,
            channels: BTreeSet::new(),
            pending: None,
            lost_values: Losses::default(),
            lost_locally: Losses::default(),
            meaning: Cell::new(None),
            lost: false,
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
                frames: vec![Frame::default()],
            })
        })
    }

    /// The innermost frame, where something is about to change.
    fn frame(&mut self) -> &mut Frame {
        self.meaning.set(None);
        self.pending()
            .frames
            .last_mut()
            .expect("a transaction has at least its own frame")
    }

    /// The map that the innermost frame may change.
    fn map_mut(&mut self) -> &mut Map {
        self.bound_copies();
        let top = self.pending().frames.last();
        let known = top.is_some_and(|frame| frame.map.is_some());
        let current = (!known).then(|| self.current_map().clone());
        let map = &mut self.frame().map;
        map.get_or_insert_with(|| current.unwrap_or_default())
    }

    /// A statement was completed; `tag` is what CommandComplete said.
    pub fn on_complete(&mut self, effect: &Effect, tag: &[u8], interner: &mut Interner) {
        match effect {
            Effect::Commit { .. } | Effect::PrepareTransaction | Effect::Rollback { .. } => {
                // A COMMIT of a failed transaction says ROLLBACK: the tag decides, not the client's words.
                self.end(tag != b"ROLLBACK", interner);
            }
            Effect::Savepoint(name) => self.savepoint(name),
            Effect::RollbackTo(name) => self.rollback_to(name),
            Effect::Release(name) => self.release(name),
            Effect::Set { name, value } => self.set(name, value),
            Effect::SetMany(values) => values
                .iter()
                .for_each(|(name, value)| self.set(name, value)),
            Effect::SetLocally { local, session } => {
                session
                    .iter()
                    .for_each(|(name, value)| self.set(name, value));
                for (name, value) in local {
                    self.set_locally(name, value.as_ref());
                    self.lose_locally(name, value.as_ref());
                }
            }
            Effect::Reset(name) => self.reset(name),
            Effect::ResetAll => self.reset_all(is_identity),
            Effect::DiscardAll => {
                self.reset_all(|_| false);
                self.unlisten_all();
                // It commits at once: an error behind it in its segment does not bring anything back (`PreventInTransactionBlock`).
                self.end(true, interner);
                self.lost = false;
            }
            Effect::Listen(channel) => self.listen(channel),
            Effect::Unlisten(channel) => self.unlisten(channel),
            Effect::UnlistenAll => self.unlisten_all(),
            Effect::Pure
            | Effect::Opaque
            | Effect::CopyIn
            | Effect::Begin
            | Effect::SetLocal
            | Effect::DiscardPlans
            | Effect::DiscardTemp
            | Effect::DiscardSequences
            | Effect::Prepare(_)
            | Effect::Execute(_)
            | Effect::Deallocate(_)
            | Effect::DeallocateAll
            | Effect::Close
            | Effect::Notify
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
        self.meaning.set(None);
        self.lost_locally = Losses::default();
        if commit {
            self.lost_values.on_commit();
        } else {
            self.lost_values.on_rollback(1);
        }
        let Some(mut pending) = self.pending.take().filter(|_| commit) else {
            return;
        };
        let mut frames = pending.frames.iter_mut().rev();
        if let Some(channels) = frames.find_map(|frame| frame.channels.take()) {
            self.channels = channels;
        }
        let mut frames = pending.frames.iter_mut().rev();
        let map = frames.find_map(|frame| frame.map.take());
        if let Some(map) = map.filter(|map| map != self.committed.map()) {
            self.committed = interner.intern(map);
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
            (frames[at].map, frames[at].local) = (None, None);
            frames[at].channels = None;
            self.lost_values.on_rollback(at + 1);
            self.lost_locally.on_rollback(at + 1);
        }
        self.meaning.set(None);
    }

    fn release(&mut self, name: &str) {
        let frames = &mut self.pending().frames;
        if let Some(at) = frames
            .iter()
            .rposition(|frame| frame.savepoint.as_deref() == Some(name))
        {
            let (mut map, mut local, mut channels) = (None, None, None);
            let again = frames[at].again;
            frames[at].again = again.saturating_sub(1);
            let first = at + usize::from(again > 0);
            for frame in frames.drain(first..).rev() {
                map = map.or(frame.map);
                local = local.or(frame.local);
                channels = channels.or(frame.channels);
            }
            let below = frames
                .last_mut()
                .expect("the transaction's own frame has no savepoint");
            below.map = map.or(below.map.take());
            below.local = local.or(below.local.take());
            below.channels = channels.or(below.channels.take());
            self.lost_values.on_release(first);
            self.lost_locally.on_release(first);
        }
    }

    fn set(&mut self, name: &str, value: &SetValue) {
        let value = match value {
            SetValue::Sql(text) => self.value_of(name, text),
            SetValue::Literal(text) => Value::Literal(text.as_str().into()),
            SetValue::Default => return self.reset(name),
        };
        self.forget_local(name);
        let frame = self.frames();
        self.lost_values.is_set(name, frame);
        if name == AUTHORIZATION {
            // A new session user starts with no role (`assign_session_authorization`).
            self.map_mut().remove(ROLE);
            self.lost_values.is_set(ROLE, frame);
        }
        if self.tracks(name, &value) {
            self.map_mut().insert(name.into(), value);
        }
    }

    fn reset(&mut self, name: &str) {
        let baseline = self.baseline.map().get(name).cloned();
        self.forget_local(name);
        let map = self.map_mut();
        match baseline {
            Some(value) => {
                map.insert(name.into(), value);
                self.lost_values.lose(name, self.frames());
            }
            None => drop(map.remove(name)),
        }
        if name == AUTHORIZATION {
            // The role goes back with it (`set_config_with_handle`).
            self.reset(ROLE);
        }
    }

    /// `SET LOCAL` gave a setting this value; the default is the database's where it should be the baseline's.
    fn lose_locally(&mut self, name: &str, value: Option<&SetValue>) {
        let lost = value == Some(&SetValue::Default) && self.baseline.map().contains_key(name);
        let frame = self.frames();
        if lost {
            // It has its end here.
            self.pending();
            self.lost_locally.lose(name, frame);
        } else {
            self.lost_locally.is_set(name, frame);
            self.lost_values.is_hidden(name, frame);
        }
    }

    /// How many frames the transaction has that is open, or that a statement is of its own.
    fn frames(&self) -> usize {
        self.pending
            .as_ref()
            .map_or(1, |pending| pending.frames.len())
    }

    /// All settings but those that are `kept` are as the session began with.
    fn reset_all(&mut self, kept: impl Fn(&str) -> bool) {
        let baseline = Arc::clone(&self.baseline);
        let reset = || baseline.map().iter().filter(|(name, _)| !kept(name));
        // A client may say so thousands of times in one query.
        if !same_beside(self.current_map(), baseline.map(), &kept) {
            let map = self.map_mut();
            map.retain(|name, _| kept(name));
            map.extend(reset().map(|(name, value)| (name.clone(), value.clone())));
        }
        // The boundary decides on it, also where nothing else has changed.
        self.pending();
        let frame = self.frames();
        for (name, _) in reset() {
            self.lost_values.lose(name, frame);
            self.lost_locally.is_set(name, frame);
        }
        self.forget_all_local(kept);
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
            self.meaning.set(None);
        }
    }

    /// Whether this takes values of the baseline away on the backend.
    pub fn loses_baseline(&self, effect: &Effect) -> bool {
        let has = |name: &str| self.baseline.map().contains_key(name);
        match effect {
            Effect::Reset(name) => has(name) || (name == AUTHORIZATION && has(ROLE)),
            Effect::Set { name, value } => *value == SetValue::Default && has(name),
            Effect::SetMany(values) => values
                .iter()
                .any(|(name, value)| *value == SetValue::Default && has(name)),
            Effect::ResetAll => self.baseline.map().keys().any(|name| !is_identity(name)),
            Effect::DiscardAll => !self.baseline.map().is_empty(),
            Effect::SetLocally { local, session } => {
                let to_default = |value: &SetValue| *value == SetValue::Default;
                let local = local
                    .iter()
                    .any(|(name, value)| value.as_ref().is_some_and(to_default) && has(name));
                local
                    || session
                        .iter()
                        .any(|(name, value)| to_default(value) && has(name))
            }
            _ => false,
        }
    }

    /// What must be set again on the backend now, after the boundary was noted.
    pub fn take_restore(&mut self, reads_utf8: bool, in_transaction: bool) -> Option<Restore> {
        if !self.restores_again() {
            return None;
        }
        let frame = if in_transaction { self.frames() } else { 0 };
        if !in_transaction {
            self.lost_values.on_rollback(1);
        }
        let names = self.lost_values.take_due(frame);
        let local = self.lost_locally.take_due(frame);
        if names.is_empty() && local.is_empty() {
            return None;
        }
        let current = names
            .iter()
            .filter_map(|name| Some((name, self.current(name)?)));
        let mut statements: Vec<_> = current.map(|(name, value)| setting(name, value)).collect();
        let first = self.baseline.map();
        let lost = local
            .iter()
            .filter_map(|name| Some((name, first.get(name)?)));
        statements.extend(lost.map(|(name, value)| local_setting(name, value)));
        if !reads_utf8 && statements.iter().any(|sql| !sql.is_ascii()) {
            statements.insert(0, READ_UTF8.to_owned());
            statements.push(match self.current(ENCODING) {
                Some(value) => setting(ENCODING, value),
                None => format!("RESET {ENCODING}"),
            });
        }
        Some(Restore {
            statements,
            names,
            local,
        })
    }

    /// Whether a setting has the value that the session began with.
    pub fn is_at_baseline(&self, name: &str) -> bool {
        self.current(name) == self.baseline.map().get(name)
    }

    /// Whether something is to be set again, or is set again and a rollback would take it away once more.
    pub fn restores_again(&self) -> bool {
        self.lost_values.is_any_open() || self.lost_locally.is_any_open()
    }

    /// What is to be set again for the session.
    pub fn lost(&self) -> Vec<Box<str>> {
        self.lost_values.due().cloned().collect()
    }

    /// Whether the backend would lack something of the baseline if nobody were there to set it again when the transaction is over.
    pub fn lacks_baseline(&self) -> bool {
        self.lost_values.is_any_committed()
    }

    /// Whether the backend lost this setting of the baseline to a RESET and is about to be given it again.
    pub fn restores(&self, name: &[u8]) -> bool {
        self.lost_values.is_due(name) || self.lost_locally.is_due(name)
    }

    /// Whether an error, which undoes the innermost frame, has the backend lose this setting of the baseline once more.
    pub fn loses_by_error(&self, name: &[u8]) -> bool {
        let frame = self.frames();
        let is_lost = |losses: &Losses| losses.is_lost_without(name, frame);
        is_lost(&self.lost_values) || is_lost(&self.lost_locally)
    }
}

/// Whether two maps say the same of all settings but those that are `kept`.
fn same_beside(one: &Map, other: &Map, kept: impl Fn(&str) -> bool) -> bool {
    let one = one.iter().filter(|(name, _)| !kept(name));
    one.eq(other.iter().filter(|(name, _)| !kept(name)))
}

/// The statement that sets this.
fn setting(name: &str, value: &Value) -> String {
    let mut sql = String::new();
    push_set(&mut sql, name, value);
    sql.pop();
    sql
}

/// The same until the transaction ends.
fn local_setting(name: &str, value: &Value) -> String {
    let sql = setting(name, value);
    match (sql.strip_prefix("SET "), sql.strip_suffix(",false)")) {
        (Some(assignment), _) => format!("SET LOCAL {assignment}"),
        (None, Some(call)) => format!("{call},true)"),
        (None, None) => sql,
    }
}

/// Who the session is. `RESET ALL` does not touch it (`GUC_NO_RESET_ALL`).
fn is_identity(name: &str) -> bool {
    name == ROLE || name == AUTHORIZATION
}

#[cfg(test)]
mod tests;
