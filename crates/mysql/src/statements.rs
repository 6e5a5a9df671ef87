//! Prepared statements as values: what a client prepared keeps its number with the client, and is found, or prepared again, on any backend.
//!
//! A statement is its text and the settings that give it its meaning. Servers number statements for each connection; clients see
//! numbers of ours. A backend has a bounded number of them, each text once, whoever prepared it; parameter types, which a client sends only
//! when they change, are remembered with the client's statement, and sent again where another's were last.
//! (MySQL's documentation, "Prepared Statements", `COM_STMT_EXECUTE`.)

use crate::judging::Said;
use crate::wire::statement::LAST_PREPARED;
use forebay_core::settings::{Map, Settings};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

/// Settings by which a text means something else.
pub const MEANING: [&str; 6] = [
    DATABASE,
    "sql_mode",
    "character_set_client",
    "character_set_connection",
    "collation_connection",
    "default_collation_for_utf8mb4",
];

/// The name under which a session's database stands among its settings; no variable is called so.
pub const DATABASE: &str = "database";

/// The name under which the roles stand that a session has taken; no variable is called so.
pub const ROLE: &str = "role";

/// Most statements kept prepared on one backend; the one that was used longest ago is closed for a new one.
pub const PREPARED_ON_BACKEND_MAX: usize = 500;

/// Most statements of one client; the next one is refused as the server would at its own limit.
pub const PREPARED_MAX: usize = 100_000;

/// Most bytes of their texts; beyond it the same.
pub const PREPARED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A text with what gives it its meaning.
#[derive(Debug, Clone)]
pub struct Statement {
    /// The text.
    pub text: Arc<[u8]>,
    meaning: u64,
    hash: u64,
}

impl Statement {
    /// A text under these settings.
    pub fn new(hasher: &RandomState, text: &[u8], settings: &Settings) -> Statement {
        let meaning = meaning_of(hasher, settings.map());
        Statement {
            hash: hasher.hash_one((text, meaning)),
            meaning,
            text: text.into(),
        }
    }
}

/// A number for what these settings make of texts.
pub fn meaning_of(hasher: &RandomState, map: &Map) -> u64 {
    let mut state = hasher.build_hasher();
    for name in MEANING {
        map.get(name).hash(&mut state);
    }
    state.finish()
}

impl PartialEq for Statement {
    fn eq(&self, other: &Statement) -> bool {
        self.hash == other.hash
            && self.meaning == other.meaning
            && (Arc::ptr_eq(&self.text, &other.text) || self.text == other.text)
    }
}

impl Eq for Statement {}

impl Hash for Statement {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A statement of one client's.
#[derive(Debug)]
pub struct Given {
    /// What it is.
    pub statement: Statement,
    /// The settings under which it was prepared.
    pub meant: Arc<Settings>,
    /// How many parameters it has.
    pub parameters: u16,
    /// Their types, as the client last sent them, two bytes each.
    pub types: Option<Box<[u8]>>,
    /// Which of all the types that its session has sent these are, from 1.
    pub types_number: u32,
    /// What it does.
    pub said: Arc<[Said]>,
}

/// Statements of one client; no memory while there are none.
#[derive(Debug, Default)]
pub struct Prepared(Option<Box<Numbers>>);

#[derive(Debug, Default)]
struct Numbers {
    given: HashMap<u32, Given>,
    last: u32,
    /// The one that the last preparation made, if it made one.
    latest: Option<u32>,
    bytes: usize,
}

impl Prepared {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|numbers| numbers.given.is_empty())
    }

    /// The statement of this number.
    pub fn get(&self, id: u32) -> Option<&Given> {
        self.0.as_ref()?.given.get(&id)
    }

    /// The statement of this number.
    pub fn get_mut(&mut self, id: u32) -> Option<&mut Given> {
        self.0.as_mut()?.given.get_mut(&id)
    }

    /// Whether another may be given, with a text of so many bytes.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.0.as_ref().is_none_or(|numbers| {
            numbers.given.len() < PREPARED_MAX && numbers.bytes + bytes <= PREPARED_BYTES_MAX
        })
    }

    /// Gives a statement its number, which counts from 1 as the server's do.
    pub fn insert(&mut self, given: Given) -> u32 {
        let numbers = self.0.get_or_insert_default();
        numbers.bytes += given.statement.text.len();
        loop {
            numbers.last = numbers.last.wrapping_add(1).max(1);
            if numbers.last != LAST_PREPARED && !numbers.given.contains_key(&numbers.last) {
                break;
            }
        }
        numbers.given.insert(numbers.last, given);
        numbers.latest = Some(numbers.last);
        numbers.last
    }

    /// The number means nothing any more.
    pub fn remove(&mut self, id: u32) -> Option<Given> {
        let numbers = self.0.as_mut()?;
        let given = numbers.given.remove(&id)?;
        numbers.latest = numbers.latest.filter(|latest| *latest != id);
        numbers.bytes -= given.statement.text.len();
        Some(given)
    }

    /// What a number means that a client has sent: its own, or with MariaDB's servers one that stands for what was prepared last
    /// ([`LAST_PREPARED`]).
    pub fn resolve(&self, id: u32, is_mariadb: bool) -> u32 {
        match (id, &self.0) {
            (LAST_PREPARED, Some(numbers)) if is_mariadb => numbers.latest.unwrap_or(id),
            _ => id,
        }
    }

    /// A preparation failed: there is none that was made last.
    pub fn on_failed(&mut self) {
        if let Some(numbers) = &mut self.0 {
            numbers.latest = None;
        }
    }

    /// No number means anything any more.
    pub fn clear(&mut self) {
        self.0 = None;
    }
}

