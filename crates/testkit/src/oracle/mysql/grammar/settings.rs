//! Settings that programs change, with values that show.

use super::Style;
use crate::model::SplitMix64;

/// Whose a setting is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Both,
    MySql,
    MariaDb,
}

/// Names, and values as SQL.
const ALL: &[(Of, &str, &[&str])] = &[
    (
        Of::Both,
        "sort_buffer_size",
        &["262144", "400000", "1024*512"],
    ),
    (Of::Both, "max_sort_length", &["64", "100"]),
    (Of::Both, "div_precision_increment", &["0", "2", "1+5"]),
    (Of::Both, "group_concat_max_len", &["8", "100"]),
    (
        Of::Both,
        "sql_mode",
        &[
            "''",
            "'ANSI_QUOTES'",
            "'TRADITIONAL'",
            "'NO_BACKSLASH_ESCAPES'",
            "'PIPES_AS_CONCAT'",
            "'STRICT_ALL_TABLES,NO_ZERO_DATE'",
            "ANSI",
        ],
    ),
    (
        Of::Both,
        "time_zone",
        &["'+02:00'", "'-05:30'", "'SYSTEM'", "'no such zone'"],
    ),
    (Of::Both, "autocommit", &["0", "1", "OFF", "ON"]),
    (Of::Both, "foreign_key_checks", &["0", "1", "OFF"]),
    (Of::Both, "unique_checks", &["0", "ON"]),
    (Of::Both, "sql_safe_updates", &["1", "0"]),
    (Of::Both, "sql_notes", &["0", "1"]),
    (Of::Both, "sql_warnings", &["1", "OFF"]),
    (Of::Both, "sql_auto_is_null", &["1", "0"]),
    (Of::Both, "sql_select_limit", &["2", "DEFAULT", "100"]),
    (Of::Both, "big_tables", &["1", "0"]),
    (Of::Both, "lc_time_names", &["'de_DE'", "'fr_FR'"]),
    (Of::Both, "lc_messages", &["'en_US'"]),
    (Of::Both, "default_week_format", &["3", "6"]),
    (Of::Both, "innodb_lock_wait_timeout", &["5", "7"]),
    (Of::Both, "lock_wait_timeout", &["6", "5"]),
    (Of::Both, "net_read_timeout", &["50", "70"]),
    (Of::Both, "wait_timeout", &["5000", "7000"]),
    (Of::Both, "max_error_count", &["0", "1", "60"]),
    (Of::Both, "auto_increment_increment", &["1", "5"]),
    (Of::Both, "auto_increment_offset", &["1", "3"]),
    (Of::Both, "tmp_table_size", &["1048576"]),
    (Of::Both, "join_buffer_size", &["131072", "200000"]),
    (
        Of::Both,
        "completion_type",
        &["0", "1", "'CHAIN'", "'NO_CHAIN'"],
    ),
    (Of::Both, "character_set_client", &["utf8mb4", "'latin1'"]),
    (
        Of::Both,
        "character_set_results",
        &["utf8mb4", "latin1", "NULL"],
    ),
    (Of::Both, "character_set_connection", &["utf8mb4", "latin1"]),
    (
        Of::Both,
        "collation_connection",
        &["utf8mb4_bin", "'latin1_german1_ci'", "utf8mb4_unicode_ci"],
    ),
    (
        Of::Both,
        "timestamp",
        &["1000000000", "DEFAULT", "1234567890.5"],
    ),
    (Of::Both, "default_storage_engine", &["MyISAM", "InnoDB"]),
    (Of::Both, "max_length_for_sort_data", &["1024"]),
    (Of::Both, "long_query_time", &["5", "9.5"]),
    (Of::Both, "no_such_variable", &["1"]),
    (Of::Both, "max_connections", &["100"]),
    (Of::Both, "version", &["'x'"]),
    (
        Of::MySql,
        "transaction_isolation",
        &["'READ-COMMITTED'", "'SERIALIZABLE'", "'REPEATABLE-READ'"],
    ),
    (Of::MySql, "transaction_read_only", &["0", "1"]),
    (Of::MySql, "cte_max_recursion_depth", &["10", "500"]),
    (Of::MySql, "information_schema_stats_expiry", &["0", "100"]),
    (Of::MySql, "sql_require_primary_key", &["1", "0"]),
    (Of::MySql, "max_execution_time", &["0", "5000"]),
    (
        Of::MySql,
        "optimizer_switch",
        &["'index_merge=off'", "'default'"],
    ),
    (
        Of::MySql,
        "default_collation_for_utf8mb4",
        &["utf8mb4_general_ci"],
    ),
    (Of::MySql, "show_create_table_verbosity", &["1"]),
    (
        Of::MariaDb,
        "tx_isolation",
        &["'READ-COMMITTED'", "'SERIALIZABLE'", "'REPEATABLE-READ'"],
    ),
    (Of::MariaDb, "tx_read_only", &["0", "1"]),
    (Of::MariaDb, "max_recursive_iterations", &["10", "500"]),
    (Of::MariaDb, "max_statement_time", &["0", "5", "7.5"]),
    (
        Of::MariaDb,
        "optimizer_switch",
        &["'index_merge=off'", "'default'"],
    ),
    (Of::MariaDb, "check_constraint_checks", &["0", "1"]),
    (Of::MariaDb, "sql_if_exists", &["1", "0"]),
    (
        Of::MariaDb,
        "system_versioning_alter_history",
        &["KEEP", "'ERROR'"],
    ),
    (Of::MariaDb, "default_regex_flags", &["'MULTILINE'", "''"]),
];

