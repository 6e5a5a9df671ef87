//! The server was asked what is set: what the session did not say by itself is taken over.
//!
//! What a probe reads is the truth; what was tracked is kept where it says the same, so that a value stays as precise as the client wrote
//! it. Between the two may lie code that set something, or reset it.

use super::{AUTHORIZATION, ENCODING, ROLE, SETTINGS_MAX, Tracker, is_identity};
use crate::probe::{Probe, Reading};
use forebay_core::settings::{Interner, Map, Settings, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What came of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopted {
    /// Everything was as it was thought to be.
    Nothing,
    /// The session has other settings than was thought.
    Changed,
    /// It has some that cannot be set again elsewhere.
    Unsaid,
}

/// What is known of the server the probe was sent to.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    /// The session's user when it began.
    pub user: &'a [u8],
    /// Whether values can be said that are not ASCII.
    pub reads_utf8: bool,
}

/// Whether code has set something, or reset it, on a backend whose session, which is gone, had these settings.
pub fn is_set_by_code(
    had: &Arc<Settings>,
    probe: &Probe,
    server: Server<'_>,
    interner: &mut Interner,
) -> bool {
    let mut tracker = Tracker::new(interner.empty());
    tracker.committed = Arc::clone(had);
    tracker.adopt(probe, server, interner) != Adopted::Nothing
}

impl Tracker {
    /// Takes over what was read. Outside a transaction only.
    pub fn adopt(&mut self, probe: &Probe, server: Server<'_>, interner: &mut Interner) -> Adopted {
        let read: BTreeMap<_, _> = probe
            .readings
            .iter()
            .filter(|reading| !is_unset(reading, server) || self.has_set(reading))
            .map(|reading| (&*reading.name, reading))
            .collect();
        let committed = Arc::clone(&self.committed);
        let before = committed.map();
        let is_said = |reading: &Reading| {
            let value = before.get(&*reading.name);
            value.is_some_and(|value| says(value, reading))
        };
        let sayable = |reading: &&Reading| {
            (server.reads_utf8 || reading.shown.is_ascii())
                && is_taken_again(reading)
                && (!reading.barred || is_said(reading))
        };
        if probe.unsaid || read.len() > SETTINGS_MAX || !read.values().all(sayable) {
            return Adopted::Unsaid;
        }
        let mut map = before.clone();
        for (name, reading) in &read {
            if !before.get(*name).is_some_and(|value| says(value, reading)) {
                map.insert((*name).into(), Value::Literal(reading.shown.clone()));
            }
        }
        self.lost_values.are_known(|name| read.contains_key(name));
        let lost: Vec<_> = before
            .keys()
            .filter(|name| probe.was_asked(name) && !read.contains_key(&***name))
            .filter(|name| !is_empty_text(&before[*name]))
            .cloned()
            .collect();
        for name in &lost {
            self.lose_to_code(name, &mut map);
        }
        if map == *before {
            return Adopted::Nothing;
        }
        self.meaning.set(None);
        self.committed = interner.intern(map);
        Adopted::Changed
    }

    /// Whether what looks like nothing is something that this session has set. No role: it began with one, or has set this before. A custom
    /// setting that is empty: it began with one, which a RESET would have brought back; that one was emptied here, to end what it stood for, is
    /// likelier than a RESET in code, which empties it as well, and does less harm if it is not so.
    fn has_set(&self, reading: &Reading) -> bool {
        if reading.name.contains('.') {
            let began = self.baseline.map().contains_key(&*reading.name);
            return began && !self.lost_values.is_due(reading.name.as_bytes());
        }
        let maps = [&self.baseline, &self.committed];
        &*reading.name == ROLE
            && maps
                .iter()
                .any(|settings| settings.map().contains_key(ROLE))
    }

    /// Code has reset a setting: the session has what it began with.
    fn lose_to_code(&mut self, name: &str, map: &mut Map) {
        match self.baseline.map().get(name) {
            Some(value) => {
                map.insert(name.into(), value.clone());
                self.lost_values.lose(name, 0);
            }
            None => drop(map.remove(name)),
        }
    }
}

