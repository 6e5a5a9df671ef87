//! Prepared statements as values: text, parameter types and what gives the text its meaning. Sessions name them as they like; on
//! backends they carry a name of ours that is made from the value, so that any session's statement can be found, or prepared
//! again, on any backend of any worker.

use crate::columns::Columns;
use crate::sql::{self, Class, Effect, Fingerprint};
use crate::tracking::{Meaning, Tracker};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use forebay_core::PinReason;
use forebay_core::engine::SchemaVersions;
use memchr::{memchr, memmem};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock, Weak};

/// Longest statement text that is kept for being prepared again; longer ones pin.
pub const STATEMENT_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a statement's name on backends: a prefix and 128 bits in base64.
const NAME_BYTES: usize = 25;
/// What a name begins with.
const NAME_PREFIX: &[u8; 3] = b"fb_";
/// What the name of a statement begins with that another is sent for.
const STOOD_IN_PREFIX: &[u8; 3] = b"fs_";

/// Sent in the place of a client's name that could be one of ours: no statement is called so.
pub const NOBODYS_NAME: &[u8] = b"fb_";

/// Whether a client's name could be one of ours, which the server shows to everybody.
pub fn is_like_ours(name: &[u8]) -> bool {
    let begins = name.starts_with(NAME_PREFIX) || name.starts_with(STOOD_IN_PREFIX);
    begins && name.len() <= NAME_BYTES
}

/// Whether a name begins as ours do, so that nobody else should give it.
pub fn is_reserved(name: &[u8]) -> bool {
    name.starts_with(NAME_PREFIX) || name.starts_with(STOOD_IN_PREFIX)
}

/// A statement's identity and its name on backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name([u8; NAME_BYTES]);

impl Name {
    /// No name.
    pub const NONE: Name = Name([0; NAME_BYTES]);

    /// The name on the wire, without its NUL.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A name of as many bytes as ours have.
    pub fn from_bytes(bytes: &[u8]) -> Option<Name> {
        bytes.try_into().ok().map(Name)
    }
}

/// A prepared statement, shared by all sessions of a worker that prepared the same, unless it is private.
#[derive(Debug)]
pub struct Statement {
    /// Its name on backends.
    pub name: Name,
    /// Its text, without the NUL.
    pub text: Box<[u8]>,
    /// Number and list of declared parameter types, as they came.
    pub types: Box<[u8]>,
    /// The same with those that the server has found, once it told its client.
    told_types: OnceLock<Box<[u8]>>,
    /// The columns of its rows, once it told its client.
    pub columns: Columns,
    /// What executing it does.
    pub effect: Effect,
    /// What others like it have in common, where its text does not tell what it does.
    pub fingerprint: Option<Fingerprint>,
    /// What gives its text the meaning that its name stands for; `None` when it is private to a session, because nobody can tell.
    meaning: Option<Meaning>,
    /// Whether its text has constants, or may have.
    has_constants: bool,
    /// Whether its constants may be times of the moment in which it is prepared.
    momentary: bool,
    /// Whether its columns are those of what its session has made on a backend.
    shows_own: bool,
    /// Whether its text speaks of what is prepared.
    lists: bool,
    /// Whether some backend has prepared it.
    proven: AtomicBool,
    /// What CommandComplete shall say, where [`STAND_IN`] is sent in its stead.
    pub tag: Option<&'static [u8]>,
    /// Its text is not kept: what it does, its tag tells.
    pub is_unread: bool,
    /// Its text is that of a PREPARE: on backends it has the name that its client gave it, and [`Statement::name`] only tells it from
    /// others.
    pub is_sql: bool,
    /// What executing it does to names, where that was found out.
    pub named: Named,
    /// Settings with a dot in their names that one execution of it may set, where its parameters tell.
    pub settings: Option<Box<[String]>>,
}

/// What executing something does to names that clients gave.
#[derive(Debug, Default)]
pub struct Named {
    /// What its statements give names to, by their numbers.
    pub makes: Vec<(usize, Arc<Statement>)>,
    /// What it runs by name.
    pub uses: Vec<(String, Arc<Statement>)>,
}

