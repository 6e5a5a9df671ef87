//! Reads the value out of names and text constants as the server would. What it cannot be sure of is `None`, and the
//! caller pins.

use super::lexer::{Kind, Token};

/// Longest name the server keeps (`NAMEDATALEN` - 1), in bytes.
const NAME_BYTES_MAX: usize = 63;

/// The name that `token` stands for: unquoted in lower case, quoted as written, cut to 63 bytes.
pub(super) fn name(text: &[u8], token: Token) -> Option<String> {
    let bytes = &text[token.range()];
    let name = match token.kind {
        Kind::Word => {
            let mut name = readable(bytes);
            name.make_ascii_lowercase();
            name
        }
        Kind::Quoted => readable(&bytes[1..bytes.len() - 1]).replace("\"\"", "\""),
        _ => return None,
    };
    Some(truncated(name))
}

/// The value of a text constant, if it is UTF-8 and written in one part without numeric escapes.
pub(super) fn text(text: &[u8], token: Token) -> Option<String> {
    let written = std::str::from_utf8(&text[token.range()]).ok()?;
    match token.kind {
        // `N'…'` is of the type bpchar, whose blanks at the end are lost on the way to text.
        _ if written.starts_with(['n', 'N']) => None,
        Kind::Text => unquoted(written),
        Kind::EscapedText => unescaped(written),
        Kind::DollarText => {
            let tag = written[1..].find('$')? + 2;
            Some(written[tag..written.len() - tag].to_owned())
        }
        _ => None,
    }
}

/// The bytes as characters; where they are not UTF-8, each byte as one, so that different names stay different.
fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

fn truncated(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    name
}

/// What stands between the quotes, prefix letter and all else removed; a text in several parts has bare quotes in it.
fn inner(written: &str) -> Option<&str> {
    written.split_once('\'')?.1.strip_suffix('\'')
}

fn unquoted(written: &str) -> Option<String> {
    let mut value = String::with_capacity(written.len());
    let mut characters = inner(written)?.chars();
    while let Some(character) = characters.next() {
        if character == '\'' && characters.next() != Some('\'') {
            return None;
        }
        value.push(character);
    }
    Some(value)
}

fn unescaped(written: &str) -> Option<String> {
    let mut value = String::with_capacity(written.len());
    let mut characters = inner(written)?.chars();
    while let Some(character) = characters.next() {
        let meant = match character {
            '\'' if characters.next() != Some('\'') => return None,
            '\\' => escaped(characters.next()?)?,
            plain => plain,
        };
        value.push(meant);
    }
    Some(value)
}

/// What a backslash and this character mean; numbers in octal, hexadecimal and Unicode are not read.
fn escaped(character: char) -> Option<char> {
    Some(match character {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        'x' | 'u' | 'U' | '0'..='7' => return None,
        itself => itself,
    })
}

#[cfg(test)]
mod tests {
    use super::super::lexer::Lexer;
    use super::*;

    fn first(sql: &str, read: fn(&[u8], Token) -> Option<String>) -> Option<String> {
        let token = Lexer::new(sql.as_bytes(), true).next();
        read(sql.as_bytes(), token)
    }

    #[test]
    fn names_fold_and_cut_as_the_server_does() {
        assert_eq!(first("Abc_É$1", name).as_deref(), Some("abc_É$1"));
        assert_eq!(first(r#""A ""b""""#, name).as_deref(), Some(r#"A "b""#));
        assert_eq!(
            first(&"x".repeat(80), name).map(|name| name.len()),
            Some(63)
        );
        assert_eq!(
            first(&"é".repeat(40), name).map(|name| name.len()),
            Some(62)
        );
        assert_eq!(first(r#"U&"\0061""#, name), None);
        assert_eq!(first("'text'", name), None);
    }

    #[test]
    fn text_is_read_in_each_of_its_forms() {
        assert_eq!(first("'it''s \\n'", text).as_deref(), Some("it's \\n"));
        assert_eq!(
            first("E'it\\'s ''a'' \\n\\\\'", text).as_deref(),
            Some("it's 'a' \n\\")
        );
        assert_eq!(first("$$a'b$$", text).as_deref(), Some("a'b"));
        assert_eq!(first("$tag$a$$b$tag$", text).as_deref(), Some("a$$b"));
        assert_eq!(first("''", text).as_deref(), Some(""));
    }

    #[test]
    fn text_that_takes_more_to_read_is_left_alone() {
        for sql in [
            "'a'\n'b'",
            "E'\\x41'",
            "E'\\u0041'",
            "E'\\101'",
            "U&'a'",
            "B'1'",
            "N'n '",
            "X'1F'",
            "word",
            "$1",
            "'''",
        ] {
            assert_eq!(first(sql, text), None, "{sql}");
        }
    }
}
