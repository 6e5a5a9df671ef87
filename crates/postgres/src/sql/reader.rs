//! Reads statements whose grammar is followed token by token: one token of look-ahead over the lexer.

use super::constant;
use super::lexer::{Kind, Lexer, Token};

/// The token that comes next and the means to go on.
pub(super) struct Reader<'l, 'a> {
    lexer: &'l mut Lexer<'a>,
    pub(super) token: Token,
}

impl<'l, 'a> Reader<'l, 'a> {
    /// Begins with what follows the last token the lexer gave.
    pub(super) fn new(lexer: &'l mut Lexer<'a>) -> Self {
        let token = lexer.next();
        Reader { lexer, token }
    }

    /// Begins with `token`, which the lexer has just given.
    pub(super) fn after(lexer: &'l mut Lexer<'a>, token: Token) -> Self {
        Reader { lexer, token }
    }

    pub(super) fn advance(&mut self) {
        if !self.at_end() {
            self.token = self.lexer.next();
        }
    }

    /// The token after the next one.
    pub(super) fn second(&self) -> Token {
        let mut ahead = *self.lexer;
        if self.at_end() {
            self.token
        } else {
            ahead.next()
        }
    }

    /// A copy of the position behind the next token, to look further ahead.
    pub(super) fn ahead(&self) -> Lexer<'a> {
        *self.lexer
    }

    pub(super) fn at_end(&self) -> bool {
        self.token.ends_statement()
    }

    /// The word that comes next as a `words::key`; 0 if it is not an unquoted word.
    pub(super) fn word(&self) -> u128 {
        self.lexer.key(self.token)
    }

    /// As `word`, of the token after the next one.
    pub(super) fn second_word(&self) -> u128 {
        self.lexer.key(self.second())
    }

    /// Whether `word` comes next; it is then behind us.
    pub(super) fn takes(&mut self, word: u128) -> bool {
        let taken = self.word() == word;
        if taken {
            self.advance();
        }
        taken
    }

    /// Whether a token of this kind comes next; it is then behind us.
    pub(super) fn takes_kind(&mut self, kind: Kind) -> bool {
        let taken = self.token.kind == kind;
        if taken {
            self.advance();
        }
        taken
    }

    /// Whether the operator `=` comes next.
    pub(super) fn at_equals(&self) -> bool {
        self.bytes() == b"="
    }

    /// The whole text, which tokens point into.
    pub(super) fn source(&self) -> &'a [u8] {
        self.lexer.text()
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.lexer.bytes(self.token)
    }

    /// The name that comes next, if it is one that can be read.
    pub(super) fn name(&mut self) -> Option<String> {
        let name = constant::name(self.lexer.text(), self.token)?;
        self.advance();
        Some(name)
    }

    /// The value of the text constant that comes next, if it is one that can be read.
    pub(super) fn text(&mut self) -> Option<String> {
        let text = constant::text(self.lexer.text(), self.token)?;
        self.advance();
        Some(text)
    }

    /// Goes on through the end of the statement; a `;` within brackets is no end.
    pub(super) fn skip_statement(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.token.kind {
                Kind::End => break,
                Kind::Semicolon if depth == 0 => return,
                Kind::Open => depth += 1,
                Kind::Close if depth == 0 => self.lexer.raise_trouble(),
                Kind::Close => depth -= 1,
                _ => {}
            }
            self.token = self.lexer.next();
        }
        if depth > 0 {
            self.lexer.raise_trouble();
        }
    }
}
