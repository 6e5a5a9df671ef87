//! What one worker remembers of key derivations, so that a login costs microseconds: SCRAM verifiers of clients, SCRAM keys for
//! databases. The derivations themselves are [`Work`], done on another thread by [`work`].
//!
//! Entries belong to one `Arc<Credential>`, known by its address. They hold it weakly: the address is not used again while an entry
//! refers to it, yet a replaced password is wiped as soon as no snapshot has it. A result travels in a cell that all who wait for the
//! same derivation share, so that a thousand clients arriving at once cost one derivation.
//! Bound: [`ENTRIES_MAX`] of either kind, the least recently used one leaves.

use crate::scram::{ClientKeys, ITERATIONS_DEFAULT, SALT_BYTES_DEFAULT, Verifier};
use forebay_core::snapshot::Credential;
use secrecy::ExposeSecret as _;
use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock, Weak};
use zeroize::Zeroizing;

/// Most verifiers and most keys that a cache holds.
pub const ENTRIES_MAX: usize = 1024;

/// A result that is derived once and seen by all who wait for it.
type Cell<T> = Arc<OnceLock<Arc<T>>>;

/// A key derivation.
#[derive(Debug)]
pub enum Work {
    /// The verifier that a client's proof is checked against.
    Verifier {
        /// Whose.
        credential: Arc<Credential>,
        /// What the client will derive with.
        salt: [u8; SALT_BYTES_DEFAULT],
        /// Where the result goes.
        cell: Cell<Verifier>,
    },
    /// The keys that log in to a database.
    Keys {
        /// Whose.
        credential: Arc<Credential>,
        /// What the database derived with.
        salt: Box<[u8]>,
        /// How often the database hashed.
        iterations: NonZeroU32,
        /// Where the result goes.
        cell: Cell<ClientKeys>,
    },
}

/// A derivation's result.
#[derive(Debug)]
pub enum Done {
    /// Of [`Work::Verifier`].
    Verifier(Arc<Verifier>),
    /// Of [`Work::Keys`].
    Keys(Arc<ClientKeys>),
}

/// Derives. Takes half a millisecond or, where a database demands more iterations, up to half a second.
pub fn work(work: Work) -> Done {
    match work {
        Work::Verifier {
            credential,
            salt,
            cell,
        } => {
            let derive = || {
                let password = credential.password.expose_secret();
                Verifier::derive(password, &salt, ITERATIONS_DEFAULT)
                    .expect("a salt of 16 bytes is neither empty nor too long")
            };
            Done::Verifier(cell.get_or_init(|| Arc::new(derive())).clone())
        }
        Work::Keys {
            credential,
            salt,
            iterations,
            cell,
        } => {
            let derive =
                || ClientKeys::derive(credential.password.expose_secret(), &salt, iterations);
            Done::Keys(cell.get_or_init(|| Arc::new(derive())).clone())
        }
    }
}

/// One worker's memory of derivations.
pub struct LoginCache {
    process_secret: Zeroizing<[u8; 32]>,
    verifiers: Cells<usize, Verifier>,
    keys: Cells<(usize, Box<[u8]>, NonZeroU32), ClientKeys>,
}

impl LoginCache {
    /// An empty cache; `process_secret` is random and the same for all workers, else salts would tell workers apart.
    pub fn new(process_secret: [u8; 32]) -> LoginCache {
        LoginCache {
            process_secret: Zeroizing::new(process_secret),
            verifiers: Cells::default(),
            keys: Cells::default(),
        }
    }

    /// The verifier for a credential, or the work that makes it known.
    pub fn verifier(&mut self, credential: &Arc<Credential>) -> Result<Arc<Verifier>, Work> {
        let cell = self.verifiers.cell(address(credential), credential);
        cell.get().cloned().ok_or_else(|| Work::Verifier {
            credential: credential.clone(),
            salt: self.salt(&credential.username),
            cell,
        })
    }

    /// A verifier for a user without a credential, which no password satisfies.
    pub fn mock(&self, user: &str) -> Verifier {
        Verifier::mock(user, &self.process_secret, ITERATIONS_DEFAULT)
    }

    /// The salt of a user's verifier: the one that its [`mock`](Self::mock) would have. So a user shows the same salt on every worker
    /// and after every eviction, and users with and without a credential look alike until the proof.
    fn salt(&self, user: &str) -> [u8; SALT_BYTES_DEFAULT] {
        let mock = self.mock(user);
        mock.salt()
            .try_into()
            .expect("a mock's salt has the default length")
    }

    /// The keys that log this credential in to a database with that salt and iterations, or the work that makes them known.
    pub fn keys(
        &mut self,
        credential: &Arc<Credential>,
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Result<Arc<ClientKeys>, Work> {
        let cell = self
            .keys
            .cell((address(credential), salt.into(), iterations), credential);
        cell.get().cloned().ok_or_else(|| Work::Keys {
            credential: credential.clone(),
            salt: salt.into(),
            iterations,
            cell,
        })
    }
}

impl std::fmt::Debug for LoginCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginCache")
            .field("verifiers", &self.verifiers.entries.len())
            .field("keys", &self.keys.entries.len())
            .finish_non_exhaustive()
    }
}

fn address(credential: &Arc<Credential>) -> usize {
    Arc::as_ptr(credential).addr()
}

/// Cells by key, the least recently used ones forgotten.
struct Cells<K, T> {
    entries: HashMap<K, Entry<T>>,
    uses: u64,
}

struct Entry<T> {
    /// Keeps the address in the key from being used again.
    credential: Weak<Credential>,
    cell: Cell<T>,
    used: u64,
}

impl<K, T> Default for Cells<K, T> {
    fn default() -> Cells<K, T> {
        Cells {
            entries: HashMap::new(),
            uses: 0,
        }
    }
}

impl<K: Hash + Eq + Clone, T> Cells<K, T> {
    fn cell(&mut self, key: K, credential: &Arc<Credential>) -> Cell<T> {
        self.uses += 1;
        if !self.entries.contains_key(&key) {
            self.make_room();
        }
        let entry = self.entries.entry(key).or_insert_with(|| Entry {
            credential: Arc::downgrade(credential),
            cell: Cell::default(),
            used: 0,
        });
        entry.used = self.uses;
        entry.cell.clone()
    }

    /// Looks at every entry, which only a new credential, salt or iteration count causes.
    fn make_room(&mut self) {
        self.entries
            .retain(|_, entry| entry.credential.strong_count() > 0);
        if self.entries.len() >= ENTRIES_MAX
            && let Some(oldest) = self.entries.iter().min_by_key(|(_, entry)| entry.used)
        {
            let key = oldest.0.clone();
            self.entries.remove(&key);
        }
    }
}
