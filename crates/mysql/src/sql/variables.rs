//! Which system variables a session has of its own, which of them can be set again on another backend, and which MariaDB mixes up when
//! it reports them. A variable that is not listed is not known: the server has to be asked, and who cannot ask pins.

mod table;

use super::dialect::{Dialect, Family};
use super::quote::quote_literal;
use table::TABLE;

/// What is known of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name, in lower case.
    pub name: &'static str,
    /// Whether and how another backend is given its value.
    pub replay: Replay,
    /// What its values look like.
    pub form: Form,
    /// Which others a report of it may mean.
    pub shares: Option<SharedStorage>,
}

/// Whether and how another backend is given a variable's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// By setting it.
    Tracked,
    /// Together with the rest of its kind, as SET NAMES does: client, connection and results.
    CharacterSet,
    /// By setting it, but what the server's status flags say counts.
    Autocommit,
    /// Never: a statement uses it up, or reading it gives something else than was set.
    OneShot,
    /// Never: how long a connection may be idle or slow is a matter between the client and the proxy.
    Timeout,
    /// Never: what a client wants to be told of is told by the proxy.
    Tracking,
    /// Never: changes what the protocol looks like.
    Protocol,
    /// Never: what it does is done by this connection, or in this transaction.
    Pins,
    /// It cannot be set in a session.
    ReadOnly,
}

/// What values look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// ON and OFF, 1 and 0.
    Boolean,
    /// Digits, with a point or without.
    Number,
    /// Any characters.
    Text,
    /// One of several names.
    Enum,
    /// Names, with commas between.
    Set,
    /// Digits to some versions, names to others.
    Any,
}

impl Form {
    /// A value as a server reports it, written so that it can be set. `None` if it cannot be written so that it is read alike
    /// everywhere.
    pub fn written(self, reported: &str) -> Option<String> {
        let number =
            !reported.is_empty() && reported.bytes().all(|byte| b"0123456789.-".contains(&byte));
        match self {
            Form::Number | Form::Any if number => Some(reported.to_owned()),
            Form::Number => None,
            Form::Boolean if matches!(reported, "0" | "1" | "ON" | "OFF") => {
                Some(reported.to_owned())
            }
            Form::Boolean => None,
            Form::Text | Form::Enum | Form::Set | Form::Any => quote_literal(reported),
        }
    }
}

/// Variables that MariaDB keeps in one place from version 11 on. There a report of one of them means that any of them has changed, and
/// it names whichever was registered first: all are to be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedStorage {
    /// Flags of one word.
    Flags,
    /// The connection's character set.
    ConnectionCharset,
    /// The database's character set.
    DatabaseCharset,
    /// The server's character set.
    ServerCharset,
    /// What the next statement uses up.
    OneShots,
    /// Which kinds of statements the slow log leaves out.
    SlowLogStatements,
    /// Which plans the slow log leaves out.
    SlowLogFilter,
    /// From how long a time on the slow log takes statements.
    SlowLogTime,
    /// From how many rows on the slow log takes statements.
    SlowLogRows,
    /// Whether there is a slow log.
    SlowLog,
    /// The size of tables in memory.
    MemoryTables,
    /// The number of delayed threads.
    DelayedThreads,
    /// The level of isolation.
    Isolation,
    /// Whether transactions only read.
    ReadOnly,
    /// The engine of new tables.
    StorageEngine,
}

/// The first version of MariaDB that mixes up what shares storage.
const MIXES_UP_FROM: u32 = 110000;

