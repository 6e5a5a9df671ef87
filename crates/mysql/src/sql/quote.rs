//! Writes names and values into SQL so that the server reads back exactly what was meant, whatever its modes and the connection's
//! character set.

/// `name` as an identifier in backticks, which no mode takes for anything else. Quoting always allows reserved words.
///
/// The server refuses names that are empty, hold a NUL or end in a blank; that is left to the caller.
pub fn quote_identifier(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('`');
    for character in name.chars() {
        if character == '`' {
            quoted.push('`');
        }
        quoted.push(character);
    }
    quoted.push('`');
    quoted
}

/// `value` as a text constant. `None` for what some mode or character set would read otherwise: backslashes, control characters
/// and all beyond ASCII.
pub fn quote_literal(value: &str) -> Option<String> {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('\'');
    for character in value.chars() {
        match character {
            '\\' => return None,
            '\'' => quoted.push_str("''"),
            ' '..='~' => quoted.push(character),
            _ => return None,
        }
    }
    quoted.push('\'');
    Some(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_double_their_quotes() {
        assert_eq!(quote_identifier("a"), "`a`");
        assert_eq!(quote_identifier("A `b`; é\""), "`A ``b``; é\"`");
    }

    #[test]
    fn literals_double_their_quotes_and_hold_nothing_that_is_read_in_two_ways() {
        assert_eq!(quote_literal("").as_deref(), Some("''"));
        assert_eq!(
            quote_literal("it's \"a\"").as_deref(),
            Some("'it''s \"a\"'")
        );
        for value in ["a\\", "é", "a\nb", "\0", "\u{7f}"] {
            assert_eq!(quote_literal(value), None, "{value:?}");
        }
    }
}
