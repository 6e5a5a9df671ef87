//! What a StartupMessage asks for: user, database, protocol version and the settings that are the session's baseline
//! (`ProcessStartupPacket`, backend_startup.c; `process_startup_options`, postinit.c).
//!
//! Any setting is accepted here; the database is asked about it when it is replayed, or when a backend is started with it. Size was
//! bounded by `wire::startup`. Values have the database's encoding: SQL that replays them is UTF-8, so that one that is not UTF-8 goes
//! into the startup message of a backend of the client's own, byte by byte, unless it is an application's name.

use super::{options, start_only};
use crate::wire::startup::{Pair, pairs};
use crate::wire::write::{message, string};
use forebay_core::engine::StartupParameters;
use forebay_core::{PinReason, Refusal};
use std::borrow::Cow;
use std::collections::HashSet;

/// Newest minor version of protocol 3 that is spoken here.
const MINOR_NEWEST: u16 = 2;

/// Names with this prefix are protocol extensions, none of which exists here.
const EXTENSION_PREFIX: &[u8] = b"_pq_.";

/// Text of PostgreSQL for a packet whose strings do not fill it.
const LAYOUT: &str = "invalid startup packet layout: expected terminator as last byte";

/// What a client is told that names a database in another encoding than UTF-8, in which all else of the proxy has names.
const DATABASE_NOT_UTF8: &str =
    "This proxy does not support databases whose names are not valid UTF-8.";

/// A startup message, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Startup {
    /// Minor version that client and proxy speak from now on.
    pub(super) minor: u16,
    /// Whether the client must be told that it does not get all it asked for.
    pub(super) is_negotiated: bool,
    /// Protocol extensions the client asked for.
    pub(super) unknown_extensions: Vec<Vec<u8>>,
    /// Never empty. Only one that is UTF-8 can have a credential.
    pub(super) user: Vec<u8>,
    /// Never empty.
    pub(super) database: String,
    /// Settings by lower-case name, each once.
    pub(super) baseline: Vec<(String, String)>,
    /// The backend of its own, if it must have one.
    pub(super) dedicated: Option<Dedicated>,
    /// Of its user's passwords the client has proven the one before.
    pub(super) is_previous: bool,
}

/// A backend for one client from start to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dedicated {
    /// Why.
    pub(super) reason: PinReason,
    /// What it is started with.
    pub(super) parameters: StartupParameters,
}

impl Startup {
    /// Reads names and values. The user may still be empty: the answer about the protocol version comes before that complaint.
    pub(super) fn read(minor_asked: u16, parameters: &[u8]) -> Result<Startup, Refusal> {
        let pairs = pairs(parameters).map_err(|_| Refusal::ProtocolViolation(LAYOUT))?;
        if pairs.iter().any(|(name, _)| name.is_empty()) {
            return Err(Refusal::ProtocolViolation(LAYOUT));
        }
        let last = |wanted: &str| {
            pairs
                .iter()
                .rfind(|(name, _)| *name == wanted.as_bytes())
                .map(|(_, value)| *value)
        };
        let user = last("user").unwrap_or_default();
        let database = last("database")
            .filter(|name| !name.is_empty())
            .unwrap_or(user);
        let replicates = last("replication").map_or(Ok(false), is_replication)?;
        let (dedicated, baseline) = if replicates {
            // The database itself reads all of them, from the startup message of the dedicated backend.
            let parameters = kept(&pairs);
            let reason = PinReason::ReplicationConnection;
            (Some(Dedicated { reason, parameters }), Vec::new())
        } else {
            start_only_apart(baseline(&pairs, last("options"))?)
        };
        let unknown_extensions: Vec<Vec<u8>> = pairs
            .iter()
            .filter(|(name, _)| name.starts_with(EXTENSION_PREFIX))
            .map(|(name, _)| name.to_vec())
            .collect();
        Ok(Startup {
            minor: minor_asked.min(MINOR_NEWEST),
            is_negotiated: minor_asked > MINOR_NEWEST || !unknown_extensions.is_empty(),
            unknown_extensions,
            user: user.to_vec(),
            database: database_of(user, database)?,
            baseline,
            dedicated,
            is_previous: false,
        })
    }

    /// The user's name, as far as it is one that can be configured.
    pub(super) fn known_user(&self) -> Option<&str> {
        std::str::from_utf8(&self.user).ok()
    }

    /// The user's name as it is shown.
    pub(super) fn user_shown(&self) -> String {
        String::from_utf8_lossy(&self.user).into_owned()
    }

