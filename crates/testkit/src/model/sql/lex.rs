//! Cuts SQL text into tokens, after PostgreSQL's lexical rules as far as the model needs them: quoted strings and
//! identifiers with doubled quotes, `$n`, numbers, `::`, and both kinds of comments (block comments nest).

use super::super::error::PgError;

/// One token. Words are folded to lower case, as PostgreSQL does with unquoted identifiers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Word(String),
    Quoted(String),
    Text(String),
    Number(String),
    Param(usize),
    Symbol(char),
    Cast,
}

impl Token {
    /// How an error message shows the token.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Word(text) | Self::Number(text) => text.clone(),
            Self::Quoted(text) => format!("\"{text}\""),
            Self::Text(text) => format!("'{text}'"),
            Self::Param(number) => format!("${number}"),
            Self::Symbol(symbol) => symbol.to_string(),
            Self::Cast => "::".into(),
        }
    }
}

/// Parameters per statement (the protocol counts them in 16 bits).
const PARAMETERS_MAX: usize = 65_535;

/// Splits `text` into tokens.
///
/// Fails with 42601 for an unterminated string, identifier or comment.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, PgError> {
    let mut lexer = Lexer { rest: text };
    let mut found = Vec::new();
    while let Some(token) = lexer.next()? {
        found.push(token);
    }
    Ok(found)
}

struct Lexer<'a> {
    rest: &'a str,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Option<Token>, PgError> {
        self.skip_blank()?;
        let Some(first) = self.rest.chars().next() else {
            return Ok(None);
        };
        let token = match first {
            '\'' => Token::Text(self.quoted('\'', "unterminated quoted string")?),
            '"' => Token::Quoted(self.quoted('"', "unterminated quoted identifier")?),
            '$' => self.parameter()?,
            c if c.is_ascii_digit() => Token::Number(
                self.take_while(|c| c.is_ascii_digit() || c == '.')
                    .to_owned(),
            ),
            c if is_word_start(c) => Token::Word(self.take_while(is_word_part).to_lowercase()),
            ':' if self.rest.starts_with("::") => {
                self.rest = &self.rest[2..];
                Token::Cast
            }
            symbol => {
                self.rest = &self.rest[symbol.len_utf8()..];
                Token::Symbol(symbol)
            }
        };
        Ok(Some(token))
    }

    fn skip_blank(&mut self) -> Result<(), PgError> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with("--") {
                self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]);
            } else if self.rest.starts_with("/*") {
                self.skip_block_comment()?;
            } else {
                return Ok(());
            }
        }
    }

    fn skip_block_comment(&mut self) -> Result<(), PgError> {
        let mut depth = 0;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.rest = &self.rest[2..];
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.rest = &self.rest[2..];
                if depth == 0 {
                    return Ok(());
                }
            } else {
                let step = self
                    .rest
                    .chars()
                    .next()
                    .ok_or_else(|| unterminated("unterminated /* comment"))?;
                self.rest = &self.rest[step.len_utf8()..];
            }
        }
    }

    fn quoted(&mut self, quote: char, problem: &str) -> Result<String, PgError> {
        let mut text = String::new();
        self.rest = &self.rest[1..];
        loop {
            let end = self.rest.find(quote).ok_or_else(|| unterminated(problem))?;
            text.push_str(&self.rest[..end]);
            self.rest = &self.rest[end + 1..];
            if !self.rest.starts_with(quote) {
                return Ok(text);
            }
            text.push(quote);
            self.rest = &self.rest[1..];
        }
    }

    fn parameter(&mut self) -> Result<Token, PgError> {
        self.rest = &self.rest[1..];
        let digits = self.take_while(|c| c.is_ascii_digit());
        match digits.parse() {
            Ok(number) if (1..=PARAMETERS_MAX).contains(&number) => Ok(Token::Param(number)),
            _ => Err(PgError::error(
                "42P02",
                format!("there is no parameter ${digits}"),
            )),
        }
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (head, tail) = self.rest.split_at(end);
        self.rest = tail;
        head
    }
}

fn unterminated(problem: &str) -> PgError {
    PgError::error("42601", problem)
}

fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_word_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Quotes a name unless it could stand unquoted. Keywords are not looked at: the model has none that matter here.
pub(crate) fn quote_identifier(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_comments_hide_what_is_inside_them() {
        let found = tokens("SELECT 'a;''b' -- x;\n /* ; /* ; */ */ , \"C;\"\"d\" ; $2::int")
            .expect("valid");
        assert_eq!(
            found,
            [
                Token::Word("select".into()),
                Token::Text("a;'b".into()),
                Token::Symbol(','),
                Token::Quoted("C;\"d".into()),
                Token::Symbol(';'),
                Token::Param(2),
                Token::Cast,
                Token::Word("int".into()),
            ]
        );
    }

    #[test]
    fn what_is_not_closed_is_a_syntax_error() {
        for text in ["select 'a", "select \"a", "/* a", "select $0"] {
            assert!(tokens(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_quoted_only_when_they_must_be() {
        assert_eq!(quote_identifier("public"), "public");
        assert_eq!(quote_identifier("$user"), "\"$user\"");
        assert_eq!(quote_identifier("a, b"), "\"a, b\"");
    }
}
