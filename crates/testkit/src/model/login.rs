//! The first packets of a connection: encryption requests, CancelRequest, the startup packet, the password.
//!
//! Follows PostgreSQL 18's `ProcessStartupPacket`: protocol 3.0 and 3.2 are spoken, anything newer of major 3 and
//! any `_pq_.` option is negotiated down, the slot is taken before the password is asked for. [`Protocol`] makes it older.

use std::collections::BTreeMap;

use super::backend::Backend;
use super::error::PgError;
use super::server::{Availability, ConnectionId, Protocol, Shared};
use super::session::Session;
use super::settings::Baseline;
use super::wire::{DecodeError, Fields};

/// PostgreSQL's `MAX_STARTUP_PACKET_LENGTH`.
const STARTUP_BYTES_MAX: u32 = 10_000;

/// Newest minor version of protocol 3 that is spoken.
fn minor_max(protocol: Protocol) -> u32 {
    match protocol {
        Protocol::Newest => 2,
        Protocol::Negotiated | Protocol::Refused | Protocol::Unanswered => 0,
    }
}

const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;
const SSL_REQUEST: u32 = (1234 << 16) | 5679;
const GSSENC_REQUEST: u32 = (1234 << 16) | 5680;

/// A packet without type byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    /// SSLRequest or GSSENCRequest.
    Encryption,
    Cancel {
        pid: u32,
        key: Vec<u8>,
    },
    Startup(Startup),
}

/// What a startup packet asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Startup {
    version: u32,
    parameters: BTreeMap<String, String>,
}

impl Startup {
    pub(crate) fn user(&self) -> &str {
        self.parameters.get("user").map_or("", String::as_str)
    }
}

/// Cuts the first packet off `bytes`: `None` while more are needed, else the packet and its size.
pub(crate) fn split_packet(bytes: &[u8]) -> Result<Option<(Packet, usize)>, DecodeError> {
    let Some(header) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*header);
    if !(8..=STARTUP_BYTES_MAX).contains(&length) {
        return Err(DecodeError::Length(length));
    }
    let size = length as usize;
    if bytes.len() < size {
        return Ok(None);
    }
    let mut fields = Fields::new(&bytes[4..size]);
    let packet = match fields.u32()? {
        SSL_REQUEST | GSSENC_REQUEST => Packet::Encryption,
        CANCEL_REQUEST => Packet::Cancel {
            pid: fields.u32()?,
            key: fields.rest().to_vec(),
        },
        version => Packet::Startup(Startup {
            version,
            parameters: parameters(fields)?,
        }),
    };
    Ok(Some((packet, size)))
}

fn parameters(mut fields: Fields<'_>) -> Result<BTreeMap<String, String>, DecodeError> {
    let mut found = BTreeMap::new();
    loop {
        let name = fields.string()?;
        if name.is_empty() {
            fields.end()?;
            return Ok(found);
        }
        found.insert(name, fields.string()?);
    }
}

/// What a startup packet leads to.
pub(crate) enum Admission {
    /// The connection is closed without a word.
    Silence,
    /// The password is awaited.
    Password(Startup),
    /// Logged in.
    Session(Box<Session>),
}

/// Decides about a startup packet; `out` gets the answers of the protocol.
pub(crate) fn admit(
    shared: &mut Shared,
    id: ConnectionId,
    startup: Startup,
    out: &mut Vec<u8>,
) -> Result<Admission, PgError> {
    if shared.protocol() == Protocol::Unanswered && startup.version & 0xffff > 0 {
        return Ok(Admission::Silence);
    }
    negotiate(shared.protocol(), &startup, out)?;
    if startup.user().is_empty() {
        let message = "no PostgreSQL user name specified in startup packet";
        return Err(PgError::fatal("28000", message));
    }
    match shared.availability {
        Availability::Up => {}
        Availability::StartingUp => {
            return Err(PgError::fatal(
                "57P03",
                "the database system is starting up",
            ));
        }
        Availability::ShuttingDown => {
            return Err(PgError::fatal(
                "57P03",
                "the database system is shutting down",
            ));
        }
    }
    shared.take_slot(id)?;
    if shared.asks_password(startup.user()) {
        Backend::Authentication {
            code: 3,
            data: Vec::new(),
        }
        .encode(out);
        return Ok(Admission::Password(startup));
    }
    log_in(shared, id, &startup, out).map(Admission::Session)
}

