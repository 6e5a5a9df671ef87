//! The settings the model server knows, with PostgreSQL 18's defaults, and how a value is checked and rewritten to
//! its canonical form (`5000` becomes `5s`, `TRUE` becomes `on`): what a client reads back is rarely what it wrote.
//!
//! Which value is in force in which session is the business of `settings.rs`.

use super::error::PgError;
use super::sql::quote_identifier;

/// Who may change a setting, and when (PostgreSQL's `GucContext`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// Never: it only reports.
    Internal,
    /// At server start.
    Postmaster,
    /// Superusers.
    Superuser,
    /// Anybody.
    User,
}

/// How values are checked and shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Bool,
    /// Smallest and largest value, and the unit it is kept in.
    Int(i64, i64, Unit),
    Enum(&'static [&'static str]),
    Text,
    ApplicationName,
    /// Elements are quoted one by one (`GUC_LIST_QUOTE`).
    NameList,
    DateStyle,
    TimeZone,
    Encoding,
    /// A role's name, checked against the server's users elsewhere.
    Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    None,
    Milliseconds,
    Kilobytes,
}

/// One known setting.
#[derive(Debug)]
pub(crate) struct Guc {
    /// The name as PostgreSQL spells it; compared without case.
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) kind: Kind,
    pub(crate) context: Context,
    /// `GUC_REPORT`: announced with ParameterStatus at login and on change.
    pub(crate) report: bool,
}

const fn guc(name: &'static str, default: &'static str, kind: Kind, context: Context) -> Guc {
    Guc {
        name,
        default,
        kind,
        context,
        report: false,
    }
}

const fn reported(name: &'static str, default: &'static str, kind: Kind, context: Context) -> Guc {
    Guc {
        name,
        default,
        kind,
        context,
        report: true,
    }
}

const MAX: i64 = i32::MAX as i64;
const ISOLATION: &[&str] = &[
    "read committed",
    "read uncommitted",
    "repeatable read",
    "serializable",
];

use Context::{Internal, Postmaster, Superuser, User};
use Kind::{ApplicationName, Bool, DateStyle, Encoding, Enum, Int, NameList, Role, Text, TimeZone};

