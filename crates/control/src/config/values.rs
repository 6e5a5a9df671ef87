//! The small grammars of the configuration: names, durations, addresses; and which keys must not be repeated in messages.

use std::ops::RangeInclusive;
use std::time::Duration;

/// What [`is_name`] asks for (RDS: `[a-zA-Z](?:-?[a-zA-Z0-9]+)*`, 1 to 63 characters).
pub(crate) const NAME_RULE: &str = "must be 1 to 63 ASCII letters, digits and single hyphens, a letter first, no hyphen at the end";

/// How addresses are written.
pub(crate) const ADDRESS_RULE: &str =
    "an IP address and port such as \"127.0.0.1:6432\" or \"[::]:6432\"";

/// Longest database user name we take (RDS: `UserName`).
pub(crate) const USER_CHARS_MAX: usize = 128;

/// Whether RDS would take `text` as the name of a proxy or an endpoint.
pub(crate) fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes[0].is_ascii_alphabetic()
        && !text.ends_with('-')
        && !text.contains("--")
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// Whether a database user name can be sent in the protocol at all: neither empty nor with a NUL, and of a sane length.
pub(crate) fn is_user(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= USER_CHARS_MAX && !text.contains('\0')
}

/// Whether `text` can be a host name or an address; only what could never be one is refused.
pub(crate) fn is_host(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte))
}

/// Reads `90`, `90s`, `30m`, `24h` or `500ms`; a bare number counts seconds.
pub fn duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let seconds = match &text[digits..] {
        "ms" => return Some(Duration::from_millis(number)),
        "" | "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => None,
    };
    seconds.map(Duration::from_secs)
}

/// "must be 1s to 8h …".
pub(crate) fn duration_rule(range: &RangeInclusive<Duration>) -> String {
    format!(
        "must be {} to {}, in whole seconds or as \"500ms\", \"90s\", \"30m\", \"24h\"",
        shown(*range.start()),
        shown(*range.end())
    )
}

/// A duration in the largest unit that shows it exactly.
pub(crate) fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() > 0 {
        format!("{}ms", duration.as_millis())
    } else if seconds > 0 && seconds.is_multiple_of(3600) {
        format!("{}h", seconds / 3600)
    } else if seconds > 0 && seconds.is_multiple_of(60) {
        format!("{}m", seconds / 60)
    } else {
        format!("{seconds}s")
    }
}

/// Whether a key's value may be a secret (RDS counts `InitQuery` among them).
pub(crate) fn is_sensitive(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key);
    matches!(last, "password" | "init_query")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_pattern_of_rds() {
        for name in ["a", "orders", "A-1", "a1-b2-c3", &"x".repeat(63)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "1a", "-a", "a-", "a--b", "a_b", "ä", &"x".repeat(64)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn durations_have_a_unit_or_count_seconds() {
        let table = [
            ("90", Some(90_000)),
            ("90s", Some(90_000)),
            ("30m", Some(1_800_000)),
            ("24h", Some(86_400_000)),
            ("500ms", Some(500)),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1 s", None),
            ("1d", None),
            ("18446744073709551615h", None),
            ("99999999999999999999s", None),
        ];
        for (text, millis) in table {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_in_their_largest_exact_unit() {
        let table = [(0, "0s"), (500, "500ms"), (1_000, "1s"), (90_000, "90s")];
        for (millis, text) in table {
            assert_eq!(shown(Duration::from_millis(millis)), text);
        }
        assert_eq!(shown(Duration::from_secs(1800)), "30m");
        assert_eq!(shown(Duration::from_secs(28_800)), "8h");
    }
}