/// Checks the answer to the password question; `answer` is a string with its zero byte.
pub(crate) fn check_password(
    shared: &Shared,
    startup: &Startup,
    answer: &[u8],
) -> Result<(), PgError> {
    let given = answer.strip_suffix(&[0]).unwrap_or_default();
    if shared.is_password(startup.user(), given) {
        return Ok(());
    }
    let message = format!(
        "password authentication failed for user \"{}\"",
        startup.user()
    );
    Err(PgError::fatal("28P01", message))
}

fn negotiate(protocol: Protocol, startup: &Startup, out: &mut Vec<u8>) -> Result<(), PgError> {
    let newest = minor_max(protocol);
    let (major, minor) = (startup.version >> 16, startup.version & 0xffff);
    if major != 3 || protocol == Protocol::Refused && minor > newest {
        let message = format!(
            "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{newest}"
        );
        return Err(PgError::fatal("0A000", message));
    }
    let options: Vec<String> = startup
        .parameters
        .keys()
        .filter(|name| name.starts_with("_pq_."))
        .cloned()
        .collect();
    if minor > newest || !options.is_empty() {
        Backend::NegotiateProtocolVersion {
            minor: minor.min(newest),
            options,
        }
        .encode(out);
    }
    Ok(())
}

/// Bytes of the cancel key that a client of this protocol version gets.
fn key_bytes(protocol: Protocol, version: u32) -> usize {
    if (version & 0xffff).min(minor_max(protocol)) >= 2 {
        32
    } else {
        4
    }
}

/// Everything after authentication: settings, greeting, ReadyForQuery.
pub(crate) fn log_in(
    shared: &mut Shared,
    id: ConnectionId,
    startup: &Startup,
    out: &mut Vec<u8>,
) -> Result<Box<Session>, PgError> {
    let user = startup.user();
    shared
        .require_user(user)
        .map_err(|_| PgError::fatal("28000", format!("role \"{user}\" does not exist")))?;
    shared.check_database(
        startup
            .parameters
            .get("database")
            .map_or(user, String::as_str),
    )?;
    shared.check_reserved(user)?;
    let mut baseline = Baseline::new(shared.configured.clone());
    for (name, value) in settings(startup)? {
        baseline
            .start_with(&name, &value)
            .map_err(|error| PgError::fatal(error.code, error.message))?;
    }
    let (pid, key) = shared.new_key(id, key_bytes(shared.protocol(), startup.version));
    let mut session = Box::new(Session::new(id, pid, user.to_owned(), baseline));
    session.send(&Backend::Authentication {
        code: 0,
        data: Vec::new(),
    });
    session.report_settings(shared);
    session.send(&Backend::BackendKeyData { pid, key });
    session.ready(shared);
    session.take_flushed(out);
    Ok(session)
}

/// Settings of the startup packet, those inside `options` first, as PostgreSQL applies them.
fn settings(startup: &Startup) -> Result<Vec<(String, String)>, PgError> {
    let mut found = match startup.parameters.get("options") {
        Some(options) => switches(options)?,
        None => Vec::new(),
    };
    let own = ["user", "database", "options", "replication"];
    found.extend(
        startup
            .parameters
            .iter()
            .filter(|(name, _)| !own.contains(&name.as_str()) && !name.starts_with("_pq_."))
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    Ok(found)
}

/// `-c name=value`, `-cname=value` and `--name=value`; backslash escapes a blank or itself.
fn switches(options: &str) -> Result<Vec<(String, String)>, PgError> {
    let mut words = split_options(options).into_iter();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let assignment = if word == "-c" {
            words.next().unwrap_or_default()
        } else if let Some(rest) = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")) {
            rest.to_owned()
        } else {
            let message = format!("invalid command-line argument for server process: {word}");
            return Err(PgError::fatal("42601", message));
        };
        let Some((name, value)) = assignment.split_once('=') else {
            return Err(PgError::fatal(
                "42601",
                format!("-c {assignment} requires a value"),
            ));
        };
        found.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(found)
}

fn split_options(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = options.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            c if c.is_ascii_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_give_settings_with_escapes() {
        let found = switches("-c jit=off --work-mem=64kB -ca.b=c\\ d").expect("valid");
        let expected = [("jit", "off"), ("work_mem", "64kB"), ("a.b", "c d")];
        assert_eq!(found, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert!(switches("-x 1").is_err());
        assert!(switches("-c jit").is_err());
    }

    #[test]
    fn packets_with_impossible_lengths_are_refused_before_they_are_whole() {
        assert_eq!(split_packet(&[0, 0, 0, 7]), Err(DecodeError::Length(7)));
        assert_eq!(split_packet(&[0, 1, 0, 0]), Err(DecodeError::Length(65536)));
        assert_eq!(split_packet(&[0, 0, 0]), Ok(None));
    }
}
