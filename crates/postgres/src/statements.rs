//! Prepared statements as values: text, parameter types and what gives the text its meaning. Sessions name them as they like; on
//! backends they carry a name of ours that is made from the value, so that any session's statement can be found, or prepared
//! again, on any backend of any worker.

use crate::sql::{self, Class, Effect};
use crate::tracking::Tracker;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forebay_core::settings::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// Longest statement text that is kept for being prepared again; longer ones pin.
pub const STATEMENT_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a statement's name on backends: a prefix and 128 bits in base64.
const NAME_BYTES: usize = 25;
/// What a name begins with.
const NAME_PREFIX: &[u8; 3] = b"fb_";
/// What the name of a statement begins with that another is sent for.
const STOOD_IN_PREFIX: &[u8; 3] = b"fs_";

/// A statement's identity and its name on backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name([u8; NAME_BYTES]);

impl Name {
    /// The name on the wire, without its NUL.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A prepared statement, shared by all sessions of a worker that prepared the same.
#[derive(Debug)]
pub struct Statement {
    /// Its name on backends.
    pub name: Name,
    /// Its text, without the NUL.
    pub text: Box<[u8]>,
    /// Number and list of declared parameter types, as they came.
    pub types: Box<[u8]>,
    /// What executing it does.
    pub effect: Effect,
    /// Whether some backend has prepared it.
    proven: AtomicBool,
    /// What CommandComplete shall say, where [`STAND_IN`] is sent in its stead.
    pub tag: Option<&'static [u8]>,
    /// Its text is not kept: what it does, its tag tells.
    pub is_unread: bool,
}

/// Stands in for a DEALLOCATE of names that the backend does not know: does nothing, yet fails where DEALLOCATE would fail.
pub const STAND_IN: &[u8] = b"UNLISTEN fb_";

/// The tag of the statement that [`STAND_IN`] stands in for.
pub fn stand_in_tag(effect: &Effect) -> Option<&'static [u8]> {
    match effect {
        Effect::DeallocateAll => Some(b"DEALLOCATE ALL"),
        Effect::Deallocate(_) => Some(b"DEALLOCATE"),
        _ => None,
    }
}

/// The statements in use on one worker.
#[derive(Debug)]
pub struct Statements {
    secret: [u8; 32],
    table: HashMap<Name, Weak<Statement>>,
    /// Grows whenever a client of any worker was seen to change a schema.
    schema_version: Arc<AtomicU64>,
    /// Names that are no longer given, with those that took their place.
    renewed: HashMap<Name, Name>,
    sweep_at: usize,
}

/// Most names that are remembered as no longer given.
const RENEWED_MAX: usize = 1024;

/// Dead entries are swept when the table has doubled, and never below this size.
const SWEEP_MIN: usize = 256;

impl Statements {
    /// An empty table. Names are made with `secret`, so that no client can guess another's.
    pub fn new(secret: [u8; 32], schema_version: Arc<AtomicU64>) -> Statements {
        Statements {
            secret,
            table: HashMap::new(),
            schema_version,
            renewed: HashMap::new(),
            sweep_at: SWEEP_MIN,
        }
    }

    /// The statement with this text and these types, in the meaning they have for this session now.
    pub fn named(&mut self, tracker: &Tracker, text: &[u8], types: &[u8]) -> Arc<Statement> {
        let name = self.name(tracker, text, types);
        if let Some(known) = self.table.get(&name).and_then(Weak::upgrade) {
            return known;
        }
        if self.table.len() >= self.sweep_at {
            self.table
                .retain(|_, statement| statement.strong_count() > 0);
            self.sweep_at = (self.table.len() * 2).max(SWEEP_MIN);
        }
        let statement = Arc::new(Statement::new(name, tracker, text, types));
        self.table.insert(name, Arc::downgrade(&statement));
        statement
    }

    /// The statement with this text and these types, if a backend is known to have prepared it.
    pub fn proven(&self, tracker: &Tracker, text: &[u8], types: &[u8]) -> Option<Arc<Statement>> {
        let known = self
            .table
            .get(&self.name(tracker, text, types))
            .and_then(Weak::upgrade)?;
        known.is_proven().then_some(known)
    }

