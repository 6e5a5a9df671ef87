//! The `options` startup parameter: command-line switches of a server process, as `pg_split_opts` (postinit.c) cuts them and
//! `process_postgres_switches` (postgres.c) reads them. Here they become settings: `-c name=value` and `--name=value`, and of the
//! one-letter switches those that stand for settings (reference page of `postgres`), also such as the database will refuse. Switches that
//! it takes from a client without any effect have none here; all others are refused in PostgreSQL's words.

use forebay_core::Refusal;

/// The settings in `options`, in order; names with `_` for `-`, as `ParseLongOption` (guc.c) makes them.
pub(super) fn settings(options: &str) -> Result<Vec<(String, String)>, Refusal> {
    let mut words = split(options).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        match word.strip_prefix('-') {
            Some("-") => {
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
    word: &str,
    switches: &str,
    words: &mut impl Iterator<Item = String>,
    settings: &mut Vec<(String, String)>,
) -> Result<(), Refusal> {
    for (at, switch) in switches.char_indices() {
        if let Some(set) = alone(switch) {
            settings.extend(set.map(|(name, value)| (name.to_owned(), value.to_owned())));
            continue;
        }
        if !TAKE_ARGUMENTS.contains(switch) {
            return Err(invalid(word));
        }
        let argument = match &switches[at + switch.len_utf8()..] {
            "" => words.next().ok_or_else(|| invalid(word))?,
            rest => rest.to_owned(),
        };
        if switch == 'd' {
            settings.extend(debug_switch(&argument));
        } else if !"CDrv".contains(switch) {
            settings.push(
                with_argument(switch, &argument).ok_or_else(|| match switch {
                    '-' => refused(format!("--{argument} requires a value")),
                    'c' => refused(format!("-c {argument} requires a value")),
                    _ => invalid(word),
                })?,
            );
        }
        break;
    }
    Ok(())
}

/// Switches that take the rest of their word, or the next word. Those of `CDrv` mean nothing when a client gives them.
const TAKE_ARGUMENTS: &str = "-BCcDdfhkNprStvW";

/// What a switch without an argument sets, if anything; `None` for one that takes an argument or does not exist.
fn alone(switch: char) -> Option<Option<(&'static str, &'static str)>> {
    match switch {
        'e' => Some(Some(("datestyle", "euro"))),
        'F' => Some(Some(("fsync", "false"))),
        'i' => Some(Some(("listen_addresses", "*"))),
        'l' => Some(Some(("ssl", "true"))),
        'O' => Some(Some(("allow_system_table_mods", "true"))),
        'P' => Some(Some(("ignore_system_indexes", "true"))),
        's' => Some(Some(("log_statement_stats", "true"))),
        'b' | 'E' | 'j' | 'n' | 'T' => Some(None),
        _ => None,
    }
}

/// `set_debug_options` (postgres.c): the higher, the more.
fn debug_switch(argument: &str) -> Vec<(String, String)> {
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
    let more = more.map(|(_, name, value)| ((*name).to_owned(), (*value).to_owned()));
    std::iter::once(("log_min_messages".to_owned(), messages))
        .chain(more)
        .collect()
}

/// C's `atoi` for what is no negative number: digits as far as they go.
fn leading_number(text: &str) -> u64 {
    let digits = text.trim_start_matches(is_space);
    let end = digits
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}

/// What a switch with an argument sets.
fn with_argument(switch: char, argument: &str) -> Option<(String, String)> {
    let (name, value) = match switch {
        '-' | 'c' => {
            let (name, value) = argument.split_once('=')?;
            return Some((name.replace('-', "_"), value.to_owned()));
        }
        'B' => ("shared_buffers", argument),
        'h' => ("listen_addresses", argument),
        'k' => ("unix_socket_directories", argument),
        'N' => ("max_connections", argument),
        'p' => ("port", argument),
        'S' => ("work_mem", argument),
        'W' => ("post_auth_delay", argument),
        'f' => (planner_switch(argument)?, "false"),
        't' => (statistics_switch(argument)?, "true"),
        _ => return None,
    };
    Some((name.to_owned(), value.to_owned()))
}

/// `set_plan_disabling_options` (postgres.c): the first letter counts.
fn planner_switch(argument: &str) -> Option<&'static str> {
    match argument.chars().next()? {
        's' => Some("enable_seqscan"),
        'i' => Some("enable_indexscan"),
        'o' => Some("enable_indexonlyscan"),
        'b' => Some("enable_bitmapscan"),
        't' => Some("enable_tidscan"),
        'n' => Some("enable_nestloop"),
        'm' => Some("enable_mergejoin"),
        'h' => Some("enable_hashjoin"),
        _ => None,
    }
}

/// `get_stats_option_name` (postgres.c): as many letters count as tell them apart.
fn statistics_switch(argument: &str) -> Option<&'static str> {
    match argument.as_bytes() {
        [b'p', b'a', ..] => Some("log_parser_stats"),
        [b'p', b'l', ..] => Some("log_planner_stats"),
        [b'e', ..] => Some("log_executor_stats"),
        _ => None,
    }
}

/// Words between white space; a backslash takes the next character as it is.
fn split(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut characters = options.chars().peekable();
    while let Some(&first) = characters.peek() {
        if is_space(first) {
            characters.next();
            continue;
        }
        let mut word = String::new();
        while let Some(next) = characters.next_if(|&next| !is_space(next)) {
            match next {
                '\\' => word.extend(characters.next()),
                _ => word.push(next),
            }
        }
        words.push(word);
    }
    words
}

/// C's `isspace`.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\x0b' | '\x0c' | '\r')
}

fn invalid(word: &str) -> Refusal {
    refused(format!(
        "invalid command-line argument for server process: {word}"
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
            assert_eq!(split(options), words, "{options:?}");
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
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect();
            assert_eq!(settings(options), Ok(expected), "{options:?}");
        }
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
                settings(options),
                Err(refused(text.to_owned())),
                "{options:?}"
            );
        }
    }
}
