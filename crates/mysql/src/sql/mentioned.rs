//! Which user variables a text speaks of: what to ask the server for once nobody can tell from the text what it has made of them.

use super::constant;
use super::dialect::Dialect;
use super::lexer::{Kind, Lexer};

/// Most names that are found.
const NAMES_MAX: usize = 64;

/// The names of user variables in a text, in lower case, each once. `None` if there are too many, or the text or one of them cannot be
/// read.
///
/// Names of accounts look like variables and are listed, too.
pub fn mentioned(sql: &[u8], dialect: Dialect) -> Option<Vec<String>> {
    let mut lexer = Lexer::new(sql, dialect);
    let mut names = Vec::new();
    loop {
        let token = lexer.next();
        match token.kind {
            Kind::End if lexer.trouble() => return None,
            Kind::End => return Some(names),
            Kind::User => {
                let name = constant::variable(sql, token)?;
                if !names.contains(&name) {
                    names.push(name);
                }
                if names.len() > NAMES_MAX {
                    return None;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dialect::Family;
    use super::*;

    #[test]
    fn variables_are_found_outside_texts_and_comments() {
        let found = |sql: &str| mentioned(sql.as_bytes(), Dialect::new(Family::MySql, 80000));
        assert_eq!(found("SELECT 1, '@a', @@b, `@c` -- @d"), Some(vec![]));
        assert_eq!(
            found("SELECT @A := @b, @'a' /*! , @c */ /* @d */"),
            Some(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()])
        );
        for sql in ["SELECT @`a b`", "SELECT @é", "SELECT @a, 'b"] {
            assert_eq!(found(sql), None, "{sql}");
        }
        let many: String = (0..100).map(|number| format!("@a{number},")).collect();
        assert_eq!(found(&many), None);
    }
}