const SHARED: [(SharedStorage, &[&str]); 15] = [
    (
        SharedStorage::Flags,
        &[
            "autocommit",
            "big_tables",
            "check_constraint_checks",
            "explicit_defaults_for_timestamp",
            "foreign_key_checks",
            "profiling",
            "skip_parallel_replication",
            "skip_replication",
            "sql_auto_is_null",
            "sql_big_selects",
            "sql_buffer_result",
            "sql_if_exists",
            "sql_log_bin",
            "sql_log_off",
            "sql_notes",
            "sql_quote_show_create",
            "sql_safe_updates",
            "sql_warnings",
            "system_versioning_insert_history",
            "unique_checks",
        ],
    ),
    (
        SharedStorage::ConnectionCharset,
        &["character_set_connection", "collation_connection"],
    ),
    (
        SharedStorage::DatabaseCharset,
        &["character_set_database", "collation_database"],
    ),
    (
        SharedStorage::ServerCharset,
        &["character_set_server", "collation_server"],
    ),
    (
        SharedStorage::OneShots,
        &[
            "identity",
            "insert_id",
            "last_gtid",
            "last_insert_id",
            "rand_seed1",
            "rand_seed2",
            "timestamp",
        ],
    ),
    (
        SharedStorage::SlowLogStatements,
        &[
            "log_slow_admin_statements",
            "log_slow_disabled_statements",
            "log_slow_slave_statements",
        ],
    ),
    (
        SharedStorage::SlowLogFilter,
        &["log_queries_not_using_indexes", "log_slow_filter"],
    ),
    (
        SharedStorage::SlowLogTime,
        &["log_slow_query_time", "long_query_time"],
    ),
    (
        SharedStorage::SlowLogRows,
        &["log_slow_min_examined_row_limit", "min_examined_row_limit"],
    ),
    (
        SharedStorage::SlowLog,
        &["log_slow_query", "slow_query_log"],
    ),
    (
        SharedStorage::MemoryTables,
        &["tmp_memory_table_size", "tmp_table_size"],
    ),
    (
        SharedStorage::DelayedThreads,
        &["max_delayed_threads", "max_insert_delayed_threads"],
    ),
    (
        SharedStorage::Isolation,
        &["transaction_isolation", "tx_isolation"],
    ),
    (
        SharedStorage::ReadOnly,
        &["transaction_read_only", "tx_read_only"],
    ),
    (
        SharedStorage::StorageEngine,
        &["default_storage_engine", "storage_engine"],
    ),
];

impl SharedStorage {
    /// All that are kept there.
    pub fn variables(self) -> &'static [&'static str] {
        SHARED
            .iter()
            .find(|(storage, _)| *storage == self)
            .map_or(&[], |(_, names)| names)
    }

    fn of(name: &str) -> Option<Self> {
        SHARED
            .iter()
            .find(|(_, names)| names.contains(&name))
            .map(|(storage, _)| *storage)
    }
}

/// From this version on MariaDB knows the level of isolation by the name that MySQL gives it, and warns of its older one.
const RENAMED_FROM: u32 = 110101;

/// The name under which a setting is kept that has several: the one that servers of this kind know best.
pub fn canonical(name: &str, dialect: Dialect) -> &str {
    let is_new = dialect.family == Family::MySql || dialect.version >= RENAMED_FROM;
    match (name, is_new) {
        ("tx_isolation", true) => "transaction_isolation",
        ("tx_read_only", true) => "transaction_read_only",
        ("transaction_isolation", false) => "tx_isolation",
        ("transaction_read_only", false) => "tx_read_only",
        ("log_slow_min_examined_row_limit", _) => "min_examined_row_limit",
        ("log_slow_query", _) => "slow_query_log",
        ("log_slow_query_time", _) => "long_query_time",
        ("tmp_memory_table_size", _) => "tmp_table_size",
        ("max_delayed_threads", _) => "max_insert_delayed_threads",
        ("storage_engine", _) => "default_storage_engine",
        (name, _) => name,
    }
}

/// Which families have a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Families {
    Both,
    MySql,
    MariaDb,
}