    fn name(&self, tracker: &Tracker, text: &[u8], types: &[u8]) -> Name {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut part = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(&self.secret);
        part(text);
        part(types);
        // Who prepares after a table was changed must not meet a plan from before.
        part(&self.schema_version.load(Ordering::Relaxed).to_le_bytes());
        tracker.meaning(|name, value| {
            let (kind, text): (&[u8], _) = match value {
                Value::Sql(text) => (b"s", text),
                Value::Literal(text) => (b"l", text),
            };
            part(name.as_bytes());
            part(kind);
            part(text.as_bytes());
        });
        let mut name = name_of(hash.finish().as_ref());
        while let Some(newer) = self.renewed.get(&name) {
            name = *newer;
        }
        name
    }

    /// A client was seen to change a schema: whoever prepares from now on gets new names.
    pub fn on_schema_changed(&self) {
        self.schema_version.fetch_add(1, Ordering::Relaxed);
    }

    /// The server refuses to go on with a statement because a table was changed. Whoever prepares the same again gets a new
    /// name, so that it is prepared anew on every backend; who goes on with the old one is refused again, as without a proxy.
    pub fn renew(&mut self, statement: &Statement) {
        if self.renewed.len() >= RENEWED_MAX {
            // Old names come back; at worst somebody is refused once more.
            self.renewed.clear();
        }
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&self.secret);
        hash.update(&statement.name.0);
        self.renewed
            .insert(statement.name, name_of(hash.finish().as_ref()));
    }
}

/// The name made of a hash.
fn name_of(hash: &[u8]) -> Name {
    let mut name = [0; NAME_BYTES];
    name[..3].copy_from_slice(NAME_PREFIX);
    URL_SAFE_NO_PAD
        .encode_slice(&hash[..16], &mut name[3..])
        .expect("128 bits take 22 characters");
    Name(name)
}

impl Statement {
    fn new(name: Name, tracker: &Tracker, text: &[u8], types: &[u8]) -> Statement {
        let effect = effect_of(text, conforming_strings(tracker));
        Statement {
            name,
            text: text.into(),
            types: types.into(),
            effect,
            proven: AtomicBool::new(false),
            tag: None,
            is_unread: false,
        }
    }

    /// A statement of which nothing is known.
    pub fn unread() -> Arc<Statement> {
        Arc::new(Statement {
            name: Name([0; NAME_BYTES]),
            text: Box::default(),
            types: Box::default(),
            effect: Effect::Opaque,
            proven: AtomicBool::new(false),
            tag: None,
            is_unread: true,
        })
    }

    /// What is sent to be prepared.
    pub fn sent_text(&self) -> &[u8] {
        if self.tag.is_some() {
            STAND_IN
        } else {
            &self.text
        }
    }

    /// Whether some backend has prepared it: then a client that prepares it too need not wait for one to be told so.
    pub fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// A backend has prepared it.
    pub fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// This statement, with another sent in its stead that does nothing, if there is something that its tag shall be. On backends
    /// the two have different names.
    pub fn standing_in(&self, tag: Option<&'static [u8]>) -> Arc<Statement> {
        let mut name = self.name;
        if name.0 != [0; NAME_BYTES] {
            let prefix = tag.map_or(NAME_PREFIX, |_| STOOD_IN_PREFIX);
            name.0[..NAME_PREFIX.len()].copy_from_slice(prefix);
        }
        Arc::new(Statement {
            name,
            text: self.text.clone(),
            types: self.types.clone(),
            effect: self.effect.clone(),
            proven: AtomicBool::new(false),
            tag,
            is_unread: false,
        })
    }

    /// A statement that is never shared: the unnamed one.
    pub fn unnamed(tracker: &Tracker, text: &[u8], types: &[u8]) -> Arc<Statement> {
        Arc::new(Statement::new(Name([0; NAME_BYTES]), tracker, text, types))
    }
}

/// What a single statement does.
fn effect_of(text: &[u8], conforming_strings: bool) -> Effect {
    match sql::classify(text, conforming_strings) {
        Class::Pure => Effect::Pure,
        Class::Statements(mut effects) if effects.len() == 1 => effects.remove(0),
        Class::Statements(effects) if effects.is_empty() => Effect::Pure,
        // The server refuses several statements in one Parse.
        Class::Statements(_) => Effect::Opaque,
    }
}

/// Whether backslashes are ordinary characters in plain strings for this session.
pub fn conforming_strings(tracker: &Tracker) -> bool {
    match tracker.current("standard_conforming_strings") {
        None => true,
        Some(Value::Sql(text) | Value::Literal(text)) => {
            let text = text.trim_matches('\'').to_ascii_lowercase();
            !matches!(
                &*text,
                "off" | "false" | "no" | "0" | "of" | "f" | "fa" | "fal" | "fals" | "n"
            )
        }
    }
}