fn pick(rng: &mut SplitMix64, style: &Style) -> (&'static str, &'static [&'static str]) {
    let not = match style.mariadb {
        true => Of::MySql,
        false => Of::MariaDb,
    };
    loop {
        let (of, name, values) = rng.pick(ALL);
        if *of != not {
            return (name, values);
        }
    }
}

/// A setting's name.
pub fn name(rng: &mut SplitMix64, style: &Style) -> &'static str {
    pick(rng, style).0
}

/// `name = value` in one of its forms.
pub fn assignment(rng: &mut SplitMix64, style: &Style) -> String {
    let (name, values) = pick(rng, style);
    let value = match rng.below(16) {
        0 | 1 => "DEFAULT".to_owned(),
        2 => format!("@@global.{name}"),
        3 => "@x".to_owned(),
        _ => rng.word(values).to_owned(),
    };
    let name = match rng.chance(5) {
        true => format!("`{name}`"),
        false if rng.chance(10) => name.to_uppercase(),
        false => name.to_owned(),
    };
    let scope = match rng.below(10) {
        0 => "SESSION ",
        1 => "LOCAL ",
        2 => "@@",
        3 => "@@session.",
        4 => "@@local.",
        5 => "@@SESSION.",
        _ => "",
    };
    let equals = rng.word(&[" = ", " = ", "=", " := "]);
    format!("{scope}{name}{equals}{value}")
}

/// A user variable's assignment.
pub fn user_variable(rng: &mut SplitMix64) -> String {
    let name = rng.word(&["@x", "@y", "@x", "@`a b`", "@'q'"]);
    let value = rng.word(&[
        "1",
        "'text'",
        "NULL",
        "-7",
        "0x41",
        "1.50",
        "_latin1'x'",
        "@y",
        "1e3",
        "@x + 1",
        "TRUE",
        "_utf8mb4'a' COLLATE utf8mb4_bin",
        "CAST('2020-01-02' AS DATE)",
        "(SELECT 5)",
        "DATABASE()",
        "@@sort_buffer_size",
        "b'101'",
        "''",
        "18446744073709551615",
    ]);
    format!("{name} = {value}")
}

/// A SET of anything.
pub fn several(rng: &mut SplitMix64, style: &Style) -> String {
    match rng.below(24) {
        0 => {
            return rng
                .word(&[
                    "SET NAMES utf8mb4",
                    "SET NAMES latin1",
                    "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'",
                    "SET NAMES DEFAULT",
                    "SET NAMES utf8mb3",
                ])
                .into();
        }
        1 => {
            return rng
                .word(&[
                    "SET CHARACTER SET latin1",
                    "SET CHARSET utf8mb4",
                    "SET CHARACTER SET DEFAULT",
                ])
                .into();
        }
        2 => {
            return rng
                .word(&[
                    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
                    "SET SESSION TRANSACTION READ ONLY",
                    "SET SESSION TRANSACTION READ WRITE",
                    "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY",
                    "SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
                    "SET TRANSACTION READ ONLY",
                    "SET @@transaction_isolation = 'SERIALIZABLE'",
                    "SET @@tx_isolation = 'SERIALIZABLE'",
                ])
                .into();
        }
        _ => {}
    }
    let mut parts = Vec::new();
    for _ in 0..rng.between(1, 3) {
        parts.push(match rng.chance(25) {
            true => user_variable(rng),
            false => assignment(rng, style),
        });
    }
    format!("SET {}", parts.join(", "))
}

/// The question for all of them.
pub fn all(style: &Style) -> String {
    let not = match style.mariadb {
        true => Of::MySql,
        false => Of::MariaDb,
    };
    let names: Vec<String> = ALL
        .iter()
        .filter(|(of, name, _)| *of != not && *name != "timestamp")
        .map(|(_, name, _)| format!("'{name}'"))
        .collect();
    format!(
        "SHOW SESSION VARIABLES WHERE Variable_name IN ({})",
        names.join(", ")
    )
}
