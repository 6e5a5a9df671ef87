//! The server's reading of SQL: the few statements that programs and the proxy write, under the modes of the session.
//!
//! Not a parser of SQL: what it does not know is error 1064, which a program then reports as a violation.

/// How texts are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Modes {
    /// `"` quotes names.
    pub(super) ansi_quotes: bool,
    /// `\` is a character like others.
    pub(super) no_backslash_escapes: bool,
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word, in lower case.
    Word(String),
    /// A quoted name.
    Name(String),
    Text(String),
    Number(String),
    /// `@name`.
    User(String),
    /// `@@`.
    System,
    /// Any other character; `:=` is `:`.
    Sign(char),
}

/// Why a text is refused.
pub(super) struct Malformed;

/// The first statement of `text` in pieces, and what is behind its semicolon.
pub(super) fn first_statement(
    text: &str,
    modes: Modes,
) -> Result<(Vec<Token>, Option<&str>), Malformed> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            return Ok((tokens, None));
        };
        if first == ';' {
            let behind = rest[1..].trim_start();
            return Ok((tokens, (!behind.is_empty()).then_some(behind)));
        }
        let (token, len) = token(rest, first, modes)?;
        tokens.push(token);
        rest = &rest[len..];
    }
}

fn token(text: &str, first: char, modes: Modes) -> Result<(Token, usize), Malformed> {
    let word = |text: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        text.find(|c| !is_part(c)).unwrap_or(text.len())
    };
    Ok(match first {
        '\'' => {
            let (text, len) = quoted(text, '\'', !modes.no_backslash_escapes)?;
            (Token::Text(text), len)
        }
        '"' if modes.ansi_quotes => {
            let (name, len) = quoted(text, '"', false)?;
            (Token::Name(name), len)
        }
        '"' => {
            let (text, len) = quoted(text, '"', !modes.no_backslash_escapes)?;
            (Token::Text(text), len)
        }
        '`' => {
            let (name, len) = quoted(text, '`', false)?;
            (Token::Name(name), len)
        }
        '@' if text[1..].starts_with('@') => (Token::System, 2),
        '@' if text[1..].starts_with('`') => {
            let (name, len) = quoted(&text[1..], '`', false)?;
            (Token::User(name), len + 1)
        }
        '@' => {
            let len = word(&text[1..]);
            (Token::User(text[1..=len].to_lowercase()), len + 1)
        }
        '0'..='9' => {
            let len = text
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(text.len());
            (Token::Number(text[..len].into()), len)
        }
        c if c.is_ascii_alphabetic() || c == '_' => {
            let len = word(text);
            (Token::Word(text[..len].to_lowercase()), len)
        }
        ':' if text.starts_with(":=") => (Token::Sign(':'), 2),
        c => (Token::Sign(c), c.len_utf8()),
    })
}

/// A quoted piece and its length with the quotes.
fn quoted(text: &str, quote: char, escapes: bool) -> Result<(String, usize), Malformed> {
    let mut found = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if escapes => found.push(chars.next().ok_or(Malformed)?.1),
            c if c == quote => match chars.peek() {
                Some((_, next)) if *next == quote => {
                    chars.next();
                    found.push(quote);
                }
                _ => return Ok((found, at + 1)),
            },
            c => found.push(c),
        }
    }
    Err(Malformed)
}

/// Walks over the tokens of one statement.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) tokens: &'a [Token],
}

impl<'a> Reader<'a> {
    pub(super) fn at_end(&self) -> bool {
        self.tokens.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<&'a Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    /// Takes these words if they come next.
    pub(super) fn takes(&mut self, words: &str) -> bool {
        let mut tokens = self.tokens.iter();
        let all = words
            .split(' ')
            .all(|word| matches!(tokens.next(), Some(Token::Word(found)) if found == word));
        if all {
            self.tokens = tokens.as_slice();
        }
        all
    }

    pub(super) fn takes_sign(&mut self, sign: char) -> bool {
        match self.tokens {
            [Token::Sign(found), rest @ ..] if *found == sign => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }

    pub(super) fn sign(&mut self, sign: char) -> Result<(), Malformed> {
        match self.takes_sign(sign) {
            true => Ok(()),
            false => Err(Malformed),
        }
    }

    pub(super) fn name(&mut self) -> Result<String, Malformed> {
        match self.next() {
            Some(Token::Word(name) | Token::Name(name)) => Ok(name.clone()),
            _ => Err(Malformed),
        }
    }

    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        match self.next() {
            Some(Token::Text(text)) => Ok(text.clone()),
            _ => Err(Malformed),
        }
    }

    pub(super) fn number(&mut self) -> Result<i64, Malformed> {
        match self.next() {
            Some(Token::Number(number)) => number.parse().map_err(|_| Malformed),
            _ => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str, modes: Modes) -> Vec<Token> {
        let Ok((tokens, _)) = first_statement(text, modes) else {
            panic!("{text} is well-formed");
        };
        tokens
    }

    #[test]
    fn modes_decide_what_quotes_and_backslashes_are() {
        let plain = texts(r#""a" 'b\''"#, Modes::default());
        assert_eq!(plain, [Token::Text("a".into()), Token::Text("b'".into())]);
        let other = Modes {
            ansi_quotes: true,
            no_backslash_escapes: true,
        };
        let other = texts(r#""a" 'b\'"#, other);
        assert_eq!(other, [Token::Name("a".into()), Token::Text("b\\".into())]);
    }

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes() {
        let Ok((tokens, rest)) = first_statement("SET @x = ';'; SELECT 1", Modes::default()) else {
            panic!("well-formed");
        };
        assert_eq!(tokens.len(), 4);
        assert_eq!(rest, Some("SELECT 1"));
    }
}
