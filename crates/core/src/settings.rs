//! The value of what a session has set: immutable, interned, compared by pointer.
//!
//! A worker interns each distinct value once, so that "does this backend already hold what this session wants" is one comparison.
//! Values carry a number that is equal in all workers of a process for equal contents (a keyed hash), which pools use as label and
//! which lets a backend move between workers.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};

/// How a setting is re-established.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// The text after `SET name TO`, as a client wrote it.
    Sql(Box<str>),
    /// The value itself, as it came in a startup message.
    Literal(Box<str>),
}

/// Names (in the engine's canonical case) with their values.
pub type Map = BTreeMap<Box<str>, Value>;

/// One interned value.
#[derive(Debug)]
pub struct Settings {
    label: u64,
    map: Map,
}

impl Settings {
    /// The names and values.
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// A number that is equal for equal settings in all workers of this process; never 0.
    pub fn label(&self) -> u64 {
        self.label
    }
}

/// One worker's table of settings in use.
#[derive(Debug)]
pub struct Interner {
    hasher: RandomState,
    table: HashMap<u64, Weak<Settings>>,
    empty: Arc<Settings>,
    /// Size of the table at which dead entries are swept.
    sweep_at: usize,
}

/// Dead entries are swept when the table has doubled, and never below this size.
const SWEEP_MIN: usize = 64;

impl Interner {
    /// An empty table. `hasher` must be the same in all workers of a process.
    pub fn new(hasher: RandomState) -> Interner {
        let empty = Arc::new(Settings {
            label: label_of(&hasher, &Map::new()),
            map: Map::new(),
        });
        let mut table = HashMap::new();
        table.insert(empty.label, Arc::downgrade(&empty));
        Interner {
            hasher,
            table,
            empty,
            sweep_at: SWEEP_MIN,
        }
    }

    /// The value in which nothing is set.
    pub fn empty(&self) -> Arc<Settings> {
        Arc::clone(&self.empty)
    }

    /// The one value with these contents.
    pub fn intern(&mut self, map: Map) -> Arc<Settings> {
        let mut label = label_of(&self.hasher, &map);
        loop {
            match self.table.get(&label).and_then(Weak::upgrade) {
                Some(known) if known.map == map => return known,
                // Two values with one hash: probe on, so that equal labels always mean equal settings in this worker.
                Some(_) => label = label.wrapping_add(1).max(1),
                None => break,
            }
        }
        self.sweep();
        let settings = Arc::new(Settings { label, map });
        self.table.insert(label, Arc::downgrade(&settings));
        settings
    }

    fn sweep(&mut self) {
        if self.table.len() >= self.sweep_at {
            self.table.retain(|_, settings| settings.strong_count() > 0);
            self.sweep_at = (self.table.len() * 2).max(SWEEP_MIN);
        }
    }
}

fn label_of(hasher: &RandomState, map: &Map) -> u64 {
    hasher.hash_one(map).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(name: &str, value: &str) -> Map {
        Map::from([(name.into(), Value::Sql(value.into()))])
    }

    #[test]
    fn equal_settings_are_one_value() {
        let mut interner = Interner::new(RandomState::new());
        let one = interner.intern(map("a", "1"));
        assert!(Arc::ptr_eq(&one, &interner.intern(map("a", "1"))));
        assert!(!Arc::ptr_eq(&one, &interner.intern(map("a", "2"))));
        assert!(Arc::ptr_eq(&interner.empty(), &interner.intern(Map::new())));
    }

    #[test]
    fn workers_of_one_process_agree_on_labels() {
        let hasher = RandomState::new();
        let (mut one, mut other) = (Interner::new(hasher.clone()), Interner::new(hasher));
        assert_eq!(
            one.intern(map("a", "1")).label(),
            other.intern(map("a", "1")).label()
        );
    }

    #[test]
    fn a_value_nobody_uses_leaves_the_table() {
        let mut interner = Interner::new(RandomState::new());
        for number in 0..10_000 {
            interner.intern(map("a", &number.to_string()));
        }
        assert!(interner.table.len() <= SWEEP_MIN);
    }
}
