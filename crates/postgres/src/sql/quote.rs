//! Writes names and values into SQL so that the server reads back exactly what was meant, whatever its settings.

/// `name` as an identifier in double quotes. Quoting always keeps case and allows keywords.
///
/// The server refuses names that are empty or hold a NUL, and cuts those over 63 bytes; that is left to the caller.
pub fn quote_identifier(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for character in name.chars() {
        if character == '"' {
            quoted.push('"');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// `value` as a text constant: `'…'`, or `E'…'` if it holds a backslash, so that it does not depend on
/// standard_conforming_strings.
pub fn quote_literal(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 3);
    if value.contains('\\') {
        quoted.push('E');
    }
    quoted.push('\'');
    for character in value.chars() {
        if matches!(character, '\'' | '\\') {
            quoted.push(character);
        }
        quoted.push(character);
    }
    quoted.push('\'');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_double_their_quotes() {
        assert_eq!(quote_identifier("a"), r#""a""#);
        assert_eq!(quote_identifier(r#"A "b"; é"#), r#""A ""b""; é""#);
        assert_eq!(quote_identifier(r"a\b"), r#""a\b""#);
    }

    #[test]
    fn literals_double_their_quotes_and_escape_backslashes() {
        assert_eq!(quote_literal(""), "''");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"a\'b"), r"E'a\\''b'");
    }
}
