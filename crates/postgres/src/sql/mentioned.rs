//! Which settings a text speaks of that no server lists: those with a dot in their names.

use super::lexer::{Kind, Lexer};
use super::words::keys;

/// Most names that are found.
const NAMES_MAX: usize = 32;

/// Everything in a text, in quotes or not, that could be the name of a setting with a dot, in lower case. `None` when the text may set one
/// whose name is made only when it runs.
pub fn mentioned(sql: &[u8], standard_conforming_strings: bool) -> Option<Vec<String>> {
    let mut lexer = Lexer::new(sql, standard_conforming_strings);
    loop {
        let token = lexer.next();
        match token.kind {
            Kind::End => break,
            Kind::Word if lexer.key(token) == keys::SET_CONFIG && !names_constant(lexer) => {
                return None;
            }
            _ => {}
        }
    }
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

/// Whether `(` and a constant come next.
fn names_constant(mut lexer: Lexer<'_>) -> bool {
    let open = lexer.next();
    let name = lexer.next();
    let text = matches!(name.kind, Kind::Text | Kind::EscapedText | Kind::DollarText);
    open.kind == Kind::Open && text && lexer.next().kind == Kind::Comma
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
