//! The words of programs: settings with their values, collations, names.

/// A setting, its value on a fresh session as it shows, and values: as written, as shown.
pub(super) type Setting = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// Settings that follow a session.
pub(super) const SETTINGS: &[Setting] = &[
    (
        "autocommit",
        "1",
        &[("0", "0"), ("1", "1"), ("OFF", "0"), ("ON", "1")],
    ),
    ("div_precision_increment", "4", &[("7", "7"), ("4", "4")]),
    ("foreign_key_checks", "1", &[("0", "0"), ("1", "1")]),
    (
        "group_concat_max_len",
        "1024",
        &[("4096", "4096"), ("8", "8")],
    ),
    (
        "lc_time_names",
        "en_US",
        &[("'de_DE'", "de_DE"), ("'fr_FR'", "fr_FR")],
    ),
    (
        "sort_buffer_size",
        "262144",
        &[("524288", "524288"), ("1048576", "1048576")],
    ),
    (
        "sql_mode",
        "STRICT_TRANS_TABLES",
        &[
            ("''", ""),
            ("'ANSI_QUOTES'", "ANSI_QUOTES"),
            ("'NO_BACKSLASH_ESCAPES'", "NO_BACKSLASH_ESCAPES"),
            (
                "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'",
                "ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
            ),
            ("'STRICT_TRANS_TABLES'", "STRICT_TRANS_TABLES"),
        ],
    ),
    ("sql_notes", "1", &[("0", "0"), ("1", "1")]),
    (
        "sql_select_limit",
        "18446744073709551615",
        &[("100", "100")],
    ),
    (
        "time_zone",
        "SYSTEM",
        &[("'+00:00'", "+00:00"), ("'+02:00'", "+02:00")],
    ),
    ("unique_checks", "1", &[("0", "0"), ("1", "1")]),
    (
        "character_set_client",
        "",
        &[("latin1", "latin1"), ("utf8mb4", "utf8mb4")],
    ),
    (
        "character_set_connection",
        "",
        &[("latin1", "latin1"), ("utf8mb4", "utf8mb4")],
    ),
    (
        "character_set_results",
        "",
        &[
            ("latin1", "latin1"),
            ("utf8mb4", "utf8mb4"),
            ("NULL", "NULL"),
        ],
    ),
    ("transaction_isolation", "REPEATABLE-READ", ISOLATIONS),
    ("tx_isolation", "REPEATABLE-READ", ISOLATIONS),
    ("transaction_read_only", "0", &[("1", "1"), ("0", "0")]),
    ("tx_read_only", "0", &[("1", "1"), ("0", "0")]),
    // This one pins.
    ("sql_log_bin", "1", &[("0", "0"), ("1", "1")]),
];

const ISOLATIONS: &[(&str, &str)] = &[
    ("'READ-COMMITTED'", "READ-COMMITTED"),
    ("'SERIALIZABLE'", "SERIALIZABLE"),
];

/// Names that one family has and the other has not.
pub(super) const OF_MYSQL: [&str; 2] = ["transaction_isolation", "transaction_read_only"];
pub(super) const OF_MARIADB: [&str; 2] = ["tx_isolation", "tx_read_only"];

/// Collations: number, name, character set.
pub(super) const COLLATIONS: &[(u8, &str, &str)] = &[
    (8, "latin1_swedish_ci", "latin1"),
    (33, "utf8mb3_general_ci", "utf8mb3"),
    (45, "utf8mb4_general_ci", "utf8mb4"),
    (46, "utf8mb4_bin", "utf8mb4"),
    (47, "latin1_bin", "latin1"),
    // MySQL's alone.
    (255, "utf8mb4_0900_ai_ci", "utf8mb4"),
];

/// SETs that fail: what is behind SET, and the error.
pub(super) const INVALID: &[(&str, u16)] = &[
    ("sort_buffer_size = 'x'", 1232),
    ("nosuch = 1", 1193),
    ("time_zone = '+02:00', nosuch = 1", 1193),
    ("autocommit = 7", 1231),
    ("character_set_client = nonsense", 1115),
];

pub(super) const DATABASES: &[&str] = &["db0", "db1"];
pub(super) const USERS: &[&str] = &["u", "v", "w"];
pub(super) const TABLES: &[&str] = &["t1", "t2"];
pub(super) const SAVEPOINTS: &[&str] = &["s1", "s2"];
pub(super) const NAMED: &[&str] = &["p1", "p2"];
/// The client's own names for prepared statements.
pub(super) const STATEMENTS: &[&str] = &["a", "b", "c"];