    /// Appends `NegotiateProtocolVersion`. The version is the whole one, 3 in the upper half, as PostgreSQL sends it.
    pub(super) fn write_negotiation(&self, out: &mut Vec<u8>) {
        message(out, b'v', |out| {
            out.extend_from_slice(&(3 << 16 | u32::from(self.minor)).to_be_bytes());
            let count = u32::try_from(self.unknown_extensions.len())
                .expect("a startup packet has at most 10,000 bytes");
            out.extend_from_slice(&count.to_be_bytes());
            for name in &self.unknown_extensions {
                string(out, name);
            }
        });
    }
}

/// The database's name. Of a user whom nobody knows it does not matter: the login fails for the user's name.
fn database_of(user: &[u8], database: &[u8]) -> Result<String, Refusal> {
    match String::from_utf8_lossy(database) {
        Cow::Owned(_) if std::str::from_utf8(user).is_ok() => {
            Err(Refusal::FeatureNotSupported(DATABASE_NOT_UTF8))
        }
        database => Ok(database.into_owned()),
    }
}

/// Everything but what the backend's own login puts there.
fn kept(pairs: &[Pair<'_>]) -> StartupParameters {
    pairs
        .iter()
        .filter(|(name, _)| {
            !matches!(*name, b"user" | b"database") && !name.starts_with(EXTENSION_PREFIX)
        })
        .map(|(name, value)| (name.to_vec(), value.to_vec()))
        .collect()
}

/// Settings of `options` first: those that have a parameter of their own win, as in PostgreSQL.
fn baseline(pairs: &[Pair<'_>], options: Option<&[u8]>) -> Result<StartupParameters, Refusal> {
    let mut settings = options.map_or(Ok(Vec::new()), options::settings)?;
    settings.extend(
        kept(pairs)
            .into_iter()
            .filter(|(name, _)| !matches!(&name[..], b"options" | b"replication")),
    );
    for (name, value) in &mut settings {
        name.make_ascii_lowercase();
        if name == b"application_name" && std::str::from_utf8(value).is_err() {
            *value = clean_ascii(value);
        }
    }
    Ok(last_of_each(settings))
}

/// `pg_clean_ascii` (string.c, PostgreSQL 16 and later), by which a server shows what an application calls itself. Older ones put a
/// question mark for each of these bytes.
fn clean_ascii(value: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(value.len() * 4);
    for &byte in value {
        match byte {
            b' '..=b'~' => clean.push(byte),
            _ => clean.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    clean
}

/// What only the start of a backend can set, apart from what any backend can be given.
fn start_only_apart(settings: StartupParameters) -> (Option<Dedicated>, Vec<(String, String)>) {
    let (mut parameters, mut baseline) = (Vec::new(), Vec::new());
    for (name, value) in settings {
        match (
            String::from_utf8_lossy(&name),
            String::from_utf8_lossy(&value),
        ) {
            (Cow::Borrowed(name), Cow::Borrowed(value)) if !start_only::contains(name) => {
                baseline.push((name.to_owned(), value.to_owned()));
            }
            // The database knows no such setting, and says so.
            (name, value) if is_no_setting(&name) => {
                baseline.push((name.into_owned(), value.into_owned()));
            }
            _ => parameters.push((name, value)),
        }
    }
    let reason = PinReason::StartupParameter;
    let dedicated = (!parameters.is_empty()).then_some(Dedicated { reason, parameters });
    (dedicated, baseline)
}

/// Whether a startup message uses this name, in lower case, for something else: `User=…` and `-c user=…` are about a setting, and must
/// not become another user.
fn is_no_setting(name: &str) -> bool {
    matches!(name, "user" | "database" | "options" | "replication")
        || name.as_bytes().starts_with(EXTENSION_PREFIX)
}

fn last_of_each(mut settings: StartupParameters) -> StartupParameters {
    let mut seen = HashSet::new();
    settings.reverse();
    settings.retain(|(name, _)| seen.insert(name.clone()));
    settings.reverse();
    settings
}

/// Whether the session is for replication: PostgreSQL takes a truth value or `database`.
fn is_replication(value: &[u8]) -> Result<bool, Refusal> {
    let value = String::from_utf8_lossy(value);
    if value == "database" {
        return Ok(true);
    }
    truth(&value).ok_or_else(|| Refusal::SettingRefused {
        code: "22023".into(),
        message: format!("invalid value for parameter \"replication\": \"{value}\"").into(),
    })
}

/// `parse_bool` (bool.c): any case, and any beginning that is unambiguous.
fn truth(value: &str) -> Option<bool> {
    let value = value.to_ascii_lowercase();
    let begins = |word: &str, at_least: usize| value.len() >= at_least && word.starts_with(&value);
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || value == "1" {
        return Some(true);
    }
    let no = begins("false", 1) || begins("no", 1) || begins("off", 2) || value == "0";
    no.then_some(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn read(minor: u16, pairs: Pairs<'_>) -> Result<Startup, Refusal> {
        let mut parameters = Vec::new();
        for (name, value) in pairs {
            string(&mut parameters, name.as_bytes());
            string(&mut parameters, value.as_bytes());
        }
        Startup::read(minor, &parameters)
    }

    fn owned(pairs: Pairs<'_>) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    fn bytes(pairs: Pairs<'_>) -> StartupParameters {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (Vec::from(*name), Vec::from(*value)))
            .collect()
    }

    #[test]
    fn a_value_in_another_encoding_asks_for_a_backend_that_is_started_with_it() {
        let parameters =
            b"user\0u\0DateStyle\0ISO\0X.caf\xe9\0a\0options\0-c search-path=\xe9t\xe9\0";
        let startup = Startup::read(0, parameters).unwrap();
        let own = vec![
            (b"search_path".to_vec(), b"\xe9t\xe9".to_vec()),
            (b"x.caf\xe9".to_vec(), b"a".to_vec()),
        ];
        assert_eq!(startup.baseline, owned(&[("datestyle", "ISO")]));
        let dedicated = startup.dedicated.unwrap();
        assert_eq!(
            (dedicated.reason, dedicated.parameters),
            (PinReason::StartupParameter, own)
        );
    }

    #[test]
    fn what_looks_like_a_user_or_a_database_is_nothing_that_a_backend_is_started_with() {
        let parameters = b"user\0u\0User\0\xe9\0options\0-c database=\xe9 -c replication=\xe9 -c options=\xe9 -c _pq_.x=\xe9\0";
        let startup = Startup::read(0, parameters).unwrap();
        assert_eq!(startup.dedicated, None);
        let names = ["database", "replication", "options", "_pq_.x", "user"];
        assert_eq!(
            startup.baseline,
            names.map(|name| (name.to_owned(), "\u{fffd}".to_owned()))
        );
    }

    #[test]
    fn an_application_in_another_encoding_is_called_as_a_server_shows_it() {
        for parameters in [
            &b"user\0u\0application_name\0caf\xe9\t~\0"[..],
            b"user\0u\0options\0-c application-name=caf\xe9\\\t~\0",
        ] {
            let startup = Startup::read(0, parameters).unwrap();
            let shown = [("application_name", r"caf\xe9\x09~")];
            assert_eq!((startup.baseline, startup.dedicated), (owned(&shown), None));
        }
        let utf8 = &[("user", "u"), ("application_name", "caf\u{e9}")];
        assert_eq!(read(0, utf8).unwrap().baseline, owned(&utf8[1..]));
    }

    #[test]
    fn a_name_in_another_encoding_is_a_user_whom_nobody_knows() {
        for parameters in [&b"user\0caf\xe9\0"[..], b"user\0caf\xe9\0database\0\xe9\0"] {
            let startup = Startup::read(0, parameters).unwrap();
            assert_eq!(startup.known_user(), None);
            assert_eq!(startup.user_shown(), "caf\u{fffd}");
        }
    }

    #[test]
    fn a_database_in_another_encoding_is_refused_by_what_it_is() {
        assert_eq!(
            Startup::read(0, b"user\0u\0database\0caf\xe9\0"),
            Err(Refusal::FeatureNotSupported(DATABASE_NOT_UTF8))
        );
    }

    #[test]
    fn the_database_is_named_like_the_user_unless_it_is_given() {
        for (pairs, database) in [
            (&[("user", "u")][..], "u"),
            (&[("user", "u"), ("database", "")], "u"),
            (&[("database", "d"), ("user", "u")], "d"),
            (&[("user", "x"), ("database", "d"), ("user", "u")], "d"),
        ] {
            let startup = read(0, pairs).unwrap();
            assert_eq!(
                (startup.known_user(), startup.database.as_str()),
                (Some("u"), database)
            );
        }
    }

    #[test]
    fn the_baseline_has_each_setting_once_with_its_last_value() {
        let cases: [(Pairs<'_>, Pairs<'_>); 6] = [
            (&[("DateStyle", "ISO")], &[("datestyle", "ISO")]),
            (
                &[("a", "1"), ("b", "2"), ("A", "3")],
                &[("b", "2"), ("a", "3")],
            ),
            (
                &[
                    ("application_name", "a"),
                    ("options", "-c application-name=b"),
                ],
                &[("application_name", "a")],
            ),
            (
                &[("options", "-c a=1"), ("options", "-c a=2")],
                &[("a", "2")],
            ),
            (
                &[("_pq_.x", "1"), ("replication", "no"), ("options", "")],
                &[],
            ),
            (&[("a", "")], &[("a", "")]),
        ];
        for (pairs, baseline) in cases {
            let pairs = [pairs, &[("user", "u")]].concat();
            let startup = read(0, &pairs).unwrap();
            assert_eq!(
                (startup.baseline, startup.dedicated),
                (owned(baseline), None),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn replication_keeps_all_parameters_for_its_own_backend() {
        let given = [
            ("options", "-c a=b"),
            ("replication", "database"),
            ("DateStyle", "ISO"),
        ];
        let pairs = [
            &[("user", "u"), ("database", "d"), ("_pq_.x", "1")],
            &given[..],
        ]
        .concat();
        let startup = read(0, &pairs).unwrap();
        assert_eq!(
            (startup.baseline, startup.dedicated),
            (vec![], Some(own(PinReason::ReplicationConnection, &given)))
        );
    }

    fn own(reason: PinReason, parameters: Pairs<'_>) -> Dedicated {
        let parameters = bytes(parameters);
        Dedicated { reason, parameters }
    }

    #[test]
    fn what_only_a_backends_start_can_set_asks_for_a_backend_of_its_own() {
        let cases: [(Pairs<'_>, Pairs<'_>, Pairs<'_>); 5] = [
            (
                &[("Log_Connections", "on"), ("DateStyle", "ISO")],
                &[("log_connections", "on")],
                &[("datestyle", "ISO")],
            ),
            (
                &[("options", "-P -W 3 -c work-mem=1MB")],
                &[("ignore_system_indexes", "true"), ("post_auth_delay", "3")],
                &[("work_mem", "1MB")],
            ),
            (
                &[
                    ("options", "--jit-debugging-support=on"),
                    ("jit_debugging_support", "off"),
                ],
                &[("jit_debugging_support", "off")],
                &[],
            ),
            (
                &[("local_preload_libraries", "x")],
                &[("local_preload_libraries", "x")],
                &[],
            ),
            (
                &[("replication", "off"), ("session_preload_libraries", "")],
                &[("session_preload_libraries", "")],
                &[],
            ),
        ];
        for (pairs, parameters, baseline) in cases {
            let startup = read(2, &[pairs, &[("user", "u")]].concat()).unwrap();
            assert_eq!(
                (startup.dedicated, startup.baseline),
                (
                    Some(own(PinReason::StartupParameter, parameters)),
                    owned(baseline)
                ),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn replication_is_a_truth_value_as_postgresql_spells_them() {
        for value in ["true", "TRUE", "t", "on", "yes", "y", "1", "database"] {
            assert_eq!(is_replication(value.as_bytes()), Ok(true), "{value}");
        }
        for value in ["false", "f", "of", "OFF", "no", "n", "0"] {
            assert_eq!(is_replication(value.as_bytes()), Ok(false), "{value}");
        }
        for value in ["", "o", "maybe", "truer", "2", "Database"] {
            assert!(
                matches!(is_replication(value.as_bytes()), Err(Refusal::SettingRefused { code, .. }) if &*code == "22023")
            );
        }
    }

    #[test]
    fn versions_are_negotiated_as_postgresql_18_does() {
        let plain = &[("user", "u")][..];
        let extended = &[("user", "u"), ("_pq_.foo", "1")][..];
        for (minor, pairs, expected) in [
            (0, plain, None),
            (1, plain, None),
            (2, plain, None),
            (9, plain, Some(&b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0"[..])),
            (
                0,
                extended,
                Some(b"v\0\0\0\x15\0\x03\0\0\0\0\0\x01_pq_.foo\0"),
            ),
            (
                2,
                extended,
                Some(b"v\0\0\0\x15\0\x03\0\x02\0\0\0\x01_pq_.foo\0"),
            ),
        ] {
            let startup = read(minor, pairs).unwrap();
            let mut out = Vec::new();
            startup.write_negotiation(&mut out);
            assert_eq!(
                startup.is_negotiated.then_some(&out[..]),
                expected,
                "3.{minor}"
            );
        }
    }

    #[test]
    fn strings_that_do_not_fill_the_packet_are_refused() {
        for parameters in [&b"user"[..], b"user\0", b"user\0u", b"\0x\0"] {
            assert_eq!(
                Startup::read(0, parameters),
                Err(Refusal::ProtocolViolation(LAYOUT))
            );
        }
    }

    /// Thousands of names fit into a packet; looking at them must not take the square of that.
    #[test]
    fn many_names_are_read_at_once() {
        let names: Vec<String> = (0..3000).map(|n| format!("{n:x}")).collect();
        let pairs: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        assert_eq!(read(0, &pairs).unwrap().baseline.len(), 3000);
    }
}
