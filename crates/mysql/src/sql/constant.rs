//! Reads the value out of names and text constants as the server would. What it cannot be sure of is `None`, and the
//! caller falls back to doubt.

use super::dialect::{Charset, Dialect};
use super::lexer::{Kind, Token};
use super::scan::unquoted;

/// The name that `token` stands for, as written; whether its case counts depends on what it names.
pub(super) fn name(text: &[u8], token: Token, dialect: Dialect) -> Option<String> {
    let bytes = &text[token.range()];
    if !bytes.is_ascii() && dialect.charset != Charset::Utf8 {
        return None;
    }
    let written = std::str::from_utf8(bytes).ok()?;
    match token.kind {
        Kind::Word => Some(written.to_owned()),
        Kind::Quoted => {
            let quote = &written[..1];
            let inner = &written[1..written.len() - 1];
            Some(inner.replace(&quote.repeat(2), quote))
        }
        _ => None,
    }
}

/// A name that is the same in whatever case and character set it is written, in lower case.
pub(super) fn folded(mut name: String) -> Option<String> {
    let good = name.is_ascii() && !name.is_empty() && !name.ends_with(' ');
    name.make_ascii_lowercase();
    good.then_some(name)
}

/// Whether a name needs no quotes anywhere, dots aside.
pub(super) fn is_simple(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$'))
}

/// The name of the user variable that `token` stands for, in lower case, if it is a simple one.
pub(super) fn variable(text: &[u8], token: Token) -> Option<String> {
    let written = std::str::from_utf8(&text[token.range()][1..]).ok()?;
    let inner = match written.as_bytes() {
        [b'\'', inner @ .., b'\''] => inner,
        bytes => unquoted(bytes),
    };
    let mut name = std::str::from_utf8(inner).ok()?.to_owned();
    name.make_ascii_lowercase();
    is_simple(&name).then_some(name)
}

/// The value of a text constant, if it is one without a prefix and sure to be the same characters to the server.
pub(super) fn text(text: &[u8], token: Token, dialect: Dialect) -> Option<String> {
    let bytes = &text[token.range()];
    if token.kind != Kind::Text || (!bytes.is_ascii() && dialect.charset != Charset::Utf8) {
        return None;
    }
    let written = std::str::from_utf8(bytes).ok()?;
    let quote = written.chars().next()?;
    if !matches!(quote, '\'' | '"') {
        return None;
    }
    let escapes = !dialect.modes.no_backslash_escapes;
    let mut value = String::with_capacity(written.len());
    let mut characters = written[1..written.len() - 1].chars();
    while let Some(character) = characters.next() {
        if character == quote {
            characters.next();
        }
        if character == '\\' && escapes {
            escaped(characters.next()?, &mut value);
        } else {
            value.push(character);
        }
    }
    Some(value)
}

/// What a backslash and this character mean.
fn escaped(character: char, value: &mut String) {
    if matches!(character, '%' | '_') {
        // Kept for LIKE.
        value.push('\\');
    }
    value.push(match character {
        '0' => '\0',
        'b' => '\u{8}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'Z' => '\u{1a}',
        itself => itself,
    });
}

#[cfg(test)]
mod tests {
    use super::super::dialect::{Family, Modes};
    use super::super::lexer::Lexer;
    use super::*;

    fn dialect() -> Dialect {
        Dialect::new(Family::MySql, 80000)
    }

    fn token_of(sql: &str, dialect: Dialect) -> Token {
        Lexer::new(sql.as_bytes(), dialect).next()
    }

    fn text_of(sql: &str, dialect: Dialect) -> Option<String> {
        text(sql.as_bytes(), token_of(sql, dialect), dialect)
    }

    fn name_of(sql: &str, dialect: Dialect) -> Option<String> {
        name(sql.as_bytes(), token_of(sql, dialect), dialect)
    }

    #[test]
    fn names_are_read_with_and_without_quotes() {
        assert_eq!(name_of("Abc_É$1", dialect()).as_deref(), Some("Abc_É$1"));
        assert_eq!(name_of("`A ``b\"`", dialect()).as_deref(), Some("A `b\""));
        assert_eq!(name_of("\"a\"", dialect()), None);
        let mut ansi = dialect();
        ansi.modes = Modes::of_sql_mode("ANSI_QUOTES");
        assert_eq!(name_of("\"a\"\"b`\"", ansi).as_deref(), Some("a\"b`"));
        let mut latin1 = dialect();
        latin1.charset = Charset::AsciiSafe;
        assert_eq!(name_of("`é`", latin1), None);
    }

    #[test]
    fn text_is_read_by_the_modes() {
        assert_eq!(
            text_of(r"'it''s \'a\' \n\\\%'", dialect()).as_deref(),
            Some("it's 'a' \n\\\\%")
        );
        assert_eq!(
            text_of("\"it's \"\"a\"\"\"", dialect()).as_deref(),
            Some("it's \"a\"")
        );
        let mut plain = dialect();
        plain.modes.no_backslash_escapes = true;
        assert_eq!(text_of(r"'a\n\'", plain).as_deref(), Some(r"a\n\"));
        for sql in ["N'a'", "x'41'", "1", "a"] {
            assert_eq!(text_of(sql, dialect()), None, "{sql}");
        }
    }

    #[test]
    fn user_variables_are_read_in_each_of_their_forms() {
        for (sql, expected) in [
            ("@Abc.d$1_", Some("abc.d$1_")),
            ("@`Abc`", Some("abc")),
            ("@'Abc'", Some("abc")),
            ("@\"Abc\"", Some("abc")),
            ("@'a b'", None),
            ("@é", None),
            ("@", None),
        ] {
            let token = token_of(sql, dialect());
            assert_eq!(
                variable(sql.as_bytes(), token).as_deref(),
                expected,
                "{sql}"
            );
        }
    }
}