impl Named {
    /// What the statement of this number gives a name to.
    pub fn made(&self, number: usize) -> Option<Arc<Statement>> {
        let (_, made) = self.makes.iter().find(|(known, _)| *known == number)?;
        Some(Arc::clone(made))
    }
}

/// What a client asks to be prepared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Draft<'a> {
    /// Whose tables and functions it speaks of, as a number: see [`Statements::scope`].
    pub scope: u64,
    /// The text.
    pub text: &'a [u8],
    /// Number and list of declared parameter types.
    pub types: &'a [u8],
    /// Whether the server takes backslashes in plain strings for ordinary characters; `None` when that is not known.
    pub conforming: Option<bool>,
    /// The session that prepares it, should it be for that one alone.
    pub session: u64,
    /// The text is that of a PREPARE, and what it prepares is meant.
    pub is_sql: bool,
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
pub struct Statements {
    secret: [u8; 32],
    /// The same in all workers of this process.
    hasher: RandomState,
    table: HashMap<Name, Weak<Statement>>,
    /// Grow whenever a client of any worker was seen to change a schema.
    schema_versions: Arc<SchemaVersions>,
    /// Names that are no longer given, with those that took their place.
    renewed: HashMap<Name, Name>,
    /// Private statements made so far.
    privates: u64,
    sweep_at: usize,
}

impl std::fmt::Debug for Statements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Who knows the secret can guess names.
        f.debug_struct("Statements")
            .field("count", &self.table.len())
            .finish_non_exhaustive()
    }
}

/// Most names that are remembered as no longer given.
const RENEWED_MAX: usize = 1024;

/// Dead entries are swept when the table has doubled, and never below this size.
const SWEEP_MIN: usize = 256;

impl Statements {
    /// An empty table. Names are made with `secret`, so that no client can guess another's; `secret` and `hasher` must be the same in
    /// all workers of a process.
    pub fn new(
        secret: [u8; 32],
        hasher: RandomState,
        schema_versions: Arc<SchemaVersions>,
    ) -> Statements {
        Statements {
            secret,
            hasher,
            table: HashMap::new(),
            schema_versions,
            renewed: HashMap::new(),
            privates: 0,
            sweep_at: SWEEP_MIN,
        }
    }

    /// A number for whatever decides which tables and functions a text can speak of: proxy, targets, user, database.
    pub fn scope(&self, of: impl Hash) -> u64 {
        self.hasher.hash_one(of)
    }

    /// As the scope of a session, and in which state its functions, triggers and tables are.
    pub fn code_scope(&self, scope: u64) -> u64 {
        let version = self.schema_versions.of(code_of(scope));
        self.hasher.hash_one((scope, version))
    }

    /// Grows whenever a client was seen to change a schema of this scope.
    pub fn schema_version(&self, scope: u64) -> u64 {
        self.schema_versions.of(scope)
    }

    /// A client was seen to change code: what was learned of statements is learned anew.
    pub fn on_code_changed(&self, scope: u64) {
        self.schema_versions.grow(code_of(scope));
    }

    /// What texts mean to this session now, if that is known.
    pub fn meaning(&self, tracker: &Tracker) -> Option<Meaning> {
        tracker.meaning(&self.hasher)
    }

    /// The statement with this text and these types, in this meaning.
    pub fn named(&mut self, draft: &Draft<'_>, meaning: Meaning) -> Arc<Statement> {
        let name = self.name(draft, meaning);
        if let Some(known) = self.table.get(&name).and_then(Weak::upgrade) {
            return known;
        }
        if self.table.len() >= self.sweep_at {
            self.table
                .retain(|_, statement| statement.strong_count() > 0);
            self.sweep_at = (self.table.len() * 2).max(SWEEP_MIN);
        }
        let statement = Statement::new(name, draft, Some(meaning));
        if statement.shows_own {
            // What the name in it stands for is another matter in each session.
            return self.private(draft);
        }
        let statement = Arc::new(statement);
        self.table.insert(name, Arc::downgrade(&statement));
        statement
    }