/// The table. Reported ones first, in the order in which the model announces them at login.
pub(crate) static GUCS: &[Guc] = &[
    reported("in_hot_standby", "off", Bool, Internal),
    reported("integer_datetimes", "on", Bool, Internal),
    reported("TimeZone", "UTC", TimeZone, User),
    reported(
        "IntervalStyle",
        "postgres",
        Enum(&["postgres", "postgres_verbose", "sql_standard", "iso_8601"]),
        User,
    ),
    reported("search_path", "\"$user\", public", NameList, User),
    reported("is_superuser", "off", Bool, Internal),
    reported("application_name", "", ApplicationName, User),
    reported("default_transaction_read_only", "off", Bool, User),
    reported("scram_iterations", "4096", Int(1, MAX, Unit::None), User),
    reported("DateStyle", "ISO, MDY", DateStyle, User),
    reported("standard_conforming_strings", "on", Bool, User),
    reported("session_authorization", "", Role, User),
    reported("client_encoding", "UTF8", Encoding, User),
    reported("server_version", "18.1", Text, Internal),
    reported("server_encoding", "UTF8", Text, Internal),
    guc("role", "none", Role, User),
    guc(
        "statement_timeout",
        "0",
        Int(0, MAX, Unit::Milliseconds),
        User,
    ),
    guc("lock_timeout", "0", Int(0, MAX, Unit::Milliseconds), User),
    guc(
        "idle_in_transaction_session_timeout",
        "0",
        Int(0, MAX, Unit::Milliseconds),
        User,
    ),
    guc(
        "idle_session_timeout",
        "0",
        Int(0, MAX, Unit::Milliseconds),
        User,
    ),
    guc(
        "transaction_timeout",
        "0",
        Int(0, MAX, Unit::Milliseconds),
        User,
    ),
    guc("work_mem", "4MB", Int(64, MAX, Unit::Kilobytes), User),
    guc(
        "maintenance_work_mem",
        "64MB",
        Int(64, MAX, Unit::Kilobytes),
        User,
    ),
    guc("extra_float_digits", "1", Int(-15, 3, Unit::None), User),
    guc("jit", "on", Bool, User),
    guc("enable_seqscan", "on", Bool, User),
    guc("enable_hashjoin", "on", Bool, User),
    guc("row_security", "on", Bool, User),
    guc("bytea_output", "hex", Enum(&["escape", "hex"]), User),
    guc(
        "plan_cache_mode",
        "auto",
        Enum(&["auto", "force_generic_plan", "force_custom_plan"]),
        User,
    ),
    guc(
        "client_min_messages",
        "notice",
        Enum(&[
            "debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error",
        ]),
        User,
    ),
    guc(
        "synchronous_commit",
        "on",
        Enum(&["local", "remote_write", "remote_apply", "on", "off"]),
        User,
    ),
    guc(
        "default_transaction_isolation",
        "read committed",
        Enum(ISOLATION),
        User,
    ),
    guc("default_transaction_deferrable", "off", Bool, User),
    guc(
        "transaction_isolation",
        "read committed",
        Enum(ISOLATION),
        User,
    ),
    guc("transaction_read_only", "off", Bool, User),
    guc(
        "log_statement",
        "none",
        Enum(&["none", "ddl", "mod", "all"]),
        Superuser,
    ),
    guc(
        "session_replication_role",
        "origin",
        Enum(&["origin", "replica", "local"]),
        Superuser,
    ),
    guc(
        "max_connections",
        "100",
        Int(1, MAX, Unit::None),
        Postmaster,
    ),
    guc(
        "superuser_reserved_connections",
        "3",
        Int(0, MAX, Unit::None),
        Postmaster,
    ),
    guc(
        "reserved_connections",
        "0",
        Int(0, MAX, Unit::None),
        Postmaster,
    ),
    guc("server_version_num", "180001", Text, Internal),
];

/// Looks a setting up without regard to case.
pub(crate) fn find(name: &str) -> Option<&'static Guc> {
    GUCS.iter().find(|guc| guc.name.eq_ignore_ascii_case(name))
}

/// Whether `name` is a valid custom setting: `class.name`, each part an identifier.
pub(crate) fn is_custom(name: &str) -> bool {
    name.contains('.') && name.split('.').all(is_identifier)
}

fn is_identifier(part: &str) -> bool {
    let mut chars = part.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_' || c == '$')
}

/// 42704: no such setting.
pub(crate) fn unknown(name: &str) -> PgError {
    PgError::error(
        "42704",
        format!("unrecognized configuration parameter \"{name}\""),
    )
}

impl Guc {
    /// Fails unless the setting may be changed in a running session by a user with these rights.
    pub(crate) fn check_context(&self, superuser: bool) -> Result<(), PgError> {
        let problem = match self.context {
            User => return Ok(()),
            Superuser if superuser => return Ok(()),
            Superuser => {
                let message = format!("permission denied to set parameter \"{}\"", self.name);
                return Err(PgError::error("42501", message));
            }
            Internal => "cannot be changed",
            Postmaster => "cannot be changed without restarting the server",
        };
        Err(PgError::error(
            "55P02",
            format!("parameter \"{}\" {problem}", self.name),
        ))
    }

    /// The one string that the values of a SET stand for, before it is checked.
    pub(crate) fn join(&self, values: &[String]) -> Result<String, PgError> {
        match (self.kind, values) {
            (NameList, values) => {
                let quoted: Vec<String> =
                    values.iter().map(|name| quote_identifier(name)).collect();
                Ok(quoted.join(", "))
            }
            (DateStyle, values) => Ok(values.join(", ")),
            (_, [one]) => Ok(one.clone()),
            _ => Err(PgError::error(
                "22023",
                format!("SET {} takes only one argument", self.name),
            )),
        }
    }

