//! The `options` startup parameter: command-line switches of a server process, as `pg_split_opts` (postinit.c) cuts them and
//! `process_postgres_switches` (postgres.c) reads them. Here they become settings: `-c name=value` and `--name=value`, and of the
//! one-letter switches those that stand for settings (reference page of `postgres`), also such as the database will refuse. Switches that
//! it takes from a client without any effect have none here; all others are refused in PostgreSQL's words.

use forebay_core::Refusal;
use forebay_core::engine::StartupParameters;
use memchr::memchr;
use std::borrow::Cow;

/// The settings in `options`, in order; names with `_` for `-`, as `ParseLongOption` (guc.c) makes them.
pub(super) fn settings(options: &[u8]) -> Result<StartupParameters, Refusal> {
    let mut words = split(options).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        match word.strip_prefix(b"-") {
            Some(b"-") => {
                return words
                    .next()
                    .map_or(Ok(settings), |word| Err(invalid(&word)));
            }
            Some(switches) if !switches.is_empty() => {
                read(&word, switches, &mut words, &mut settings)?
            }
            _ => return Err(invalid(&word)),
        }
    }
    Ok(settings)
}

/// Reads one word of switches: any that stand alone, then at most one that takes the rest of the word, or the next word.
fn read(
    word: &[u8],
    switches: &[u8],
    words: &mut impl Iterator<Item = Vec<u8>>,
    settings: &mut StartupParameters,
) -> Result<(), Refusal> {
    for (at, &switch) in switches.iter().enumerate() {
        if let Some(set) = alone(switch) {
            settings.extend(set.map(|(name, value)| (name.into(), value.into())));
            continue;
        }
        if !TAKE_ARGUMENTS.contains(&switch) {
            return Err(invalid(word));
        }
        let argument = match &switches[at + 1..] {
            [] => words.next().ok_or_else(|| invalid(word))?,
            rest => rest.to_owned(),
        };
        if switch == b'd' {
            settings.extend(debug_switch(&argument));
        } else if !b"CDrv".contains(&switch) {
            settings.push(
                with_argument(switch, &argument).ok_or_else(|| match switch {
                    b'-' => refused(format!("--{} requires a value", shown(&argument))),
                    b'c' => refused(format!("-c {} requires a value", shown(&argument))),
                    _ => invalid(word),
                })?,
            );
        }
        break;
    }
    Ok(())
}

/// Switches that take the rest of their word, or the next word. Those of `CDrv` mean nothing when a client gives them.
const TAKE_ARGUMENTS: &[u8] = b"-BCcDdfhkNprStvW";

/// What a switch without an argument sets, if anything; `None` for one that takes an argument or does not exist.
fn alone(switch: u8) -> Option<Option<(&'static str, &'static str)>> {
    match switch {
        b'e' => Some(Some(("datestyle", "euro"))),
        b'F' => Some(Some(("fsync", "false"))),
        b'i' => Some(Some(("listen_addresses", "*"))),
        b'l' => Some(Some(("ssl", "true"))),
        b'O' => Some(Some(("allow_system_table_mods", "true"))),
        b'P' => Some(Some(("ignore_system_indexes", "true"))),
        b's' => Some(Some(("log_statement_stats", "true"))),
        b'b' | b'E' | b'j' | b'n' | b'T' => Some(None),
        _ => None,
    }
}

/// `set_debug_options` (postgres.c): the higher, the more.
fn debug_switch(argument: &[u8]) -> StartupParameters {
    let level = leading_number(argument);
    let messages = if level > 0 {
        format!("debug{level}")
    } else {
        "notice".to_owned()
    };
    let more = [
        (2, "log_statement", "all"),
        (3, "debug_print_parse", "true"),
        (4, "debug_print_plan", "true"),
        (5, "debug_print_rewritten", "true"),
    ];
    let more = more.iter().filter(|(at_least, ..)| level >= *at_least);
    let more = more.map(|(_, name, value)| ((*name).into(), (*value).into()));
    std::iter::once(("log_min_messages".into(), messages.into_bytes()))
        .chain(more)
        .collect()
}

/// C's `atoi` for what is no negative number: digits as far as they go.
fn leading_number(text: &[u8]) -> u64 {
    let digits = text.iter().skip_while(|&&byte| is_space(byte));
    let digits = digits.take_while(|byte| byte.is_ascii_digit());
    let number = digits.map(|&byte| char::from(byte)).collect::<String>();
    number.parse().unwrap_or(0)
}

/// What a switch with an argument sets.
fn with_argument(switch: u8, argument: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (name, value) = match switch {
        b'-' | b'c' => {
            let at = memchr(b'=', argument)?;
            let named = |&byte: &u8| if byte == b'-' { b'_' } else { byte };
            let name = argument[..at].iter().map(named);
            return Some((name.collect(), argument[at + 1..].to_vec()));
        }
        b'B' => ("shared_buffers", argument),
        b'h' => ("listen_addresses", argument),
        b'k' => ("unix_socket_directories", argument),
        b'N' => ("max_connections", argument),
        b'p' => ("port", argument),
        b'S' => ("work_mem", argument),
        b'W' => ("post_auth_delay", argument),
        b'f' => (planner_switch(argument)?, b"false".as_slice()),
        b't' => (statistics_switch(argument)?, b"true".as_slice()),
        _ => return None,
    };
    Some((name.into(), value.to_vec()))
}

