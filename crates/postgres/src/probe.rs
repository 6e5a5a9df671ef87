//! What a session holds on its backend, asked of the server itself.
//!
//! What code hidden in functions, blocks, triggers or bound parameters did cannot be read off a text. Behind the client's own answer, where
//! a transaction has ended, the server is asked: which settings were set, which temporary objects, cursors, locks, channels and
//! prepared statements are left. The client sees nothing of it and waits for it only with its next message.
//! Everything is named in full: the session's search_path may lead anywhere. (`pg_settings`, `pg_depend`, `pg_locks`, `pg_cursors`.)
//!
//! ```text
//!   client: CALL p()      server: C Z ─► client      ours: Parse Bind Execute Sync ─► server: 1 2 D… C Z (seen by nobody)
//! ```

mod asks;
mod verdicts;

pub use asks::{Asks, NAMES_ASKED_MAX, of_settings};
pub use verdicts::Verdicts;

use crate::sql::quote_literal;
use crate::wire::read::data_row;
use crate::wire::write;
use forebay_core::PinReason;
use forebay_core::Pins;

/// What statements of ours are called that ask.
const PROBE: &[u8] = b"fb_probe";

/// Most bytes of answers that are kept; beyond it nothing is known.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// All settings that were set for the session, but for those that the server lists nowhere; apart those which a function of somebody else's
/// may have set, because the user who logged in may not.
pub const SETTINGS: &str = "SELECT CASE WHEN context OPERATOR(pg_catalog.=) 'superuser' AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles \
    WHERE rolname OPERATOR(pg_catalog.=) session_user) THEN 'u' ELSE 's' END, name, setting, pg_catalog.current_setting(name) \
    FROM pg_catalog.pg_settings WHERE source OPERATOR(pg_catalog.=) 'session'";

/// Who the session is: listed nowhere either.
pub const IDENTITY: &str = "SELECT 'i', 'role', pg_catalog.current_setting('role'), NULL \
    UNION ALL SELECT 'i', 'session_authorization', session_user, NULL";

/// Names of settings that functions speak of, whatever a backslash means to the session; of a setting with a dot in its name nothing else tells that it exists.
/// In a database with thousands of functions that takes a while, so it is done only where there are others than those that are `{known}`, by their
/// number and by who made them (`xmin`); what they are now comes first.
/// A body that is kept as a tree is read as that: to have it written out would lock its tables, and wait for whoever alters one. `set_config`
/// is 2078 (`pg_proc.dat`), and its name a text with a head of four bytes. Servers before 14 have no such bodies.
pub const MENTIONED: &str = "WITH state AS (SELECT (pg_catalog.count(*)::pg_catalog.text) OPERATOR(pg_catalog.||) ' ' OPERATOR(pg_catalog.||) \
    (COALESCE(pg_catalog.sum(xmin::pg_catalog.text::pg_catalog.int8), 0)::pg_catalog.text) AS v \
    FROM pg_catalog.pg_proc WHERE oid OPERATOR(pg_catalog.>=) 16384), \
    code AS (SELECT v, v OPERATOR(pg_catalog.<>) '{known}' AS changed FROM state) \
    SELECT 'v', v, NULL, NULL FROM code UNION ALL (SELECT DISTINCT 'm', pg_catalog.lower(m[1]), pg_catalog.current_setting(m[1], true), NULL \
    FROM pg_catalog.pg_proc p, LATERAL pg_catalog.regexp_matches(\
    p.prosrc, \
    E'(?:set_config\\\\s*\\\\(\\\\s*''|\\\\mset\\\\s+(?:session\\\\s+)?)([a-z_][a-z0-9_$]*(?:\\\\.[a-z_][a-z0-9_$]*)+)', 'gi') m \
    WHERE (SELECT changed FROM code) AND p.oid OPERATOR(pg_catalog.>=) 16384 \
    UNION SELECT 'm', pg_catalog.lower(n.name), pg_catalog.current_setting(n.name, true), NULL FROM pg_catalog.pg_proc p, \
    LATERAL pg_catalog.regexp_matches(pg_catalog.to_jsonb(p) OPERATOR(pg_catalog.->>) 'prosqlbody', \
    ':funcid 2078 .*?:constvalue [0-9]+ [[] ([0-9 ]+) []]', 'g') m, \
    LATERAL (SELECT pg_catalog.string_agg(pg_catalog.chr(b::pg_catalog.int4), '' ORDER BY i) AS name \
    FROM pg_catalog.unnest(pg_catalog.string_to_array(m[1], ' ')) WITH ORDINALITY u(b, i) WHERE i OPERATOR(pg_catalog.>) 4) n \
    WHERE (SELECT changed FROM code) AND p.oid OPERATOR(pg_catalog.>=) 16384 AND p.prolang OPERATOR(pg_catalog.=) 14 AND p.prosrc OPERATOR(pg_catalog.=) '' \
    AND n.name OPERATOR(pg_catalog.~) '^[A-Za-z_][A-Za-z0-9_$]*([.][A-Za-z_][A-Za-z0-9_$]*)+$' \
    UNION SELECT 'm', pg_catalog.lower(c[1]), pg_catalog.current_setting(c[1], true), NULL FROM pg_catalog.pg_proc p, \
    LATERAL pg_catalog.unnest(p.proconfig) o, LATERAL pg_catalog.regexp_matches(o, '^([^=]+[.][^=]+)=') c \
    WHERE (SELECT changed FROM code) AND p.oid OPERATOR(pg_catalog.>=) 16384)";

/// For what may take longer than the client gives its own statements; until the end of the question.
pub const UNTIMED: &str =
    "SELECT 't', pg_catalog.set_config('statement_timeout', '0', true), NULL, NULL";