    /// A statement whose meaning nobody can tell: only its session has it, under a name that is never given again.
    pub fn private(&mut self, draft: &Draft<'_>) -> Arc<Statement> {
        self.privates += 1;
        let name = self.hashed(|part| {
            part(b"private");
            part(&draft.session.to_le_bytes());
            part(&self.privates.to_le_bytes());
        });
        Arc::new(Statement::new(name, draft, None))
    }

    /// The statement with this text and these types, in this meaning, if a backend is known to have prepared it.
    pub fn proven(&self, draft: &Draft<'_>, meaning: Meaning) -> Option<Arc<Statement>> {
        let name = self.name(draft, meaning);
        let known = self.table.get(&name).and_then(Weak::upgrade)?;
        known.is_proven().then_some(known)
    }

    /// The name on backends of the statement with this text and these types, in this meaning.
    pub fn name(&self, draft: &Draft<'_>, meaning: Meaning) -> Name {
        let mut name = self.hashed(|part| {
            part(draft.text);
            part(draft.types);
            part(&draft.scope.to_le_bytes());
            // Who prepares after a table was changed must not meet a plan from before.
            part(&self.schema_versions.of(draft.scope).to_le_bytes());
            part(&meaning.names.to_le_bytes());
            if has_constants(draft.text) {
                part(&meaning.constants.to_le_bytes());
            }
            if draft.is_sql {
                part(b"sql");
            }
        });
        while let Some(newer) = self.renewed.get(&name) {
            name = *newer;
        }
        name
    }

