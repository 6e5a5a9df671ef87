//! Which settings a text speaks of that no server lists: those with a dot in their names.

use super::lexer::{Kind, Lexer};
use super::words::keys;

/// Most names that are found.
const NAMES_MAX: usize = 32;

/// How a call of `set_config` names its setting.
enum Named {
    /// By a constant, or by the column of `pg_settings`, where those with a dot are listed that exist without being set.
    Said,
    /// By the parameter of this number.
    Parameter(usize),
    /// Somehow else.
    Otherwise,
}

/// Everything in a text, in quotes or not, that could be the name of a setting with a dot, in lower case. `None` when the text may set one
/// whose name is made only when it runs.
pub fn mentioned(sql: &[u8], standard_conforming_strings: bool) -> Option<Vec<String>> {
    match parameters_that_name(sql, standard_conforming_strings)?.as_slice() {
        [] => written(sql),
        _ => None,
    }
}

/// The same of a text whose parameters have these values, as far as they name settings.
pub fn mentioned_with(
    sql: &[u8],
    standard_conforming_strings: bool,
    value: impl Fn(usize) -> Option<String>,
) -> Option<Vec<String>> {
    let parameters = parameters_that_name(sql, standard_conforming_strings)?;
    let mut names = written(sql)?;
    for number in parameters {
        let name = value(number)?.to_ascii_lowercase();
        if name.contains('.') && !names.contains(&name) {
            names.push(name);
        }
    }
    Some(names)
}

/// The numbers of the parameters that name settings which a text sets. `None` when one is named otherwise.
pub fn parameters_that_name(sql: &[u8], standard_conforming_strings: bool) -> Option<Vec<usize>> {
    let mut lexer = Lexer::new(sql, standard_conforming_strings);
    let mut numbers = Vec::new();
    loop {
        let token = lexer.next();
        match token.kind {
            Kind::End => return Some(numbers),
            Kind::Word if lexer.key(token) == keys::SET_CONFIG => match named(lexer, sql) {
                Named::Said => {}
                Named::Parameter(number) => numbers.push(number),
                Named::Otherwise => return None,
            },
            _ => {}
        }
    }
}

fn written(sql: &[u8]) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for name in dotted(sql) {
        if names.len() >= NAMES_MAX {
            return None;
        }
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Some(names)
}

/// What comes next of a call: `(`, a name and a comma.
fn named(mut lexer: Lexer<'_>, sql: &[u8]) -> Named {
    let open = lexer.next();
    let name = lexer.next();
    let mut behind = lexer.next();
    if behind.kind == Kind::Typecast {
        lexer.next();
        behind = lexer.next();
    }
    if open.kind != Kind::Open || behind.kind != Kind::Comma {
        return Named::Otherwise;
    }
    match name.kind {
        Kind::Text | Kind::EscapedText | Kind::DollarText => Named::Said,
        Kind::Parameter => {
            let digits = std::str::from_utf8(&sql[name.range()][1..]);
            let number = digits.ok().and_then(|digits| digits.parse().ok());
            number.map_or(Named::Otherwise, Named::Parameter)
        }
        Kind::Word if sql[name.range()].eq_ignore_ascii_case(b"name") && reads_settings(lexer) => {
            Named::Said
        }
        _ => Named::Otherwise,
    }
}

/// Whether all that comes behind is read from `pg_settings` alone.
fn reads_settings(mut lexer: Lexer<'_>) -> bool {
    let mut reads = false;
    loop {
        let token = lexer.next();
        let is = |token, word: &[u8]| lexer.bytes(token).eq_ignore_ascii_case(word);
        if token.kind == Kind::End {
            return reads;
        }
        if token.kind != Kind::Word || !is(token, b"from") {
            continue;
        }
        let mut of = lexer.next();
        if lexer.bytes(of).eq_ignore_ascii_case(b"pg_catalog") {
            lexer.next();
            of = lexer.next();
        }
        let table = lexer.bytes(of).eq_ignore_ascii_case(b"pg_settings");
        let behind = lexer.next();
        let ends = behind.ends_statement() || lexer.bytes(behind).eq_ignore_ascii_case(b"where");
        if reads || !table || !ends {
            return false;
        }
        reads = true;
        if behind.kind == Kind::End {
            return true;
        }
    }
}

/// Names of two parts or more, whatever stands around them.
fn dotted(sql: &[u8]) -> impl Iterator<Item = String> {
    let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'.');
    sql.split(move |byte| !in_name(byte))
        .filter(|run| run.contains(&b'.'))
        .filter(|run| {
            run.split(|byte| *byte == b'.').all(|part| {
                part.first()
                    .is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
            })
        })
        .map(|run| String::from_utf8_lossy(run).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sql: &str) -> Option<Vec<String>> {
        mentioned(sql.as_bytes(), true)
    }

    #[test]
    fn names_with_a_dot_are_found_wherever_they_stand() {
        for sql in [
            "select set_config('App.User', $1, false)",
            "set local app.user to something(1)",
            "do $$ begin perform set_config('app.user', 'x', false); end $$",
            "select app_login('app.user'), 1.5, .5, x.*",
        ] {
            assert_eq!(names(sql), Some(vec!["app.user".to_owned()]), "{sql}");
        }
        assert_eq!(names("select 1"), Some(vec![]));
    }

    #[test]
    fn values_of_parameters_are_names_too() {
        let value = |number: usize| (number == 2).then(|| "App.User".to_owned());
        let with = |sql: &str| mentioned_with(sql.as_bytes(), true, value);
        let names = Some(vec!["app.user".to_owned()]);
        assert_eq!(with("select set_config($2, $1, false)"), names);
        assert_eq!(with("select set_config($2::text, $1, false)"), names);
        assert_eq!(with("select set_config($1, $2, false)"), None);
        assert_eq!(with("select set_config('a.' || $2, 'x', false)"), None);
    }

    #[test]
    fn what_the_server_lists_need_not_be_named() {
        let listed = "SELECT set_config(name, 'view, foreign-table', false) FROM pg_settings WHERE name = 'x'";
        assert_eq!(names(listed), Some(vec![]));
        let listed = "select pg_catalog.set_config(name, '', false) from pg_catalog.pg_settings";
        assert_eq!(
            names(listed),
            Some(vec![
                "pg_catalog.set_config".to_owned(),
                "pg_catalog.pg_settings".to_owned()
            ])
        );
        for sql in [
            "select set_config(name, '', false) from pg_settings, t",
            "select set_config(name, '', false) from pg_settings join t on true",
            "select set_config(name, '', false) from t, (select 1 from pg_settings) s",
            "select set_config(name, '', false) from t where exists (select from pg_settings)",
        ] {
            assert_eq!(names(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_name_that_is_made_when_the_text_runs_is_not_known() {
        for sql in [
            "select set_config($1, $2, false)",
            "select set_config('a.' || x, 'y', false) from t",
            "select pg_catalog.set_config(name, value, false) from t",
        ] {
            assert_eq!(names(sql), None, "{sql}");
        }
    }

    #[test]
    fn a_text_that_speaks_of_very_many_names_says_nothing() {
        let many: Vec<_> = (0..100).map(|number| format!("a.b{number}")).collect();
        assert_eq!(names(&many.join(" ")), None);
    }
}
