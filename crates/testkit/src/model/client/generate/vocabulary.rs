//! The words programs are made of: settings with their written and shown values, names, error codes.
//!
//! Shown values are PostgreSQL 18's, checked against a real one; they are written out here instead of computed so
//! that the server's idea of canonical values is tested by them.

/// A setting that programs play with: name, default on PostgreSQL 18, and pairs of SQL and shown value.
pub(super) type Setting = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// Known settings.
#[rustfmt::skip]
pub(super) const SETTINGS: &[Setting] = &[
    ("work_mem", "4MB", &[("'64MB'", "64MB"), ("65536", "64MB"), ("100", "100kB")]),
    ("statement_timeout", "0", &[("60000", "1min"), ("'90s'", "90s"), ("0", "0")]),
    ("lock_timeout", "0", &[("'2min'", "2min"), ("5000", "5s")]),
    ("TimeZone", "UTC", &[("'Europe/Berlin'", "Europe/Berlin"), ("'Asia/Tokyo'", "Asia/Tokyo")]),
    ("DateStyle", "ISO, MDY", &[("German", "German, DMY"), ("ISO, YMD", "ISO, YMD")]),
    ("IntervalStyle", "postgres", &[("iso_8601", "iso_8601"), ("'ISO_8601'", "iso_8601")]),
    ("search_path", "\"$user\", public",
        &[("a, \"B\"", "a, \"B\""), ("'a, b'", "\"a, b\""), ("public", "public")]),
    ("application_name", "", &[("'App'", "App"), ("'app'", "app"), ("''", ""), ("'a b'", "a b")]),
    ("extra_float_digits", "1", &[("3", "3"), ("-1", "-1")]),
    ("jit", "on", &[("off", "off"), ("false", "off"), ("'1'", "on")]),
    ("bytea_output", "hex", &[("'ESCAPE'", "escape")]),
    ("enable_seqscan", "on", &[("OFF", "off")]),
    ("row_security", "on", &[("off", "off")]),
    ("default_transaction_read_only", "off", &[("on", "on"), ("off", "off")]),
    ("standard_conforming_strings", "on", &[("off", "off")]),
];

/// Custom settings: no default.
pub(super) const CUSTOM: &[Setting] = &[
    ("app.tenant", "", &[("'acme'", "acme"), ("'Acme'", "Acme")]),
    ("app.user_id", "", &[("'42'", "42"), ("7", "7")]),
];

/// What goes into startup packets: name, value as sent, value as shown.
pub(super) const STARTUP: &[(&str, &str, &str)] = &[
    ("application_name", "Start", "Start"),
    ("application_name", "start up", "start up"),
    ("TimeZone", "America/New_York", "America/New_York"),
    ("extra_float_digits", "2", "2"),
    ("statement_timeout", "300000", "5min"),
    ("search_path", "s, public", "s, public"),
    ("work_mem", "8MB", "8MB"),
    ("DateStyle", "ISO", "ISO, MDY"),
    ("app.tenant", "zero", "zero"),
];

/// Savepoints; the one that comes twice nests in itself.
pub(super) const SAVEPOINTS: &[&str] = &["a", "b", "a", "c"];
/// Statements of the protocol.
pub(super) const STATEMENTS: &[&str] = &["s1", "s2", "s3", "s4"];
/// Statements of SQL's PREPARE.
pub(super) const PREPARED: &[&str] = &["q1", "q2"];
/// Portals.
pub(super) const PORTALS: &[&str] = &["", "p1", "p2"];
/// Temporary tables.
pub(super) const TABLES: &[&str] = &["t1", "t2", "t3"];
/// Channels to listen on.
pub(super) const CHANNELS: &[&str] = &["news", "jobs"];
/// Errors to ask for.
pub(super) const ERRORS: &[&str] = &["22012", "23505", "P0001", "40001"];
