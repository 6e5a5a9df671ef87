//! Settings, values and the many spellings of a statement that changes one.

use super::Style;
use crate::model::SplitMix64;
use crate::oracle::schema::ROLES;

/// Settings that any user may change, with values that are worth a change; the last one or two are wrong.
pub const SETTINGS: &[(&str, &[&str])] = &[
    (
        "application_name",
        &["App", "app", "", "a b", "o'brien", "caf\u{e9}"],
    ),
    (
        "DateStyle",
        &[
            "ISO, MDY",
            "ISO, DMY",
            "SQL, DMY",
            "German",
            "Postgres, MDY",
            "DMY",
            "roman",
        ],
    ),
    (
        "TimeZone",
        &[
            "UTC",
            "Europe/Berlin",
            "America/New_York",
            "+3",
            "Mars/Olympus",
        ],
    ),
    (
        "IntervalStyle",
        &[
            "postgres",
            "postgres_verbose",
            "sql_standard",
            "iso_8601",
            "wrong",
        ],
    ),
    ("extra_float_digits", &["0", "1", "3", "-3", "99"]),
    ("bytea_output", &["hex", "escape", "octal"]),
    (
        "search_path",
        &[
            "s1",
            "s2, public",
            "\"S3\"",
            "",
            "\"$user\", public",
            "s2",
            "nowhere, s1",
            "pg_catalog",
        ],
    ),
    (
        "client_encoding",
        &["UTF8", "LATIN1", "SQL_ASCII", "utf-8", "EBCDIC"],
    ),
    (
        "client_min_messages",
        &["notice", "warning", "error", "log", "loud"],
    ),
    ("standard_conforming_strings", &["on", "off", "perhaps"]),
    ("escape_string_warning", &["on", "off"]),
    ("backslash_quote", &["safe_encoding", "on", "off"]),
    ("quote_all_identifiers", &["on", "off"]),
    ("array_nulls", &["on", "off"]),
    ("transform_null_equals", &["on", "off"]),
    ("xmloption", &["content", "document"]),
    ("statement_timeout", &["0", "60s", "61000", "1min", "-5"]),
    ("lock_timeout", &["0", "30s", "2 weeks too long"]),
    ("idle_in_transaction_session_timeout", &["0", "10min"]),
    ("work_mem", &["4MB", "5MB", "6000kB", "64", "0"]),
    ("random_page_cost", &["4", "1.1", "2.50", "1e1", "-1"]),
    ("enable_seqscan", &["on", "off", "true", "f", "0"]),
    ("jit", &["on", "off"]),
    (
        "plan_cache_mode",
        &["auto", "force_custom_plan", "force_generic_plan"],
    ),
    (
        "default_transaction_isolation",
        &["read committed", "repeatable read", "serializable"],
    ),
    ("default_transaction_read_only", &["off", "on", "false"]),
    ("default_transaction_deferrable", &["off", "on"]),
    (
        "default_text_search_config",
        &["simple", "english", "pg_catalog.german", "klingon"],
    ),
    ("default_tablespace", &["", "pg_default", "nowhere"]),
    ("row_security", &["on", "off"]),
    ("check_function_bodies", &["on", "off"]),
    ("from_collapse_limit", &["8", "3", "12"]),
    ("geqo", &["on", "off"]),
    ("my.one", &["x", "", "A", "a", "it''s"]),
    ("my.two", &["1", "two words"]),
    ("no_such_setting", &["1"]),
    ("server_version", &["1"]),
    ("transaction_isolation", &["serializable", "read committed"]),
];

/// Settings for superusers only.
const SUPERUSER: &[(&str, &[&str])] = &[
    ("session_replication_role", &["origin", "local"]),
    ("log_min_duration_statement", &["-1", "10min"]),
    ("lo_compat_privileges", &["on", "off"]),
    ("track_functions", &["none", "pl"]),
    ("deadlock_timeout", &["1s", "2s"]),
];

/// Those that PostgreSQL resets with its own statement, or that clients give when they connect.
const AT_START: &[&str] = &[
    "application_name",
    "DateStyle",
    "TimeZone",
    "search_path",
    "client_encoding",
    "extra_float_digits",
    "statement_timeout",
    "default_transaction_isolation",
    "work_mem",
    "IntervalStyle",
];

/// One of the settings with one of its values.
pub fn choice(rng: &mut SplitMix64, style: &Style) -> (&'static str, &'static str) {
    let own = style.superuser && rng.chance(8);
    let table = if own { SUPERUSER } else { SETTINGS };
    let (name, values) = *rng.pick(table);
    (name, rng.word(values))
}