impl Probe {
    /// Whether it would have told of this setting, had it been set.
    fn was_asked(&self, name: &str) -> bool {
        // Of a name with a dot it is not certain that it is listed (`GUC_CUSTOM_PLACEHOLDER`).
        let listed = self.asks.settings && !name.contains('.');
        listed
            || self.asks.names.contains(name)
            || self.mentioned.iter().any(|known| **known == *name)
    }
}

/// Whether SET takes the value as the server tells it. A time zone that was set as an interval with seconds is shown as one that is
/// refused for having leap seconds (`check_timezone`, `pg_tz_acceptable`).
fn is_taken_again(reading: &Reading) -> bool {
    let is_interval = &*reading.name == "timezone" && reading.shown.starts_with('<');
    let offset = reading.shown.rsplit('>').next().unwrap_or_default();
    !is_interval || offset.matches(':').count() < 2
}

/// Whether a session has set this to nothing by itself.
fn is_empty_text(value: &Value) -> bool {
    match value {
        Value::Literal(text) => text.is_empty(),
        Value::Sql(sql) => plain(sql).is_empty(),
    }
}

/// Whether the server's answer says that the setting is as without the session's doing.
fn is_unset(reading: &Reading, server: Server<'_>) -> bool {
    match &*reading.name {
        ROLE => &*reading.setting == "none",
        AUTHORIZATION => reading.setting.as_bytes() == server.user,
        // They belong to the transaction in which they were asked for.
        "transaction_isolation" | "transaction_read_only" | "transaction_deferrable" => true,
        // One that was reset is empty for good.
        name => name.contains('.') && reading.setting.is_empty(),
    }
}

/// Whether a value that was tracked is certain to be the one that was read.
fn says(value: &Value, reading: &Reading) -> bool {
    let text = match value {
        Value::Literal(text) => &**text,
        Value::Sql(sql) => plain(sql),
    };
    let exactly = text == &*reading.setting || text == &*reading.shown;
    if exactly || is_identity(&reading.name) || reading.name.contains('.') {
        return exactly;
    }
    if matches!(&*reading.name, "search_path" | "application_name") {
        return squeezed(text, &[' ', '"', '\'']) == squeezed(&reading.shown, &[' ', '"', '\'']);
    }
    let ignored: &[char] = if *reading.name == *ENCODING {
        &['-', '_']
    } else {
        &[' ']
    };
    let folded = |text: &str| squeezed(text, ignored).to_ascii_lowercase();
    let text = folded(text);
    [&reading.setting, &reading.shown].into_iter().any(|read| {
        let read = folded(read);
        read == text
            || truth(&read).is_some_and(|read| truth(&text) == Some(read))
            || quantity(&read).is_some_and(|read| quantity(&text) == Some(read))
    })
}

/// The text of a constant without anything to unquote in it, or what was written.
fn plain(sql: &str) -> &str {
    let unquoted = |quote: char| {
        let inner = sql.strip_prefix(quote)?.strip_suffix(quote)?;
        (!inner.contains([quote, '\\'])).then_some(inner)
    };
    unquoted('\'').or_else(|| unquoted('"')).unwrap_or(sql)
}

fn squeezed(text: &str, ignored: &[char]) -> String {
    text.chars().filter(|c| !ignored.contains(c)).collect()
}

/// A truth value in whatever spelling (`parse_bool`, without its abbreviations).
fn truth(text: &str) -> Option<bool> {
    match text {
        "on" | "true" | "yes" => Some(true),
        "off" | "false" | "no" => Some(false),
        _ => None,
    }
}

