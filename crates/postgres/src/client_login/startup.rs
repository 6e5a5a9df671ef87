//! What a StartupMessage asks for: user, database, protocol version and the settings that are the session's baseline
//! (`ProcessStartupPacket`, backend_startup.c; `process_startup_options`, postinit.c).
//!
//! Any setting is accepted here; the database is asked about it when it is replayed. Size was bounded by `wire::startup`.

use super::options;
use crate::wire::startup::pairs;
use crate::wire::write::{message, string};
use forebay_core::Refusal;
use std::collections::HashSet;

/// Newest minor version of protocol 3 that is spoken here.
const MINOR_NEWEST: u16 = 2;

/// Names with this prefix are protocol extensions, none of which exists here.
const EXTENSION_PREFIX: &str = "_pq_.";

/// Text of PostgreSQL for a packet whose strings do not fill it.
const LAYOUT: &str = "invalid startup packet layout: expected terminator as last byte";

/// A startup message, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Startup {
    /// Minor version that client and proxy speak from now on.
    pub(super) minor: u16,
    /// Whether the client must be told that it does not get all it asked for.
    pub(super) is_negotiated: bool,
    /// Protocol extensions the client asked for.
    pub(super) unknown_extensions: Vec<String>,
    /// Never empty.
    pub(super) user: String,
    /// Never empty.
    pub(super) database: String,
    /// Settings by lower-case name, each once.
    pub(super) baseline: Vec<(String, String)>,
    /// Startup parameters for a backend of its own, if it must have one.
    pub(super) dedicated: Option<Vec<(String, String)>>,
}

impl Startup {
    /// Reads names and values. The user may still be empty: the answer about the protocol version comes before that complaint.
    pub(super) fn read(minor_asked: u16, parameters: &[u8]) -> Result<Startup, Refusal> {
        let pairs = pairs(parameters).map_err(|_| Refusal::ProtocolViolation(LAYOUT))?;
        if pairs.iter().any(|(name, _)| name.is_empty()) {
            return Err(Refusal::ProtocolViolation(LAYOUT));
        }
        let last = |wanted| {
            pairs
                .iter()
                .rfind(|(name, _)| *name == wanted)
                .map(|(_, value)| *value)
        };
        let user = last("user").unwrap_or_default();
        let database = last("database")
            .filter(|name| !name.is_empty())
            .unwrap_or(user);
        let dedicated = match last("replication") {
            Some(value) if is_replication(value)? => Some(kept(&pairs)),
            _ => None,
        };
        let baseline = match &dedicated {
            // The database itself reads them, from the startup message of the dedicated backend.
            Some(_) => Vec::new(),
            None => baseline(&pairs, last("options"))?,
        };
        let unknown_extensions: Vec<String> = pairs
            .iter()
            .filter(|(name, _)| name.starts_with(EXTENSION_PREFIX))
            .map(|(name, _)| (*name).to_owned())
            .collect();
        Ok(Startup {
            minor: minor_asked.min(MINOR_NEWEST),
            is_negotiated: minor_asked > MINOR_NEWEST || !unknown_extensions.is_empty(),
            unknown_extensions,
            user: user.to_owned(),
            database: database.to_owned(),
            baseline,
            dedicated,
        })
    }

    /// Appends `NegotiateProtocolVersion`. The version is the whole one, 3 in the upper half, as PostgreSQL sends it.
    pub(super) fn write_negotiation(&self, out: &mut Vec<u8>) {
        message(out, b'v', |out| {
            out.extend_from_slice(&(3 << 16 | u32::from(self.minor)).to_be_bytes());
            let count = u32::try_from(self.unknown_extensions.len())
                .expect("a startup packet has at most 10,000 bytes");
            out.extend_from_slice(&count.to_be_bytes());
            for name in &self.unknown_extensions {
                string(out, name.as_bytes());
            }
        });
    }
}

/// Everything but what the backend's own login puts there.
fn kept(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .filter(|(name, _)| {
            !matches!(*name, "user" | "database") && !name.starts_with(EXTENSION_PREFIX)
        })
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Settings of `options` first: those that have a parameter of their own win, as in PostgreSQL.
fn baseline(
    pairs: &[(&str, &str)],
    options: Option<&str>,
) -> Result<Vec<(String, String)>, Refusal> {
    let mut settings = options.map_or(Ok(Vec::new()), options::settings)?;
    settings.extend(
        kept(pairs)
            .into_iter()
            .filter(|(name, _)| !matches!(name.as_str(), "options" | "replication")),
    );
    for (name, _) in &mut settings {
        name.make_ascii_lowercase();
    }
    Ok(last_of_each(settings))
}

fn last_of_each(mut settings: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut seen = HashSet::new();
    settings.reverse();
    settings.retain(|(name, _)| seen.insert(name.clone()));
    settings.reverse();
    settings
}

/// Whether the session is for replication: PostgreSQL takes a truth value or `database`.
fn is_replication(value: &str) -> Result<bool, Refusal> {
    if value == "database" {
        return Ok(true);
    }
    truth(value).ok_or_else(|| Refusal::SettingRefused {
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