/// A setting that may be given when a connection starts, and a value that is right.
pub fn at_start(rng: &mut SplitMix64) -> (String, String) {
    let name = rng.word(AT_START);
    let values = SETTINGS.iter().find(|(known, _)| *known == name);
    let values = values.map_or(&[][..], |(_, values)| values);
    // The wrong ones are at the end, and a refused login ends the program.
    let value = values[rng.below(values.len().min(3) as u64) as usize];
    (name.to_owned(), value.to_owned())
}

/// Any statement that changes settings.
pub fn change(rng: &mut SplitMix64, style: &Style) -> String {
    match rng.below(20) {
        0..=8 => set(rng, style),
        9 | 10 => reset(rng, style),
        11 | 12 => function(rng, style),
        13 => time_zone(rng),
        14 => role(rng, style),
        15 => characteristics(rng),
        16 => special(rng),
        17 => update(rng, style),
        _ => local(rng, style),
    }
}

fn set(rng: &mut SplitMix64, style: &Style) -> String {
    let (name, value) = choice(rng, style);
    let scope = rng.word(&["", "", "", "SESSION ", "LOCAL "]);
    assignment(rng, scope, name, value)
}

/// `SET LOCAL`, which is what makes frames of transactions differ.
fn local(rng: &mut SplitMix64, style: &Style) -> String {
    let (name, value) = choice(rng, style);
    assignment(rng, "LOCAL ", name, value)
}

fn assignment(rng: &mut SplitMix64, scope: &str, name: &str, value: &str) -> String {
    let set = rng.word(&["SET ", "set ", "  SET\n", "/* a */ SET ", "Set -- b\n "]);
    let to = rng.word(&[" TO ", " = ", "=", " to "]);
    let name = spelt(rng, name);
    let value = match rng.below(12) {
        0 => "DEFAULT".into(),
        1..=4 if is_word(value) => value.to_owned(),
        5 if value.contains(", ") && !value.contains('$') => value.to_owned(),
        _ => literal(rng, value),
    };
    format!("{set}{scope}{name}{to}{value}")
}

/// A name in one of the letter cases that mean the same.
fn spelt(rng: &mut SplitMix64, name: &str) -> String {
    match rng.below(5) {
        0 => name.to_uppercase(),
        1 => name.to_lowercase(),
        2 if !name.contains('.') => format!("\"{name}\""),
        _ => name.to_owned(),
    }
}

fn is_word(value: &str) -> bool {
    let mut chars = value.chars();
    let first = chars
        .next()
        .is_some_and(|first| first.is_ascii_alphanumeric());
    first && chars.all(|rest| rest.is_ascii_alphanumeric() || rest == '_')
}

/// A string constant; sometimes as `E'…'`.
pub fn literal(rng: &mut SplitMix64, value: &str) -> String {
    let doubled = value.replace('\'', "''");
    let mark = if rng.chance(8) { "E" } else { "" };
    format!("{mark}'{doubled}'")
}

fn reset(rng: &mut SplitMix64, style: &Style) -> String {
    let (name, _) = choice(rng, style);
    match rng.below(12) {
        0 | 1 => "RESET ALL".into(),
        2 => "RESET ROLE".into(),
        3 => "RESET SESSION AUTHORIZATION".into(),
        4 => "RESET TIME ZONE".into(),
        5 => "RESET TRANSACTION ISOLATION LEVEL".into(),
        6 => format!("SET {name} TO DEFAULT"),
        7 => format!("SET SESSION {} = DEFAULT", spelt(rng, name)),
        _ => format!("RESET {}", spelt(rng, name)),
    }
}

fn function(rng: &mut SplitMix64, style: &Style) -> String {
    let (name, value) = choice(rng, style);
    let call = set_config(rng, name, value);
    match rng.below(8) {
        0 => format!("SELECT {call}, 1 AS one"),
        1 => format!("SELECT * FROM {call}"),
        2 => format!("SELECT x FROM (SELECT {call} AS x) q"),
        3 => format!("WITH w AS (SELECT {call} AS x) SELECT count(*) FROM w WHERE x IS NULL"),
        4 => format!("VALUES ({call})"),
        _ => format!("SELECT {call}"),
    }
}

fn set_config(rng: &mut SplitMix64, name: &str, value: &str) -> String {
    let function = rng.word(&["set_config", "pg_catalog.set_config", "SET_CONFIG"]);
    let local = rng.word(&["false", "false", "true", "'f'", "NULL"]);
    let value = match rng.below(12) {
        0 => "NULL".into(),
        1 => format!("{}::text", literal(rng, value)),
        2 => format!("lower({})", literal(rng, value)),
        _ => literal(rng, value),
    };
    format!("{function}({}, {value}, {local})", literal(rng, name))
}