    /// Checks `raw` and gives its canonical form. `now` is the value in force, which partial values build on.
    pub(crate) fn canonical(&self, raw: &str, now: &str) -> Result<String, PgError> {
        match self.kind {
            Bool => boolean(raw)
                .map(|on| if on { "on" } else { "off" }.to_owned())
                .ok_or_else(|| {
                    self.refuse(format!(
                        "parameter \"{}\" requires a Boolean value",
                        self.name
                    ))
                }),
            Int(low, high, unit) => self.integer(raw, low, high, unit),
            Enum(choices) => choices
                .iter()
                .find(|choice| choice.eq_ignore_ascii_case(raw))
                .map(|choice| (*choice).to_owned())
                .ok_or_else(|| self.invalid(raw)),
            Text | NameList | Role => Ok(raw.to_owned()),
            ApplicationName => Ok(raw.chars().take(63).collect()),
            DateStyle => date_style(raw, now).ok_or_else(|| self.invalid(raw)),
            TimeZone => time_zone(raw).ok_or_else(|| self.invalid(raw)),
            Encoding => encoding(raw).ok_or_else(|| self.invalid(raw)),
        }
    }

    fn refuse(&self, message: String) -> PgError {
        PgError::error("22023", message)
    }

    fn invalid(&self, raw: &str) -> PgError {
        self.refuse(format!(
            "invalid value for parameter \"{}\": \"{raw}\"",
            self.name
        ))
    }

    fn integer(&self, raw: &str, low: i64, high: i64, unit: Unit) -> Result<String, PgError> {
        let value = parse_quantity(raw, unit).ok_or_else(|| self.invalid(raw))?;
        if (low..=high).contains(&value) {
            return Ok(show_quantity(value, unit));
        }
        let name = self.name;
        Err(self.refuse(format!(
            "{value} is outside the valid range for parameter \"{name}\" ({low} .. {high})"
        )))
    }
}

/// PostgreSQL's `parse_bool`: any unambiguous prefix of the six words, and 1 and 0.
pub(crate) fn boolean(raw: &str) -> Option<bool> {
    let raw = raw.trim().to_ascii_lowercase();
    let prefix = |word: &str, least: usize| raw.len() >= least && word.starts_with(&raw);
    if prefix("true", 1) || prefix("yes", 1) || prefix("on", 2) || raw == "1" {
        Some(true)
    } else if prefix("false", 1) || prefix("no", 1) || prefix("off", 2) || raw == "0" {
        Some(false)
    } else {
        None
    }
}

/// Units from the largest to the base unit, as multiples of the base.
fn units(unit: Unit) -> &'static [(&'static str, i64)] {
    match unit {
        Unit::None => &[],
        Unit::Milliseconds => &[
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("min", 60_000),
            ("s", 1_000),
            ("ms", 1),
        ],
        Unit::Kilobytes => &[("TB", 1 << 30), ("GB", 1 << 20), ("MB", 1 << 10), ("kB", 1)],
    }
}

fn parse_quantity(raw: &str, unit: Unit) -> Option<i64> {
    let raw = raw.trim();
    let end = raw
        .find(|c: char| !c.is_ascii_digit() && c != '-')
        .unwrap_or(raw.len());
    let number: i64 = raw[..end].parse().ok()?;
    let suffix = raw[end..].trim();
    if suffix.is_empty() {
        return Some(number);
    }
    let (_, factor) = units(unit).iter().find(|(name, _)| *name == suffix)?;
    number.checked_mul(*factor)
}