/// What is known of the variable of this name, which is in lower case, in a session of such a server. A family may have it only in some
/// of its versions.
pub fn variable(name: &str, dialect: Dialect) -> Option<Variable> {
    let at = TABLE.binary_search_by(|entry| entry.0.cmp(name)).ok()?;
    let (name, families, replay, form) = TABLE[at];
    let mariadb = dialect.family == Family::MariaDb;
    let has = match families {
        Families::Both => true,
        Families::MySql => !mariadb,
        Families::MariaDb => mariadb,
    };
    let mixed_up = mariadb && dialect.version >= MIXES_UP_FROM;
    has.then(|| Variable {
        name,
        replay,
        form,
        shares: SharedStorage::of(name).filter(|_| mixed_up),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MYSQL: fn() -> Dialect = || Dialect::new(Family::MySql, 90704);
    const NEW_MARIADB: fn() -> Dialect = || Dialect::new(Family::MariaDb, 110809);
    const OLD_MARIADB: fn() -> Dialect = || Dialect::new(Family::MariaDb, 101119);

    #[test]
    fn the_table_is_in_order_and_names_each_once() {
        for pair in TABLE.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} {}", pair[0].0, pair[1].0);
        }
        for (name, ..) in TABLE {
            assert_eq!(*name, name.to_ascii_lowercase());
        }
    }

    #[test]
    fn what_shares_storage_exists_and_is_in_one_place() {
        for (storage, names) in SHARED {
            assert_eq!(storage.variables(), names);
            for name in names {
                let found = variable(name, NEW_MARIADB()).expect("MariaDB has it");
                assert_eq!(found.shares, Some(storage), "{name}");
                let older = variable(name, OLD_MARIADB()).expect("MariaDB has it");
                assert_eq!(older.shares, None, "{name}");
            }
        }
    }

    #[test]
    fn variables_have_their_classes() {
        for (name, replay, form) in [
            ("sort_buffer_size", Replay::Tracked, Form::Number),
            ("sql_mode", Replay::Tracked, Form::Set),
            ("time_zone", Replay::Tracked, Form::Text),
            ("unique_checks", Replay::Tracked, Form::Boolean),
            ("timestamp", Replay::OneShot, Form::Number),
            ("insert_id", Replay::OneShot, Form::Number),
            ("sql_log_bin", Replay::Pins, Form::Boolean),
            ("binlog_format", Replay::Pins, Form::Enum),
            ("wait_timeout", Replay::Timeout, Form::Number),
            ("session_track_schema", Replay::Tracking, Form::Boolean),
            ("warning_count", Replay::ReadOnly, Form::Number),
            ("max_allowed_packet", Replay::ReadOnly, Form::Number),
            ("autocommit", Replay::Autocommit, Form::Boolean),
        ] {
            for dialect in [MYSQL(), NEW_MARIADB()] {
                let found = variable(name, dialect).expect("both have it");
                assert_eq!((found.replay, found.form), (replay, form), "{name}");
            }
        }
        let gtid_next = variable("gtid_next", MYSQL()).expect("MySQL has it");
        assert_eq!(gtid_next.replay, Replay::Pins);
        assert_eq!(variable("gtid_next", NEW_MARIADB()), None);
        assert_eq!(variable("tx_isolation", MYSQL()), None);
        assert_eq!(variable("nonsense", MYSQL()), None);
    }

    #[test]
    fn reported_values_are_written_by_their_form() {
        for (form, reported, written) in [
            (Form::Number, "4194304", Some("4194304")),
            (Form::Number, "1.5", Some("1.5")),
            (Form::Number, "x", None),
            (Form::Number, "", None),
            (Form::Boolean, "ON", Some("ON")),
            (Form::Boolean, "x", None),
            (Form::Text, "SYSTEM", Some("'SYSTEM'")),
            (Form::Text, "", Some("''")),
            (Form::Text, "a\\b", None),
            (Form::Set, "A,B", Some("'A,B'")),
            (Form::Any, "5", Some("5")),
            (Form::Any, "a", Some("'a'")),
        ] {
            assert_eq!(form.written(reported).as_deref(), written, "{reported}");
        }
    }
}
