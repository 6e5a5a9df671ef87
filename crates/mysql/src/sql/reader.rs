//! Reads statements whose grammar is followed token by token: one token of look-ahead over the lexer.

use super::Name;
use super::constant;
use super::dialect::Dialect;
use super::lexer::{Kind, Lexer, Token};

/// The token that comes next and the means to go on.
pub(super) struct Reader<'l, 'a> {
    lexer: &'l mut Lexer<'a>,
    pub(super) token: Token,
}

impl<'l, 'a> Reader<'l, 'a> {
    /// Begins with `token`, which the lexer has just given.
    pub(super) fn after(lexer: &'l mut Lexer<'a>, token: Token) -> Self {
        Reader { lexer, token }
    }

    pub(super) fn advance(&mut self) {
        if !self.at_end() {
            self.token = self.lexer.next();
        }
    }

    /// As `advance`, and beyond a `;`, too.
    pub(super) fn pass(&mut self) {
        self.token = self.lexer.next();
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

    /// How the text is read.
    pub(super) fn dialect(&self) -> Dialect {
        self.lexer.dialect()
    }

    /// Lets `walk` read on from the next token, and goes on with the one that it stops at.
    #[inline(always)]
    pub(super) fn walk(&mut self, walk: impl FnOnce(&mut Lexer<'a>, Token) -> Token) {
        self.token = walk(self.lexer, self.token);
    }

    pub(super) fn at_end(&self) -> bool {
        self.token.ends_statement()
    }

    /// The word that comes next as a `words::key`; 0 if it is not an unquoted word.
    pub(super) fn word(&self) -> u128 {
        self.lexer.key(self.token)
    }

    /// As `word`, of a token that is behind us.
    pub(super) fn word_of(&self, token: Token) -> u128 {
        self.lexer.key(token)
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

    /// A name of a table or routine, with its database's or without.
    pub(super) fn table(&mut self) -> Option<Name> {
        let name = self.name()?;
        if !self.takes_kind(Kind::Dot) {
            let database = None;
            return Some(Name { database, name });
        }
        let database = Some(name);
        let name = self.name()?;
        Some(Name { database, name })
    }

    /// Notes that the server will refuse the text, or may read it otherwise.
    pub(super) fn raise_trouble(&mut self) {
        self.lexer.raise_trouble();
    }

    /// Passes over what comes in brackets, if a bracket comes next.
    pub(super) fn skip_group(&mut self) {
        let mut depth = 0_usize;
        while !self.at_end() {
            match self.token.kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                _ if depth == 0 => return,
                _ => {}
            }
            self.advance();
            if depth == 0 {
                return;
            }
        }
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
        let name = constant::name(self.lexer.text(), self.token, self.dialect())?;
        self.advance();
        Some(name)
    }

    /// The value of the text constant that comes next, if it is one that can be read.
    pub(super) fn text(&mut self) -> Option<String> {
        let text = constant::text(self.lexer.text(), self.token, self.dialect())?;
        self.advance();
        Some(text)
    }

    /// Goes on through the end of the statement.
    pub(super) fn skip_statement(&mut self) {
        while !self.at_end() {
            self.advance();
        }
    }
}
