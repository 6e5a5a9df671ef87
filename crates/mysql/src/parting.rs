//! What a backend must not take along when its session parts with it: `wait_timeout` is about the client's silence, and a backend
//! between clients would be ended by it.
//!
//! While a session has a backend, the setting is there like any other, so that reading it tells what the client has set. It is taken off
//! again before the backend is given on, and the data plane is told how long the client may be silent without one.
//! (MySQL's documentation, "Server System Variables"; `interactive_timeout` only says what a connection's `wait_timeout` begins with.)

use crate::backend::Backend;
use crate::exchange::{Shape, Whose};
use crate::login_cache::Work;
use crate::session::Session;
use crate::tracking::text_of;
use crate::wire::write;
use forebay_core::orders::{Order, Orders};
use forebay_core::settings::Map;
use std::borrow::Cow;
use std::num::NonZeroU32;
use std::time::Duration;

/// The setting.
pub const IDLE: &str = "wait_timeout";

/// What servers have by themselves, in seconds: a backend that is to wait as long stays as it is.
const USUAL: u32 = 28_800;

/// Takes it off a backend that is otherwise ready to be given on. Whether that has to be waited for.
pub fn part(backend: &mut Backend, orders: &mut Orders<Work>) -> bool {
    if backend.waits_as_usual || limit(backend.label.map()).is_none() {
        return false;
    }
    backend.waits_as_usual = true;
    backend.holding = true;
    backend.last = None;
    backend.has_counts = false;
    backend.exchange.push(Whose::Parting, Shape::Simple);
    orders.to_backend(|out| write::query(out, b"SET @@session.wait_timeout=DEFAULT"));
    true
}

/// The session's settings may have changed: tells the data plane how long it may be silent.
pub fn tell_limit(session: &mut Session, orders: &mut Orders<Work>) {
    let limit = limit(session.settings.map());
    if session.idle_limit != limit {
        session.idle_limit = limit;
        let limit = limit.map(|seconds| Duration::from_secs(u64::from(seconds.get())));
        orders.push(Order::IdleLimit(limit));
    }
}

/// The settings that a backend of this label holds.
pub fn held(backend: &Backend) -> Cow<'_, Map> {
    let map = backend.label.map();
    if !backend.waits_as_usual {
        return Cow::Borrowed(map);
    }
    let mut map = map.clone();
    map.remove(IDLE);
    Cow::Owned(map)
}

/// For how many seconds a session of these settings may be silent, where that is less than usual. A server that is told 0 takes it for 1.
fn limit(settings: &Map) -> Option<NonZeroU32> {
    let seconds: u32 = text_of(settings.get(IDLE)?).parse().ok()?;
    NonZeroU32::new(seconds.max(1)).filter(|seconds| seconds.get() < USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_core::settings::Value;

    #[test]
    fn only_what_is_shorter_than_usual_bounds_a_silence() {
        for (text, seconds) in [
            ("7", Some(7)),
            ("0", Some(1)),
            ("28799", Some(28_799)),
            ("28800", None),
            ("2147483", None),
            ("-1", None),
            ("soon", None),
        ] {
            let map = Map::from([(IDLE.into(), Value::Sql(text.into()))]);
            assert_eq!(limit(&map), seconds.and_then(NonZeroU32::new), "{text}");
        }
        assert_eq!(limit(&Map::new()), None);
    }
}