/// What is left on the backend beside settings.
pub const OBJECTS: &str = "SELECT 'o', 'temporary_object', NULL, NULL WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_depend \
    WHERE refclassid OPERATOR(pg_catalog.=) 2615 AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) \
    UNION ALL SELECT 'o', 'holdable_cursor', NULL, NULL WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_cursors WHERE is_holdable) \
    UNION ALL SELECT 'o', 'advisory_lock', NULL, NULL WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_locks \
    WHERE locktype OPERATOR(pg_catalog.=) 'advisory' AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()) \
    UNION ALL SELECT 'p', name, NULL, NULL FROM pg_catalog.pg_prepared_statements WHERE from_sql \
    UNION ALL SELECT 'o', 'listen', NULL, NULL WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_listening_channels())";

/// One setting as the server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// In lower case.
    pub name: Box<str>,
    /// In the setting's own unit.
    pub setting: Box<str>,
    /// As SHOW tells it.
    pub shown: Box<str>,
    /// The user may not set it.
    pub barred: bool,
}

/// A probe under way, with what was answered so far.
#[derive(Debug, Default)]
pub struct Probe {
    /// What was asked.
    pub asks: Asks,
    /// Whose functions were called, and in which state.
    pub scope: u64,
    /// All settings that were found set; or those that were asked for by name.
    pub readings: Vec<Reading>,
    /// Which functions there were when it was last asked what they speak of.
    pub known_code: Option<Box<str>>,
    /// Which there are.
    pub code: Option<Box<str>>,
    /// Names with a dot that functions speak of, unless they are those that were known.
    pub mentioned: Vec<Box<str>>,
    /// Names of statements that SQL has prepared.
    pub prepared: Vec<Box<str>>,
    /// What else was found left behind.
    pub held: Pins,
    /// A setting has a value that is not UTF-8.
    pub unsaid: bool,
    /// It cannot be answered.
    pub failed: bool,
    bytes: usize,
}

/// The kinds of things that are asked for by [`OBJECTS`].
pub const OBJECT_REASONS: [PinReason; 5] = [
    PinReason::TemporaryObject,
    PinReason::HoldableCursor,
    PinReason::AdvisoryLock,
    PinReason::SqlPrepare,
    PinReason::Listen,
];

impl Probe {
    /// A probe that asks for this.
    pub fn new(asks: Asks) -> Probe {
        Probe {
            asks,
            ..Probe::default()
        }
    }

    /// Custom settings that the backend was found to know.
    pub fn customs(&self) -> impl Iterator<Item = &str> {
        let read = self.readings.iter().map(|reading| &*reading.name);
        read.filter(|name| name.contains('.'))
    }

    /// Writes what is asked, up to its Sync.
    pub fn write(&self, out: &mut Vec<u8>) {
        let asks = &self.asks;
        write::close(out, b'S', PROBE);
        if asks.settings {
            write::run(out, PROBE, SETTINGS.as_bytes());
            write::run(out, PROBE, IDENTITY.as_bytes());
        }
        if !asks.names.is_empty() {
            write::run(out, PROBE, by_name(asks).as_bytes());
        }
        if asks.objects {
            write::run(out, PROBE, OBJECTS.as_bytes());
        }
        if asks.mentioned {
            // Last, because the client's own time-out is read before.
            write::run(out, PROBE, UNTIMED.as_bytes());
            let known = self.known_code.as_deref().unwrap_or_default();
            let mentioned = MENTIONED.replace("{known}", known);
            write::run(out, PROBE, mentioned.as_bytes());
        }
        out.extend_from_slice(write::SYNC);
    }

    /// A row of the answer.
    pub fn on_row(&mut self, body: &[u8]) {
        self.bytes += body.len();
        if self.bytes > ANSWER_BYTES_MAX || self.read(body).is_none() {
            self.failed = true;
        }
    }

    fn read(&mut self, body: &[u8]) -> Option<()> {
        let row = data_row(body).ok()?;
        let [kind, name, setting, shown] = row.try_into().ok()?;
        let name = std::str::from_utf8(name?).ok()?;
        if kind? == b"o" {
            let reason = OBJECT_REASONS
                .into_iter()
                .find(|reason| reason.as_str() == name)?;
            self.held.add(reason);
            return Some(());
        }
        if kind? == b"t" {
            return Some(());
        }
        if kind? == b"v" {
            // It will be part of a question.
            let is_plain = name
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b' ');
            self.code = is_plain.then(|| name.into());
            return Some(());
        }
        if kind? == b"p" {
            self.prepared.push(name.into());
            return Some(());
        }
        let name: Box<str> = name.to_ascii_lowercase().into();
        if kind? == b"m" {
            self.mentioned.push(name.clone());
        }
        // A setting that does not exist is not set.
        let Some(setting) = setting else {
            return Some(());
        };
        let shown = shown.unwrap_or(setting);
        let (Ok(setting), Ok(shown)) = (std::str::from_utf8(setting), std::str::from_utf8(shown))
        else {
            self.unsaid = true;
            return Some(());
        };
        let (setting, shown) = (setting.into(), shown.into());
        if self.readings.iter().all(|known| known.name != name) {
            self.readings.push(Reading {
                name,
                setting,
                shown,
                barred: kind == Some(b"u"),
            });
        }
        Some(())
    }
}

fn by_name(asks: &Asks) -> String {
    let names: Vec<_> = asks.names.iter().map(|name| quote_literal(name)).collect();
    format!(
        "SELECT 'n', n, pg_catalog.current_setting(n, true), NULL FROM pg_catalog.unnest(ARRAY[{}]::pg_catalog.text[]) n",
        names.join(",")
    )
}

#[cfg(test)]
mod tests;