/// A number with what it counts, in the smallest unit of its kind (`guc.c`, `memory_unit_conversion_table`, `time_unit_conversion_table`).
fn quantity(text: &str) -> Option<(f64, &'static str)> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().ok()?;
    let (factor, kind) = match &text[digits.len()..] {
        "" => (1.0, ""),
        "b" => (1.0, "bytes"),
        "kb" => (1024.0, "bytes"),
        "mb" => (1024.0 * 1024.0, "bytes"),
        "gb" => (1024.0 * 1024.0 * 1024.0, "bytes"),
        "tb" => (1024.0 * 1024.0 * 1024.0 * 1024.0, "bytes"),
        "us" => (1.0, "time"),
        "ms" => (1e3, "time"),
        "s" => (1e6, "time"),
        "min" => (60e6, "time"),
        "h" => (3600e6, "time"),
        "d" => (86400e6, "time"),
        _ => return None,
    };
    Some((number * factor, kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Asks;
    use crate::sql::Effect;
    use std::hash::RandomState;

    const SERVER: Server<'_> = Server {
        user: b"app",
        reads_utf8: true,
    };

    fn reading(name: &str, setting: &str, shown: &str) -> Reading {
        Reading {
            name: name.into(),
            setting: setting.into(),
            shown: shown.into(),
            barred: false,
        }
    }

    fn probe(readings: &[(&str, &str, &str)]) -> Probe {
        let mut probe = Probe::new(Asks {
            settings: true,
            ..Asks::default()
        });
        probe.readings = readings
            .iter()
            .map(|&(name, setting, shown)| reading(name, setting, shown))
            .collect();
        probe
    }

    fn tracker(interner: &mut Interner, baseline: &[(&str, &str)]) -> Tracker {
        let map = baseline
            .iter()
            .map(|&(name, value)| (name.into(), Value::Literal(value.into())))
            .collect();
        Tracker::new(interner.intern(map))
    }

    #[test]
    fn a_zone_that_the_server_shows_but_does_not_take_is_not_taken_over() {
        let mut interner = Interner::new(RandomState::new());
        for (shown, expected) in [
            ("<+00:00:03>-00:00:03", Adopted::Unsaid),
            ("<+05:30>-05:30", Adopted::Changed),
        ] {
            let mut tracker = tracker(&mut interner, &[]);
            let probe = probe(&[("timezone", shown, shown)]);
            assert_eq!(tracker.adopt(&probe, SERVER, &mut interner), expected);
        }
    }

    #[test]
    fn what_the_user_may_not_set_is_not_taken_over() {
        let mut interner = Interner::new(RandomState::new());
        let mut tracker = tracker(&mut interner, &[]);
        let mut probe = probe(&[("log_min_duration_statement", "3000", "3s")]);
        probe.readings[0].barred = true;
        let adopted = tracker.adopt(&probe, SERVER, &mut interner);
        assert_eq!(adopted, Adopted::Unsaid);
    }

    #[test]
    fn a_value_is_known_again_in_whatever_way_the_server_shows_it() {
        for (written, name, setting, shown) in [
            ("'64MB'", "work_mem", "65536", "64MB"),
            ("65536", "work_mem", "65536", "64MB"),
            ("'65536 kB'", "work_mem", "65536", "64MB"),
            ("'1500ms'", "statement_timeout", "1500", "1500ms"),
            ("'90s'", "statement_timeout", "90000", "90s"),
            ("true", "jit", "on", "on"),
            ("'UTC'", "timezone", "UTC", "UTC"),
            ("utc", "timezone", "UTC", "UTC"),
            ("'utf-8'", "client_encoding", "UTF8", "UTF8"),
            ("\"a\", b", "search_path", "a, b", "a, b"),
            ("0.10", "seq_page_cost", "0.1", "0.1"),
        ] {
            let value = Value::Sql(written.into());
            assert!(says(&value, &reading(name, setting, shown)), "{written}");
        }
    }

    #[test]
    fn a_value_is_not_taken_for_another() {
        for (written, name, setting, shown) in [
            ("'64MB'", "work_mem", "64", "64kB"),
            ("-1", "extra_float_digits", "1", "1"),
            ("'App'", "application_name", "app", "app"),
            ("'on'", "a.b", "ON", "ON"),
            ("off", "jit", "on", "on"),
            ("public", "search_path", "tenant", "tenant"),
        ] {
            let value = Value::Sql(written.into());
            assert!(!says(&value, &reading(name, setting, shown)), "{written}");
        }
    }

    #[test]
    fn what_code_has_set_is_the_sessions_from_then_on() {
        let mut interner = Interner::new(RandomState::new());
        let mut tracker = tracker(&mut interner, &[]);
        let found = probe(&[
            ("transaction_isolation", "serializable", "serializable"),
            ("work_mem", "65536", "64MB"),
            ("role", "none", "none"),
            ("session_authorization", "app", "app"),
        ]);
        assert_eq!(
            tracker.adopt(&found, SERVER, &mut interner),
            Adopted::Changed
        );
        let expected = Map::from([("work_mem".into(), Value::Literal("64MB".into()))]);
        assert_eq!(*tracker.committed().map(), expected);
        assert_eq!(
            tracker.adopt(&found, SERVER, &mut interner),
            Adopted::Nothing
        );
    }

    #[test]
    fn what_code_has_reset_goes_back_to_what_the_client_began_with() {
        let mut interner = Interner::new(RandomState::new());
        let mut tracker = tracker(&mut interner, &[("datestyle", "German")]);
        assert_eq!(
            tracker.adopt(&probe(&[]), SERVER, &mut interner),
            Adopted::Nothing
        );
        let restored = tracker
            .take_restore(true, false)
            .map(|restore| restore.statements);
        assert_eq!(restored, Some(vec!["SET datestyle TO 'German'".to_owned()]));
    }

    #[test]
    fn a_custom_setting_that_code_has_emptied_stays_empty_unless_the_client_has_reset_it() {
        let mut interner = Interner::new(RandomState::new());
        let mut asked = probe(&[("a.b", "", "")]);
        asked.asks.names.insert("a.b".into());
        let mut tracker = tracker(&mut interner, &[("a.b", "42")]);
        let adopted = tracker.adopt(&asked, SERVER, &mut interner);
        assert_eq!(adopted, Adopted::Changed);
        let empty = Value::Literal("".into());
        assert_eq!(tracker.committed().map().get("a.b"), Some(&empty));
        assert!(!tracker.restores_again());
        let adopted = tracker.adopt(&asked, SERVER, &mut interner);
        assert_eq!(adopted, Adopted::Nothing);

        tracker.on_complete(&Effect::ResetAll, b"RESET", &mut interner);
        tracker.on_ready(b'I', false, &mut interner);
        tracker.adopt(&asked, SERVER, &mut interner);
        let first = Value::Literal("42".into());
        assert_eq!(tracker.committed().map().get("a.b"), Some(&first));
        assert!(tracker.restores_again());
    }

    #[test]
    fn a_setting_that_is_not_listed_is_lost_only_if_it_was_asked_for() {
        let mut interner = Interner::new(RandomState::new());
        let mut tracker = tracker(&mut interner, &[]);
        let mut map = Map::new();
        map.insert("a.b".into(), Value::Sql("'1'".into()));
        tracker.committed = interner.intern(map);
        assert_eq!(
            tracker.adopt(&probe(&[]), SERVER, &mut interner),
            Adopted::Nothing
        );
        let mut asked = probe(&[("a.b", "", "")]);
        asked.asks.names.insert("a.b".into());
        assert_eq!(
            tracker.adopt(&asked, SERVER, &mut interner),
            Adopted::Changed
        );
        assert!(Arc::ptr_eq(tracker.committed(), &interner.empty()));
    }

    #[test]
    fn a_value_that_cannot_be_said_again_is_not_taken_over() {
        let mut interner = Interner::new(RandomState::new());
        let mut tracker = tracker(&mut interner, &[]);
        let server = Server {
            reads_utf8: false,
            ..SERVER
        };
        let found = probe(&[("application_name", "ä", "ä")]);
        assert_eq!(
            tracker.adopt(&found, server, &mut interner),
            Adopted::Unsaid
        );
    }
}
