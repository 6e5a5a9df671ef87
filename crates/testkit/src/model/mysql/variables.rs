//! The variables that the model server knows: what a fresh session has, which values they take, how they show.
//!
//! A few of each kind are enough: flags, numbers, names, sets of modes, character sets. (MySQL's documentation, "Server System Variables".)

use super::server::Flavor;

/// What values look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Flag,
    Number,
    Text,
    Isolation,
    Charset,
    Collation,
}

/// Name, form, value of a fresh session as it shows.
const TABLE: &[(&str, Form, &str)] = &[
    ("autocommit", Form::Flag, "1"),
    ("div_precision_increment", Form::Number, "4"),
    ("foreign_key_checks", Form::Flag, "1"),
    ("group_concat_max_len", Form::Number, "1024"),
    ("lc_time_names", Form::Text, "en_US"),
    ("max_connections", Form::Number, "0"),
    ("max_user_connections", Form::Number, "0"),
    ("session_track_state_change", Form::Flag, "0"),
    ("sort_buffer_size", Form::Number, "262144"),
    ("sql_log_bin", Form::Flag, "1"),
    ("sql_mode", Form::Text, "STRICT_TRANS_TABLES"),
    ("sql_notes", Form::Flag, "1"),
    ("sql_select_limit", Form::Number, "18446744073709551615"),
    ("time_zone", Form::Text, "SYSTEM"),
    ("transaction_isolation", Form::Isolation, "REPEATABLE-READ"),
    ("transaction_read_only", Form::Flag, "0"),
    ("tx_isolation", Form::Isolation, "REPEATABLE-READ"),
    ("tx_read_only", Form::Flag, "0"),
    ("unique_checks", Form::Flag, "1"),
    ("character_set_client", Form::Charset, ""),
    ("character_set_connection", Form::Charset, ""),
    ("character_set_results", Form::Charset, ""),
    ("collation_connection", Form::Collation, ""),
];

/// The variable's form and first value; character sets begin with those of the handshake.
pub(super) fn variable(name: &str, flavor: Flavor) -> Option<(Form, &'static str)> {
    let is_mariadb = flavor == Flavor::MariaDb;
    let others = match is_mariadb {
        true => ["transaction_isolation", "transaction_read_only"],
        false => ["tx_isolation", "tx_read_only"],
    };
    let found = TABLE.iter().find(|(known, ..)| *known == name)?;
    (!others.contains(&name)).then_some((found.1, found.2))
}

/// Flags that MySQL stores the other way round: their DEFAULT comes out as 0.
pub(super) fn is_reversed(name: &str) -> bool {
    matches!(name, "foreign_key_checks" | "unique_checks")
}

/// Variables whose changes are told unless a session says otherwise.
pub(super) const TRACKED: [&str; 5] = [
    "autocommit",
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "time_zone",
];

/// Collations: number, name, character set.
const COLLATIONS: [(u8, &str, &str); 6] = [
    (8, "latin1_swedish_ci", "latin1"),
    (33, "utf8mb3_general_ci", "utf8mb3"),
    (45, "utf8mb4_general_ci", "utf8mb4"),
    (46, "utf8mb4_bin", "utf8mb4"),
    (47, "latin1_bin", "latin1"),
    (255, "utf8mb4_0900_ai_ci", "utf8mb4"),
];

/// The collation of this number.
pub(super) fn collation(number: u8) -> Option<&'static str> {
    let found = COLLATIONS.iter().find(|(known, ..)| *known == number)?;
    Some(found.1)
}

/// The character set of a collation.
pub(super) fn charset_of(collation: &str) -> Option<&'static str> {
    let found = COLLATIONS.iter().find(|(_, name, _)| *name == collation)?;
    Some(found.2)
}

/// The collation that a character set has where none is said.
pub(super) fn default_collation(charset: &str, flavor: Flavor) -> Option<&'static str> {
    Some(match (charset, flavor) {
        ("latin1", _) => "latin1_swedish_ci",
        ("utf8mb3", _) => "utf8mb3_general_ci",
        ("utf8mb4", Flavor::MySql) => "utf8mb4_0900_ai_ci",
        ("utf8mb4", Flavor::MariaDb) => "utf8mb4_general_ci",
        _ => return None,
    })
}
