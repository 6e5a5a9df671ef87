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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use forebay_core::snapshot::ClientAuth;

    fn credential(username: &str) -> Arc<Credential> {
        Arc::new(Credential {
            username: username.to_owned(),
            password: "pencil".into(),
            client_auth: ClientAuth::ScramSha256,
            previous: None,
        })
    }

    fn derived(work: Work) -> Arc<Verifier> {
        match super::work(work) {
            Done::Verifier(verifier) => verifier,
            Done::Keys(_) => panic!("a verifier was ordered"),
        }
    }

    #[test]
    fn a_verifier_is_derived_once_for_all_who_wait_for_it() {
        let mut cache = LoginCache::new([1; 32]);
        let credential = credential("u");
        let first = cache.verifier(&credential).unwrap_err();
        let second = cache.verifier(&credential).unwrap_err();
        let (first, second) = (derived(first), derived(second));
        assert!(Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&first, &cache.verifier(&credential).unwrap()));
    }

    #[test]
    fn a_user_shows_the_same_salt_on_all_workers_with_a_credential_or_without() {
        let [mut one, mut other] = [LoginCache::new([1; 32]), LoginCache::new([1; 32])];
        let salt = one.mock("u").salt().to_vec();
        assert_eq!(
            derived(one.verifier(&credential("u")).unwrap_err()).salt(),
            salt
        );
        assert_eq!(
            derived(other.verifier(&credential("u")).unwrap_err()).salt(),
            salt
        );
        assert_ne!(one.mock("v").salt(), salt);
        assert_ne!(LoginCache::new([2; 32]).mock("u").salt(), salt);
    }

    #[test]
    fn a_replaced_credential_has_another_entry_and_its_password_is_let_go() {
        let mut cache = LoginCache::new([1; 32]);
        let old = credential("u");
        drop(derived(cache.verifier(&old).unwrap_err()));
        assert!(cache.verifier(&credential("u")).is_err());
        assert_eq!(Arc::strong_count(&old), 1);
    }

    #[test]
    fn keys_belong_to_their_salt_and_iterations() {
        let mut cache = LoginCache::new([1; 32]);
        let credential = credential("u");
        work(
            cache
                .keys(&credential, b"salt", ITERATIONS_DEFAULT)
                .unwrap_err(),
        );
        assert!(cache.keys(&credential, b"salt", ITERATIONS_DEFAULT).is_ok());
        assert!(
            cache
                .keys(&credential, b"other", ITERATIONS_DEFAULT)
                .is_err()
        );
        assert!(cache.keys(&credential, b"salt", NonZeroU32::MIN).is_err());
    }

    #[test]
    fn the_least_recently_used_entry_leaves_a_full_cache() {
        let mut cache = LoginCache::new([1; 32]);
        let credential = credential("u");
        let mut work_for = |salt: usize| {
            cache
                .keys(&credential, &salt.to_be_bytes(), NonZeroU32::MIN)
                .map(drop)
        };
        for salt in 0..ENTRIES_MAX {
            work(work_for(salt).unwrap_err());
        }
        work_for(0).unwrap();
        work(work_for(ENTRIES_MAX).unwrap_err());
        work_for(0).unwrap();
        assert!(work_for(1).is_err());
        assert_eq!(cache.keys.entries.len(), ENTRIES_MAX);
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut cache = LoginCache::new([7; 32]);
        let credential = credential("u");
        let order = cache.verifier(&credential).unwrap_err();
        let text = format!("{order:?} {cache:?}");
        let done = format!("{:?} {:?}", work(order), cache.verifier(&credential));
        assert!(
            !text.contains("pencil") && !done.contains("pencil"),
            "{text} {done}"
        );
    }
}