    /// A name made of parts, and of the secret.
    fn hashed(&self, parts: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Name {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut part = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(&self.secret);
        parts(&mut part);
        name_of(hash.finish().as_ref())
    }

    /// A client was seen to change a schema: whoever prepares from now on gets new names.
    pub fn on_schema_changed(&self, scope: u64) {
        self.schema_versions.grow(scope);
    }

    /// The server refuses to go on with a statement because a table was changed. Whoever prepares the same again gets a new
    /// name, so that it is prepared anew on every backend, and so does who was refused: it may never have known the old table. Others
    /// that go on with the old one are refused in their turn, as without a proxy.
    pub fn renew(&mut self, statement: &Statement) -> Arc<Statement> {
        if self.renewed.len() >= RENEWED_MAX {
            // Old names come back; at worst somebody is refused once more.
            self.renewed.clear();
        }
        let newer = self.hashed(|part| part(&statement.name.0));
        self.renewed.insert(statement.name, newer);
        if let Some(known) = self.table.get(&newer).and_then(Weak::upgrade) {
            return known;
        }
        let statement = Arc::new(statement.renamed(newer));
        if !statement.is_private() {
            self.table.insert(newer, Arc::downgrade(&statement));
        }
        statement
    }
}

/// The number under which changes of code are counted in a scope.
fn code_of(scope: u64) -> u64 {
    scope.rotate_left(32)
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
    fn new(name: Name, draft: &Draft<'_>, meaning: Option<Meaning>) -> Statement {
        let effect = if draft.is_sql {
            effect_of_prepared(draft)
        } else {
            effect_of(draft.text, draft.conforming)
        };
        Statement {
            name,
            text: draft.text.into(),
            types: draft.types.into(),
            told_types: OnceLock::new(),
            columns: Columns::default(),
            fingerprint: fingerprint(draft.text, std::slice::from_ref(&effect)),
            shows_own: matches!(effect, Effect::Execute(_)) || sql::shows_own(draft.text),
            effect,
            meaning,
            has_constants: has_constants(draft.text),
            // Whether it is prepared again is decided by its name.
            momentary: name != Name::NONE && is_momentary(draft.text),
            lists: lists_statements(draft.text),
            proven: AtomicBool::new(false),
            tag: None,
            is_unread: false,
            is_sql: draft.is_sql,
            named: Named::default(),
            settings: None,
        }
    }

    /// What stands for executions with parameters of which some name these settings.
    pub fn naming(&self, settings: Vec<String>) -> Arc<Statement> {
        Arc::new(Statement {
            settings: Some(settings.into()),
            ..self.renamed(self.name)
        })
    }

    /// What stands for one execution of this statement: what that does.
    pub fn doing(&self, effect: Effect, named: Named) -> Arc<Statement> {
        let draft = Draft::default();
        Arc::new(Statement {
            text: self.text.clone(),
            effect,
            named,
            ..Statement::new(Name::NONE, &draft, None)
        })
    }

    /// A statement of which nothing is known.
    pub fn unread() -> Arc<Statement> {
        Arc::new(Statement {
            name: Name::NONE,
            text: Box::default(),
            types: Box::default(),
            told_types: OnceLock::new(),
            columns: Columns::default(),
            effect: Effect::Opaque,
            fingerprint: None,
            meaning: None,
            has_constants: false,
            momentary: false,
            shows_own: false,
            lists: false,
            proven: AtomicBool::new(false),
            tag: None,
            is_unread: true,
            is_sql: false,
            named: Named::default(),
            settings: None,
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

    /// A client was told the types of its parameters (ParameterDescription): it will send values of these, wherever it goes on.
    pub fn tell_types(&self, types: &[u8]) {
        if *self.types != *types {
            self.told_types.get_or_init(|| types.into());
        }
    }

    /// Whether its client leaves it to the server to find types of parameters.
    pub fn leaves_types(&self) -> bool {
        let declared = self.types.get(2..).unwrap_or_default();
        let declared = declared
            .chunks_exact(4)
            .filter(|oid| **oid != [0; 4])
            .count();
        let all =
            |number: usize| memmem::find(&self.text, format!("${number}").as_bytes()).is_some();
        all(declared + 1)
    }

    /// Whether types were told that its client did not declare.
    pub fn has_told_types(&self) -> bool {
        self.told_types.get().is_some()
    }

    /// The parameter types to prepare it with, elsewhere or in another meaning: what was told once holds.
    pub fn types_to_keep(&self) -> &[u8] {
        self.told_types.get().unwrap_or(&self.types)
    }

    /// Whether its name stands for what its text means now.
    #[inline]
    pub fn means(&self, now: Meaning) -> bool {
        self.meaning.is_some_and(|own| {
            own.names == now.names && (own.constants == now.constants || !self.has_constants)
        })
    }

    /// Whether only one session knows its name.
    pub fn is_private(&self) -> bool {
        self.meaning.is_none()
    }

    /// Whether its constants may be times of the moment in which it is prepared.
    pub fn is_momentary(&self) -> bool {
        self.momentary
    }

    /// Whether its columns are those of what its session has made on a backend, so that they are nobody else's, and others at any time:
    /// the server never refuses to go on with it because of that.
    pub fn shows_own(&self) -> bool {
        self.shows_own
    }

    /// Whether its text speaks of what is prepared.
    #[inline]
    pub fn lists(&self) -> bool {
        self.lists
    }

    /// Whether its text has constants, or may have.
    pub fn has_constants(&self) -> bool {
        self.has_constants
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
        if name != Name::NONE {
            let prefix = tag.map_or(NAME_PREFIX, |_| STOOD_IN_PREFIX);
            name.0[..NAME_PREFIX.len()].copy_from_slice(prefix);
        }
        Arc::new(Statement {
            tag,
            ..self.renamed(name)
        })
    }

    fn renamed(&self, name: Name) -> Statement {
        Statement {
            name,
            text: self.text.clone(),
            types: self.types.clone(),
            told_types: self.told_types.clone(),
            columns: Columns::default(),
            effect: self.effect.clone(),
            fingerprint: self.fingerprint,
            meaning: self.meaning,
            has_constants: self.has_constants,
            momentary: self.momentary,
            shows_own: self.shows_own,
            lists: self.lists,
            proven: AtomicBool::new(false),
            tag: self.tag,
            is_unread: false,
            is_sql: self.is_sql,
            named: Named::default(),
            settings: None,
        }
    }

    /// A statement that is never shared: the unnamed one.
    pub fn unnamed(draft: &Draft<'_>) -> Arc<Statement> {
        Arc::new(Statement::new(Name::NONE, draft, None))
    }
}

/// Finds the view `pg_prepared_statements`, and the function behind it.
static VIEW: LazyLock<memmem::Finder<'static>> =
    LazyLock::new(|| memmem::Finder::new("pg_prepared_statement"));

/// Whether a text speaks of what is prepared.
pub fn lists_statements(text: &[u8]) -> bool {
    VIEW.find(text).is_some()
}

/// Whether a text has constants whose meaning depends on settings, or may have: strings in whatever quotes, names that are not ASCII.
fn has_constants(text: &[u8]) -> bool {
    let dollar_quote = |pair: &[u8]| pair[0] == b'$' && !pair[1].is_ascii_digit();
    memchr(b'\'', text).is_some() || !text.is_ascii() || text.windows(2).any(dollar_quote)
}

/// Whether a text may have a constant like `'now'` or `'today'`, which stands for the moment in which it is read (`DecodeDateTime`): what
/// others have prepared before is another statement.
pub fn is_momentary(text: &[u8]) -> bool {
    const WORDS: [&[u8]; 4] = [b"now", b"today", b"tomorrow", b"yesterday"];
    let is_quoted = memchr(b'\'', text).is_some() || memmem::find(text, b"$$").is_some();
    if !is_quoted {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    let stands = |word: &&[u8]| {
        let mut found = memmem::find_iter(&lower, word);
        found.any(|at| {
            let (before, behind) = (&lower[..at], &lower[at + word.len()..]);
            let is_part = |byte: Option<&u8>| {
                byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
            };
            // `now()` is called whenever the statement is executed.
            let is_call = behind.trim_ascii_start().starts_with(b"(");
            !is_call && !is_part(before.last()) && !is_part(behind.first())
        })
    };
    WORDS.iter().any(stands)
}

/// What a single statement does.
fn effect_of(text: &[u8], conforming: Option<bool>) -> Effect {
    match judge(text, conforming) {
        Class::Pure => Effect::Pure,
        Class::Statements(mut effects) if effects.len() == 1 => effects.remove(0),
        Class::Statements(effects) if effects.is_empty() => Effect::Pure,
        // The server refuses several statements in one Parse.
        Class::Statements(_) => Effect::Opaque,
    }
}

/// What running the statement does that a PREPARE prepares.
fn effect_of_prepared(draft: &Draft<'_>) -> Effect {
    match effect_of(draft.text, draft.conforming) {
        Effect::Prepare(prepares) => prepares.body,
        // Read otherwise than when it was prepared.
        _ => Effect::Pin(PinReason::SqlPrepare),
    }
}

/// Whether a text is a single PREPARE of this name, read as the server reads it now.
pub fn is_prepare_of(name: &[u8], text: &[u8], conforming: Option<bool>) -> bool {
    matches!(effect_of(text, conforming), Effect::Prepare(prepares) if prepares.name.as_bytes() == name)
}

/// What texts like this one have in common, if something of what they do is known to the server alone.
pub fn fingerprint(text: &[u8], effects: &[Effect]) -> Option<Fingerprint> {
    let opaque = effects
        .iter()
        .any(|effect| matches!(effect, Effect::Opaque | Effect::CopyIn));
    opaque.then(|| sql::fingerprint(text, true))
}

/// What a query string does. Where it is not known how the server reads backslashes in plain strings, and that makes a difference,
/// it may do anything.
pub fn judge(text: &[u8], conforming: Option<bool>) -> Class {
    let conforming = conforming.or_else(|| memchr(b'\\', text).is_none().then_some(true));
    if let Some(conforming) = conforming {
        return sql::classify(text, conforming);
    }
    let (one, other) = (sql::classify(text, true), sql::classify(text, false));
    if one == other {
        return one;
    }
    let effects = |class: Class| match class {
        Class::Pure => Vec::new(),
        Class::Statements(effects) => effects,
    };
    let effects: Vec<_> = [one, other].into_iter().flat_map(effects).collect();
    let unseen = |effect: &Effect| matches!(effect, Effect::Pure | Effect::Opaque | Effect::CopyIn);
    Class::Statements(vec![if !effects.iter().all(unseen) {
        Effect::Pin(PinReason::UntrackedSetting)
    } else if effects.contains(&Effect::CopyIn) {
        Effect::CopyIn
    } else {
        Effect::Opaque
    }])
}

#[cfg(test)]
mod tests;
