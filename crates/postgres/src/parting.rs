//! What a backend must not take along when its session parts with it: `idle_session_timeout` is about the client's silence, and a
//! backend between clients would be ended by it.
//!
//! While a session has a backend, the setting is there like any other, so that SHOW tells it. It is taken off again before the
//! backend is given on, and the data plane is told how long the client may be silent without one.
//! (`src/backend/tcop/postgres.c`, `PostgresMain`; ledger: idle-session-timeout.)

use crate::backend::Backend;
use crate::exchange::Expect;
use crate::login_cache::Work;
use crate::session::Session;
use crate::wire::write;
use forebay_core::orders::{Order, Orders};
use forebay_core::settings::{Interner, Map, Value};
use std::time::Duration;

/// The setting.
const IDLE: &str = "idle_session_timeout";

/// The session parts with its backend, which is clean: at once if there is nothing to take off, which is then true.
pub fn part(backend: &mut Backend, settings: &mut Interner, orders: &mut Orders<Work>) -> bool {
    if !backend.label.map().contains_key(IDLE) {
        orders.push(Order::Release);
        return true;
    }
    let mut map = backend.label.map().clone();
    map.remove(IDLE);
    backend.label = settings.intern(map);
    // It ends the unnamed statement, which the session may still have: that one is prepared again.
    backend.unnamed = None;
    backend.holding = true;
    backend.exchange.push(Expect::Parting);
    orders.to_backend(|out| write::query(out, b"RESET idle_session_timeout"));
    false
}

/// Whether there is something to take off a backend whose session has gone.
pub fn is_due(backend: &Backend) -> bool {
    backend.label.map().contains_key(IDLE)
}

/// The setting may have changed from what it was in these settings: tells the data plane.
pub fn tell_limit(before: &Map, session: &Session, orders: &mut Orders<Work>) {
    let now = session.tracker.committed().map().get(IDLE);
    if before.get(IDLE) != now {
        orders.push(Order::IdleLimit(now.and_then(limit)));
    }
}

/// How long a value says; `None` for no bound, or if it cannot be read.
pub fn limit(value: &Value) -> Option<Duration> {
    let text = match value {
        Value::Literal(text) => &**text,
        Value::Sql(text) => match text.strip_prefix('\'') {
            Some(rest) => rest.strip_suffix('\'')?,
            None => text,
        },
    };
    let millis = millis(text)?;
    (millis > 0).then(|| Duration::from_millis(millis))
}

/// Milliseconds of a time as settings are given them, in milliseconds where there is no unit (`parse_int`).
fn millis(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+')));
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let factor = match unit.trim_start() {
        "us" => 0.001,
        "" | "ms" => 1.0,
        "s" => 1_000.0,
        "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        _ => return None,
    };
    let millis = (number.parse::<f64>().ok()? * factor).round_ties_even();
    (0.0..=f64::from(i32::MAX))
        .contains(&millis)
        .then_some(millis as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_server_reads_them() {
        let table = [
            ("5000", Some(5_000)),
            ("0", Some(0)),
            (" 90 s ", Some(90_000)),
            ("1.5min", Some(90_000)),
            ("2h", Some(7_200_000)),
            ("1d", Some(86_400_000)),
            ("1500us", Some(2)),
            ("500us", Some(0)),
            ("24.8d", Some(2_142_720_000)),
            ("25d", None),
            ("-1", None),
            ("5 S", None),
            ("soon", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(millis(text), expected, "{text}");
        }
    }

    #[test]
    fn values_are_numbers_and_texts() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(limit(&Value::Sql("1000".into())), second);
        assert_eq!(limit(&Value::Sql("'1s'".into())), second);
        assert_eq!(limit(&Value::Literal("1s".into())), second);
        assert_eq!(limit(&Value::Literal("0".into())), None);
    }
}