/// The largest unit that shows the value without a fraction; zero and negative values have none.
fn show_quantity(value: i64, unit: Unit) -> String {
    match units(unit)
        .iter()
        .find(|(_, factor)| value > 0 && value % factor == 0)
    {
        Some((name, factor)) => format!("{}{name}", value / factor),
        None => value.to_string(),
    }
}

fn date_style(raw: &str, now: &str) -> Option<String> {
    let (mut style, mut order) = now.split_once(", ").unwrap_or(("ISO", "MDY"));
    for word in raw.split(',').map(str::trim) {
        match word.to_ascii_lowercase().as_str() {
            "iso" => style = "ISO",
            "sql" => style = "SQL",
            "postgres" => style = "Postgres",
            "german" => (style, order) = ("German", "DMY"),
            "mdy" | "us" => order = "MDY",
            "dmy" | "european" => order = "DMY",
            "ymd" => order = "YMD",
            _ => return None,
        }
    }
    Some(format!("{style}, {order}"))
}

fn time_zone(raw: &str) -> Option<String> {
    let plain = matches!(raw, "UTC" | "GMT" | "Etc/UTC");
    let area = raw.split_once('/').is_some_and(|(area, city)| {
        matches!(area, "Europe" | "America" | "Asia" | "Africa" | "Australia")
            && !city.is_empty()
            && city.chars().all(|c| c.is_ascii_alphabetic() || c == '_')
    });
    (plain || area).then(|| raw.to_owned())
}

fn encoding(raw: &str) -> Option<String> {
    let folded: String = raw
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect::<String>()
        .to_ascii_lowercase();
    let name = match folded.as_str() {
        "utf8" | "unicode" => "UTF8",
        "latin1" | "iso88591" => "LATIN1",
        "sqlascii" => "SQL_ASCII",
        "win1252" => "WIN1252",
        _ => return None,
    };
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(name: &str, raw: &str) -> Result<String, PgError> {
        let guc = find(name).expect("known");
        guc.canonical(raw, guc.default)
    }

    #[test]
    fn values_are_shown_in_their_canonical_form() {
        for (name, raw, shown) in [
            ("STATEMENT_TIMEOUT", "5000", "5s"),
            ("statement_timeout", "90000", "90s"),
            ("statement_timeout", "120s", "2min"),
            ("statement_timeout", "0", "0"),
            ("work_mem", "65536", "64MB"),
            ("work_mem", "100", "100kB"),
            ("jit", "FALSE", "off"),
            ("jit", "y", "on"),
            ("bytea_output", "ESCAPE", "escape"),
            ("DateStyle", "dmy", "ISO, DMY"),
            ("DateStyle", "german", "German, DMY"),
            ("client_encoding", "utf-8", "UTF8"),
            ("extra_float_digits", "-1", "-1"),
        ] {
            assert_eq!(canonical(name, raw).as_deref(), Ok(shown), "{name} = {raw}");
        }
    }

    #[test]
    fn bad_values_and_ranges_are_refused() {
        for (name, raw) in [
            ("jit", "maybe"),
            ("jit", "o"),
            ("work_mem", "63"),
            ("work_mem", "1s"),
            ("bytea_output", "base64"),
            ("TimeZone", "Mars/"),
            ("client_encoding", "klingon"),
        ] {
            assert_eq!(
                canonical(name, raw).expect_err(raw).code,
                "22023",
                "{name} = {raw}"
            );
        }
    }

    #[test]
    fn lists_quote_each_element_so_one_string_is_one_schema() {
        let path = find("search_path").expect("known");
        let join = |values: &[&str]| {
            path.join(&values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(join(&["a", "B"]).as_deref(), Ok("a, \"B\""));
        assert_eq!(join(&["a, b"]).as_deref(), Ok("\"a, b\""));
    }

    #[test]
    fn custom_settings_need_a_class() {
        assert!(is_custom("app.user"));
        assert!(!is_custom("app"));
        assert!(!is_custom("app."));
        assert!(!is_custom("1a.b"));
    }
}