fn time_zone(rng: &mut SplitMix64) -> String {
    let zone = rng.word(&[
        "'UTC'",
        "'Europe/Berlin'",
        "LOCAL",
        "DEFAULT",
        "INTERVAL '+02:00' HOUR TO MINUTE",
        "INTERVAL '-08:00'",
        "3",
        "-7.5",
        "\"America/New_York\"",
        "utc",
    ]);
    let scope = rng.word(&["", "SESSION ", "LOCAL "]);
    format!("SET {scope}TIME ZONE {zone}")
}

/// Roles and users, right and wrong.
fn role(rng: &mut SplitMix64, style: &Style) -> String {
    let role = ROLES[rng.below(2) as usize];
    let scope = rng.word(&["", "", "SESSION ", "LOCAL "]);
    match rng.below(9) {
        0 => format!("SET {scope}ROLE NONE"),
        1 => format!("SET {scope}ROLE '{role}'"),
        2 => format!("SET {scope}ROLE nobody_of_that_name"),
        3 => format!("SELECT set_config('role', '{role}', false)"),
        4 if style.superuser => format!("SET {scope}SESSION AUTHORIZATION {role}"),
        5 if style.superuser => format!("SET {scope}SESSION AUTHORIZATION '{role}'"),
        4 | 5 => format!("SET {scope}SESSION AUTHORIZATION DEFAULT"),
        6 => "SET ROLE TO DEFAULT".into(),
        _ => format!("SET {scope}ROLE {role}"),
    }
}

fn characteristics(rng: &mut SplitMix64) -> String {
    let mode = rng.word(&[
        "ISOLATION LEVEL SERIALIZABLE",
        "ISOLATION LEVEL READ COMMITTED",
        "READ ONLY",
        "READ WRITE",
        "ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "DEFERRABLE",
        "NOT DEFERRABLE",
    ]);
    let what = rng.word(&["SESSION CHARACTERISTICS AS TRANSACTION", "TRANSACTION"]);
    format!("SET {what} {mode}")
}

fn special(rng: &mut SplitMix64) -> String {
    rng.word(&[
        "SET NAMES 'LATIN1'",
        "SET NAMES 'UTF8'",
        "SET NAMES DEFAULT",
        "SET SCHEMA 's1'",
        "SET SCHEMA 'S3'",
        "SET search_path TO s1, s2",
        "SET search_path = 's1', public",
        "SET XML OPTION DOCUMENT",
        "SET work_mem FROM CURRENT",
        "SET LOCAL TimeZone FROM CURRENT",
        "SET datestyle TO iso, dmy",
        "SET datestyle = 'german', 'ymd'",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "SET CONSTRAINTS ALL DEFERRED",
        "SET work_mem TO 7777",
        "SET random_page_cost = -0.5",
        "SET work_mem TO",
        "SET my.three = 'x', 'y'",
        "SET seed TO 0.5",
    ])
    .to_owned()
}

fn update(rng: &mut SplitMix64, style: &Style) -> String {
    let (name, value) = choice(rng, style);
    let value = literal(rng, value);
    format!("UPDATE pg_settings SET setting = {value} WHERE name = '{name}'")
}

/// A statement that changes a setting where its text does not show it.
pub fn hidden(rng: &mut SplitMix64, style: &Style) -> String {
    let (name, value) = choice(rng, style);
    let (name, value) = (literal(rng, name), literal(rng, value));
    let local = rng.word(&["false", "false", "true"]);
    match rng.below(11) {
        0 => format!("SELECT public.f_set({name}, {value}, {local})"),
        1 => format!("SELECT public.f_set_sql({name}, {value})"),
        2 => format!("SELECT public.f_caught({name}, {value})"),
        3 => "SELECT public.f_clause()".into(),
        4 => format!("INSERT INTO public.watched VALUES ({name}, {value}, {local})"),
        5 => format!("DO $$BEGIN PERFORM pg_catalog.set_config({name}, {value}, {local}); END$$"),
        6 => format!(
            "DO $$BEGIN EXECUTE 'RESET ALL'; PERFORM pg_catalog.set_config({name}, {value}, false); END$$"
        ),
        7 => format!(
            "DO $$BEGIN PERFORM pg_catalog.set_config({name}, {value}, false); PERFORM 1/0; END$$"
        ),
        8 => format!("CALL public.p_set({name}, {value})"),
        9 => format!("CALL public.p_commit({name}, {value})"),
        _ => format!("CALL public.p_commit_fail({name}, {value})"),
    }
}
