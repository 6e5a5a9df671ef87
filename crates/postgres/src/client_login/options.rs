//! The `options` startup parameter: command-line switches of a server process, as `pg_split_opts` (postinit.c) cuts them and
//! `process_postgres_switches` (postgres.c) reads them. Only switches that set a parameter are taken: `-c name=value`,
//! `-cname=value` and `--name=value`; the historic one-letter switches are refused in PostgreSQL's words.

use forebay_core::Refusal;

/// The settings in `options`, in order; names with `_` for `-`, as `ParseLongOption` (guc.c) makes them.
pub(super) fn settings(options: &str) -> Result<Vec<(String, String)>, Refusal> {
    let mut words = split(options).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let (switch, setting) = match word.as_str() {
            "--" => {
                return words
                    .next()
                    .map_or(Ok(settings), |word| Err(invalid(&word)));
            }
            "-c" => ("-c ", words.next().ok_or_else(|| invalid(&word))?),
            _ if word.starts_with("-c") => ("-c ", word[2..].to_owned()),
            _ if word.starts_with("--") => ("--", word[2..].to_owned()),
            _ => return Err(invalid(&word)),
        };
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| refused(format!("{switch}{setting} requires a value")))?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
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
        let cases: [(&str, &[&str]); 7] = [
            ("", &[]),
            (" \t\n", &[]),
            ("a  b", &["a", "b"]),
            (r"a\ b c", &["a b", "c"]),
            (r"a\\b", &[r"a\b"]),
            (r"a\", &["a"]),
            (r"\", &[""]),
        ];
        for (options, words) in cases {
            assert_eq!(split(options), words, "{options:?}");
        }
    }

    #[test]
    fn all_three_spellings_set_a_parameter() {
        let read = settings(r"-c geqo=off -cwork-mem=1MB --search-path=a,\ b --x.y==");
        let expected = [
            ("geqo", "off"),
            ("work_mem", "1MB"),
            ("search_path", "a, b"),
            ("x.y", "="),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read, Ok(expected.to_vec()));
        assert_eq!(
            settings("-c a=b --"),
            Ok(vec![("a".to_owned(), "b".to_owned())])
        );
    }

    #[test]
    fn anything_else_is_refused_in_the_words_of_postgresql() {
        let cases = [
            ("-e", "invalid command-line argument for server process: -e"),
            ("-c", "invalid command-line argument for server process: -c"),
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