/// The statements that a backend has.
#[derive(Debug, Default)]
pub struct PreparedOn {
    known: HashMap<Statement, On>,
    /// Those, by when they were last used.
    turns: BTreeMap<u64, Statement>,
    last: u64,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct On {
    /// The server's number of it.
    pub id: u32,
    /// Which parameter types it was last sent: of which session, and [`Given::types_number`].
    pub types_of: Option<(u64, u32)>,
    turn: u64,
}

impl PreparedOn {
    /// The server's number of this one, which is used now.
    pub fn used(&mut self, statement: &Statement) -> Option<&mut On> {
        let on = self.known.get_mut(statement)?;
        let key = self.turns.remove(&on.turn)?;
        self.last += 1;
        on.turn = self.last;
        self.turns.insert(on.turn, key);
        Some(on)
    }

    /// It was prepared under this number. Returns the number of one that is to be closed: of the same text, or of the one that was used
    /// longest ago where there are too many.
    pub fn insert(&mut self, statement: Statement, id: u32) -> Option<u32> {
        let closed = self.remove(&statement).or_else(|| {
            let oldest = (self.known.len() >= PREPARED_ON_BACKEND_MAX)
                .then(|| self.turns.first_key_value().map(|(_, key)| key.clone()))
                .flatten()?;
            self.remove(&oldest)
        });
        self.last += 1;
        let turn = self.last;
        self.turns.insert(turn, statement.clone());
        let types_of = None;
        self.known.insert(statement, On { id, types_of, turn });
        closed
    }

    /// It is closed. Returns the number it had.
    pub fn remove(&mut self, statement: &Statement) -> Option<u32> {
        let on = self.known.remove(statement)?;
        self.turns.remove(&on.turn);
        Some(on.id)
    }

    /// All are gone.
    pub fn clear(&mut self) {
        *self = PreparedOn::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_core::settings::{Interner, Value};

    fn given(statement: &Statement) -> Given {
        Given {
            statement: statement.clone(),
            meant: Interner::new(RandomState::new()).empty(),
            parameters: 0,
            types: None,
            types_number: 0,
            said: Arc::default(),
        }
    }

    #[test]
    fn a_text_is_another_statement_in_another_database() {
        let hasher = RandomState::new();
        let mut interner = Interner::new(hasher.clone());
        let settings = |interner: &mut Interner, name: &str, value: &str| {
            interner.intern(Map::from([(name.into(), Value::Sql(value.into()))]))
        };
        let one = settings(&mut interner, DATABASE, "a");
        let other = settings(&mut interner, DATABASE, "b");
        let elsewhere = settings(&mut interner, "time_zone", "'+00:00'");
        let empty = interner.empty();
        let make = |settings| Statement::new(&hasher, b"SELECT 1", settings);
        assert_eq!(make(&one), make(&one));
        assert_ne!(make(&one), make(&other));
        assert_eq!(make(&empty), make(&elsewhere));
    }

    #[test]
    fn numbers_are_the_clients_own_and_are_forgotten_when_closed() {
        let hasher = RandomState::new();
        let settings = Interner::new(hasher.clone()).empty();
        let statement = Statement::new(&hasher, b"SELECT 1", &settings);
        let mut prepared = Prepared::default();
        assert!(prepared.is_empty());
        let first = prepared.insert(given(&statement));
        assert_eq!((first, prepared.insert(given(&statement))), (1, 2));
        assert!(prepared.remove(first).is_some());
        assert!(prepared.get(first).is_none() && prepared.remove(first).is_none());
        assert!(!prepared.is_empty());
        prepared.clear();
        assert!(prepared.is_empty());
        assert_eq!(prepared.resolve(LAST_PREPARED, true), LAST_PREPARED);
        let id = prepared.insert(given(&statement));
        assert_eq!(prepared.resolve(LAST_PREPARED, true), id);
        assert_eq!(prepared.resolve(LAST_PREPARED, false), LAST_PREPARED);
        prepared.on_failed();
        assert_eq!(prepared.resolve(LAST_PREPARED, true), LAST_PREPARED);
    }

    #[test]
    fn a_backend_closes_what_was_used_longest_ago() {
        let hasher = RandomState::new();
        let settings = Interner::new(hasher.clone()).empty();
        let make = |number: u32| Statement::new(&hasher, &number.to_le_bytes(), &settings);
        let mut on = PreparedOn::default();
        let max = u32::try_from(PREPARED_ON_BACKEND_MAX).expect("it is small");
        for number in 0..max {
            assert_eq!(on.insert(make(number), number), None);
        }
        assert_eq!(on.used(&make(0)).map(|on| on.id), Some(0));
        assert_eq!(on.insert(make(max), max), Some(1));
        assert_eq!(on.insert(make(0), 77), Some(0), "the same text once");
        assert!(on.used(&make(1)).is_none());
        assert_eq!(on.remove(&make(0)), Some(77));
    }
}