/// `set_plan_disabling_options` (postgres.c): the first letter counts.
fn planner_switch(argument: &[u8]) -> Option<&'static str> {
    match argument.first()? {
        b's' => Some("enable_seqscan"),
        b'i' => Some("enable_indexscan"),
        b'o' => Some("enable_indexonlyscan"),
        b'b' => Some("enable_bitmapscan"),
        b't' => Some("enable_tidscan"),
        b'n' => Some("enable_nestloop"),
        b'm' => Some("enable_mergejoin"),
        b'h' => Some("enable_hashjoin"),
        _ => None,
    }
}

/// `get_stats_option_name` (postgres.c): as many letters count as tell them apart.
fn statistics_switch(argument: &[u8]) -> Option<&'static str> {
    match argument {
        [b'p', b'a', ..] => Some("log_parser_stats"),
        [b'p', b'l', ..] => Some("log_planner_stats"),
        [b'e', ..] => Some("log_executor_stats"),
        _ => None,
    }
}

/// Words between white space; a backslash takes the next character as it is.
fn split(options: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut bytes = options.iter().copied().peekable();
    while let Some(&first) = bytes.peek() {
        if is_space(first) {
            bytes.next();
            continue;
        }
        let mut word = Vec::new();
        while let Some(next) = bytes.next_if(|&next| !is_space(next)) {
            match next {
                b'\\' => word.extend(bytes.next()),
                _ => word.push(next),
            }
        }
        words.push(word);
    }
    words
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\x0b' | b'\x0c' | b'\r')
}

fn shown(word: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(word)
}

fn invalid(word: &[u8]) -> Refusal {
    refused(format!(
        "invalid command-line argument for server process: {}",
        shown(word)
    ))
}

fn refused(message: String) -> Refusal {
    Refusal::SettingRefused {
        code: "42601".into(),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_white_space_unless_it_is_escaped() {
        let cases: [(&str, &[&str]); 8] = [
            ("", &[]),
            (" \t\n", &[]),
            ("a  b", &["a", "b"]),
            (r"a\ b c", &["a b", "c"]),
            (r"\ a", &[" a"]),
            (r"a\\b", &[r"a\b"]),
            (r"a\", &["a"]),
            (r"\", &[""]),
        ];
        for (options, words) in cases {
            let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
            assert_eq!(split(options.as_bytes()), words, "{options:?}");
        }
    }

    /// Outcomes of PostgreSQL 18.6, less what has no counterpart here.
    #[test]
    fn switches_become_settings() {
        type Pairs<'a> = &'a [(&'a str, &'a str)];
        let cases: [(&str, Pairs<'_>); 13] = [
            ("-c geqo=off", &[("geqo", "off")]),
            ("-cwork-mem=1MB", &[("work_mem", "1MB")]),
            (
                r"--search-path=a,\ b --x.y==",
                &[("search_path", "a, b"), ("x.y", "=")],
            ),
            ("-c a=b --", &[("a", "b")]),
            ("-e", &[("datestyle", "euro")]),
            (
                "-esc a=b",
                &[
                    ("datestyle", "euro"),
                    ("log_statement_stats", "true"),
                    ("a", "b"),
                ],
            ),
            ("-S 100 -S200", &[("work_mem", "100"), ("work_mem", "200")]),
            (
                "-W3 -B 100",
                &[("post_auth_delay", "3"), ("shared_buffers", "100")],
            ),
            ("-jEbnT -C x -v3 -D /x -F", &[("fsync", "false")]),
            ("-d 0 -dx", &[("log_min_messages", "notice"); 2]),
            (
                "-d 3",
                &[
                    ("log_min_messages", "debug3"),
                    ("log_statement", "all"),
                    ("debug_print_parse", "true"),
                ],
            ),
            (
                "-fs -f hashjoin",
                &[("enable_seqscan", "false"), ("enable_hashjoin", "false")],
            ),
            (
                "-tpa -t e -OP",
                &[
                    ("log_parser_stats", "true"),
                    ("log_executor_stats", "true"),
                    ("allow_system_table_mods", "true"),
                    ("ignore_system_indexes", "true"),
                ],
            ),
        ];
        for (options, expected) in cases {
            let expected: Vec<_> = expected
                .iter()
                .map(|(name, value)| (Vec::from(*name), Vec::from(*value)))
                .collect();
            assert_eq!(settings(options.as_bytes()), Ok(expected), "{options:?}");
        }
    }

    #[test]
    fn bytes_of_any_encoding_stay_as_they_are() {
        let expected = vec![(b"x.caf\xe9".to_vec(), b"\xa0 \xff".to_vec())];
        assert_eq!(settings(b"-c x.caf\xe9=\xa0\\ \xff"), Ok(expected));
    }

    #[test]
    fn anything_else_is_refused_in_the_words_of_postgresql() {
        let cases = [
            (
                "-x foo",
                "invalid command-line argument for server process: -x",
            ),
            ("-", "invalid command-line argument for server process: -"),
            ("-c", "invalid command-line argument for server process: -c"),
            ("-f", "invalid command-line argument for server process: -f"),
            (
                "-fz",
                "invalid command-line argument for server process: -fz",
            ),
            (
                "-tx",
                "invalid command-line argument for server process: -tx",
            ),
            (
                "-eü",
                "invalid command-line argument for server process: -eü",
            ),
            (
                "name=value",
                "invalid command-line argument for server process: name=value",
            ),
            (
                "-- x",
                "invalid command-line argument for server process: x",
            ),
            ("-c geqo", "-c geqo requires a value"),
            ("--geqo", "--geqo requires a value"),
        ];
        for (options, text) in cases {
            assert_eq!(
                settings(options.as_bytes()),
                Err(refused(text.to_owned())),
                "{options:?}"
            );
        }
    }
}
