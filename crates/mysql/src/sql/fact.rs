//! What a statement does or relies on besides its effect: a set of facts in one integer, so that gathering them while scanning
//! costs nothing. Which of them keep a session on its backend, and how long, is decided elsewhere.

use std::fmt;

macro_rules! facts {
    ($($(#[$doc:meta])* $fact:ident $name:literal $says:literal)*) => {
        /// One thing that a statement does or relies on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Fact { $($(#[$doc])* $fact,)* }

        impl Fact {
            /// Every fact, in the order of their discriminants.
            pub const ALL: &[Fact] = &[$(Fact::$fact,)*];

            /// The name in logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Fact::$fact => $name,)* }
            }

            /// What it says of a statement, for people: to be read behind the words that decided.
            pub fn says(self) -> &'static str {
                match self { $(Fact::$fact => $says,)* }
            }
        }
    };
}

facts! {
    /// Calls a function or procedure that is not one of the server's own: whatever code may run.
    CallsUnknown "calls_unknown" "is not known to leave the session alone"
    /// Writes data: triggers, which may run any code, fire unseen; `LAST_INSERT_ID()` may change.
    Writes "writes" "writes data, for which triggers may run"
    /// Reads `@name`.
    ReadsUserVariable "reads_user_variable" "reads what the session has stored"
    /// Gives `@name` a value.
    WritesUserVariable "writes_user_variable" "stores a value in the session"
    /// Reads `@@name`, or lists variables.
    ReadsSystemVariable "reads_system_variable" "reads a setting"
    /// Settings that hold for this statement alone (`SET STATEMENT`, `SET_VAR`, `RESOURCE_GROUP`): reports of changed settings are misleading.
    SetsForStatement "sets_for_statement" "sets something for itself alone"
    /// Sets something in a form that is not understood.
    SetsUnknown "sets_unknown" "sets something in a form that is not tracked"
    /// `LAST_INSERT_ID()`, `@@identity`.
    ReadsLastInsertId "reads_last_insert_id" "reads what an earlier statement inserted"
    /// `LAST_INSERT_ID(expression)`.
    SetsLastInsertId "sets_last_insert_id" "stores an identity in the session"
    /// `ROW_COUNT()`.
    ReadsRowCount "reads_row_count" "reads the count of the statement before"
    /// `FOUND_ROWS()`.
    ReadsFoundRows "reads_found_rows" "reads the count of the statement before"
    /// `SQL_CALC_FOUND_ROWS`.
    CountsFoundRows "counts_found_rows" "leaves a count for the next statement"
    /// `SHOW WARNINGS`, `GET DIAGNOSTICS`, `@@warning_count` …
    ReadsDiagnostics "reads_diagnostics" "reads the warnings of the statement before"
    /// Leaves the warnings of the statement before as they are.
    KeepsDiagnostics "keeps_diagnostics" "leaves the warnings of the statement before"
    /// Shows which connection of the server it runs on.
    ReadsConnectionId "reads_connection_id" "shows which connection it runs on"
    /// Names a connection of the server by its number.
    NamesConnection "names_connection" "names a connection by its number"
    /// Shows counters or profiles of its connection.
    ReadsCounters "reads_counters" "shows counters of its connection"
    /// `LASTVAL`, `PREVIOUS VALUE FOR`.
    ReadsSequence "reads_sequence" "reads what its connection took from a sequence"
    /// `NEXTVAL`, `NEXT VALUE FOR`, `SETVAL`.
    UsesSequence "uses_sequence" "takes from a sequence"
    /// `GET_LOCK`.
    TakesNamedLock "takes_named_lock" "takes a lock that its connection holds"
    /// `RELEASE_LOCK`: one of the locks, if its name is that of one.
    ReleasesNamedLock "releases_named_lock" "releases a lock"
    /// `RELEASE_ALL_LOCKS`.
    ReleasesNamedLocks "releases_named_locks" "releases all named locks"
    /// Locks of the locking service and of version tokens.
    TakesServiceLock "takes_service_lock" "takes a lock that its connection holds"
    /// Releases such.
    ReleasesServiceLock "releases_service_lock" "releases a lock"
    /// Rows stay locked until the transaction ends.
    LocksRows "locks_rows" "locks rows"
    /// A transaction that is open is committed.
    CommitsImplicitly "commits_implicitly" "commits an open transaction"
    /// The server asks the client for a file.
    ReadsClientFile "reads_client_file" "reads a file of the client"
    /// Writes a file at the server.
    WritesFile "writes_file" "writes a file of the server"
    /// Tables may have other names, temporary ones, too.
    RenamesTables "renames_tables" "renames tables, temporary ones, too"
    /// Changes the server as a whole, not the session.
    Administers "administers" "changes the server, not the session"
    /// Changes accounts or their rights.
    ChangesAccounts "changes_accounts" "changes accounts"
    /// Applies or controls replication from within the session.
    Replicates "replicates" "belongs to replication"
    /// Moves the connection to another group of threads.
    ResourceGroup "resource_group" "moves its connection to a group of threads"
    /// Depends on the server's version: a comment that some versions run.
    VersionedComment "versioned_comment" "is code to some versions and a comment to others"
    /// Brackets are nested deeper than is followed.
    Nested "nested" "nests deeper than is followed"
    /// The server will refuse the text, or may read it otherwise.
    Unreadable "unreadable" "cannot be read with certainty"
}

/// A set of facts.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Facts(u64);

impl Facts {
    /// None.
    pub const NONE: Facts = Facts(0);

    /// This one alone.
    pub const fn of(fact: Fact) -> Self {
        Facts(1 << fact as u8)
    }

    /// These.
    pub const fn of_all(facts: &[Fact]) -> Self {
        let mut all = 0;
        let mut index = 0;
        while index < facts.len() {
            all |= 1 << facts[index] as u8;
            index += 1;
        }
        Facts(all)
    }

    /// These and this one.
    #[must_use]
    pub const fn with(self, fact: Fact) -> Self {
        Facts(self.0 | 1 << fact as u8)
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, others: Facts) -> Self {
        Facts(self.0 | others.0)
    }

    /// Adds one.
    pub fn add(&mut self, fact: Fact) {
        *self = self.with(fact);
    }

    /// Adds several.
    pub fn add_all(&mut self, others: Facts) {
        *self = self.and(others);
    }

    /// Whether it is one of them.
    pub const fn has(self, fact: Fact) -> bool {
        self.0 & 1 << fact as u8 != 0
    }

    /// Whether one of the others is among them.
    pub const fn has_any(self, others: Facts) -> bool {
        self.0 & others.0 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each, in the order of their declaration.
    pub fn iter(self) -> impl Iterator<Item = Fact> {
        Fact::ALL
            .iter()
            .copied()
            .filter(move |&fact| self.has(fact))
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<Fact> for Facts {
    fn from_iter<T: IntoIterator<Item = Fact>>(facts: T) -> Self {
        facts.into_iter().fold(Facts::NONE, Facts::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_has_its_place_and_its_name() {
        assert!(Fact::ALL.len() <= 64);
        for (index, fact) in Fact::ALL.iter().enumerate() {
            assert_eq!(*fact as usize, index);
            let named = Fact::ALL
                .iter()
                .filter(|other| other.as_str() == fact.as_str());
            assert_eq!(named.count(), 1, "{}", fact.as_str());
            assert!(Facts::of(*fact).has(*fact) && Facts::of(*fact).iter().eq([*fact]));
        }
    }
}
