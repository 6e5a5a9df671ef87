//! Cuts SQL text into tokens exactly where the servers' scanner (`sql_lex.cc`, `lex_one_token`) would cut it, without
//! allocating: what is text, comment, name or code decides whether a `;` ends a statement and whether a `(` is a call.
//! What the tokens mean is left to `scan` and `statement`.
//!
//! What stands in a comment that the server runs (`/*! … */`, `/*!80000 … */`, `/*M! … */`) comes out as tokens like all else; the
//! rest of comments is passed over, but for hints that set. Text that the server is sure to refuse, or that it could cut
//! differently, raises `trouble`; where the cut itself is in doubt the text ends there.

mod comments;

use memchr::{memchr, memchr2, memmem};

use super::bytes::{BYTES, Byte, IN_WORD, LONG_OPERATORS};
use super::dialect::{Charset, Dialect};
use super::fact::{Fact, Facts};
use super::words::{self, WordFacts};

/// Longer texts are not read. No server takes longer ones (`max_allowed_packet`).
pub(super) const TEXT_BYTES_MAX: usize = 1 << 30;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The end of the text, or the place after which it cannot be read.
    End,
    /// An unquoted identifier or keyword.
    Word,
    /// `` `…` ``, and `"…"` under ANSI_QUOTES.
    Quoted,
    /// `'…'`, `"…"` and `N'…'`.
    Text,
    /// `X'…'` and `B'…'`.
    OtherText,
    /// `$tag$…$tag$`, which MySQL has for code in other languages.
    DollarText,
    Number,
    /// `@name`, `` @`name` ``, `@'name'`.
    User,
    /// `@@`; the name follows.
    System,
    /// `?`.
    Parameter,
    Operator,
    Open,
    Close,
    Comma,
    Dot,
    /// `:=`.
    Assign,
    Semicolon,
    /// `{`, `}`, `:`, and whatever the server has no use for.
    Other,
}

/// One token: its kind and its bytes in the text. Small enough to be passed in registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    start: u32,
    end: u32,
}

impl Token {
    /// What stands before the first token of a statement.
    pub(super) const NONE: Token = Token {
        kind: Kind::Other,
        start: 0,
        end: 0,
    };

    fn new(kind: Kind, start: usize, end: usize) -> Self {
        // Texts are shorter than `TEXT_BYTES_MAX`.
        Token {
            kind,
            start: start as u32,
            end: end as u32,
        }
    }

    pub(super) fn range(&self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    pub(super) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    pub(super) fn ends_statement(&self) -> bool {
        matches!(self.kind, Kind::Semicolon | Kind::End)
    }
}

/// A position in a text. Copy it to look ahead.
#[derive(Clone, Copy)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    dialect: Dialect,
    /// Inside a comment that is run: `*/` ends it.
    in_comment: bool,
    /// What it has met on the way that no token tells.
    notes: Facts,
    /// A comment was passed over.
    commented: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8], dialect: Dialect) -> Self {
        Lexer {
            text,
            at: 0,
            dialect,
            in_comment: false,
            notes: Facts::NONE,
            commented: false,
        }
    }

    /// How the text is read.
    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Reads what follows in another way.
    pub(super) fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    /// How many bytes are behind it.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The whole text, which tokens point into.
    pub(super) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The bytes of a token.
    pub(super) fn bytes(&self, token: Token) -> &'a [u8] {
        &self.text[token.range()]
    }

    /// The `words::key` of a token that is an unquoted word; 0, the key of no word, for others.
    #[inline]
    pub(super) fn key(&self, token: Token) -> u128 {
        if token.kind != Kind::Word {
            return 0;
        }
        match self.text[token.start as usize..].first_chunk() {
            Some(&text) => words::key_of_first(text, token.len()),
            None => words::key(self.bytes(token)),
        }
    }

    /// The bytes of a token as a number, if they are few enough.
    #[inline]
    pub(super) fn bytes_as_number(&self, token: Token) -> Option<u128> {
        let length = token.len();
        if length > words::KEY_BYTES {
            return None;
        }
        let bytes = match self.text[token.start as usize..].first_chunk() {
            Some(&text) => text,
            None => words::padded(self.bytes(token)),
        };
        Some(u128::from_le_bytes(bytes) & words::mask(length))
    }

    /// What is known of a token that is an unquoted word.
    pub(super) fn facts(&self, token: Token) -> WordFacts {
        words::facts_by_key(self.bytes(token), self.key(token))
    }

    /// Whether the server will refuse what was read, or may read it otherwise.
    pub(super) fn trouble(&self) -> bool {
        self.notes.has(Fact::Unreadable)
    }

    /// Notes that the server will refuse what was read, or may read it otherwise.
    pub(super) fn raise_trouble(&mut self) {
        self.notes.add(Fact::Unreadable);
    }

    /// What was met that no token tells, and forgets it: called at the end of each statement.
    pub(super) fn take_notes(&mut self) -> Facts {
        std::mem::take(&mut self.notes)
    }

    /// Whether a comment was met, and forgets it.
    pub(super) fn take_commented(&mut self) -> bool {
        std::mem::take(&mut self.commented)
    }

    /// The next token; `End` for ever once the text is used up.
    #[inline]
    pub(super) fn next(&mut self) -> Token {
        while self.text.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
        // Most tokens are words.
        match self.text.get(self.at) {
            Some(&byte) if BYTES[usize::from(byte)] == Byte::Letter => {
                let start = self.at;
                let kind = self.word(start);
                Token::new(kind, start, self.at)
            }
            _ => self.next_other(),
        }
    }

    /// The next token if it is not a word, or the one after comments and white space.
    #[inline(never)]
    fn next_other(&mut self) -> Token {
        loop {
            let start = self.at;
            let Some(&byte) = self.text.get(start) else {
                self.leave_comment();
                return Token::new(Kind::End, start, start);
            };
            let kind = match BYTES[usize::from(byte)] {
                Byte::Space => {
                    self.at = start + 1;
                    continue;
                }
                Byte::Punctuation(kind) => {
                    self.at = start + 1;
                    if kind == Kind::Semicolon {
                        self.leave_comment();
                    }
                    kind
                }
                Byte::Letter => self.word(start),
                Byte::Digit => self.number(start),
                Byte::Dollar => self.dollar(start),
                Byte::Quote => self.text_until(start + 1, b'\''),
                Byte::DoubleQuote if self.dialect.modes.ansi_quotes => self.quoted(start + 1, b'"'),
                Byte::DoubleQuote => self.text_until(start + 1, b'"'),
                Byte::Backtick => self.quoted(start + 1, b'`'),
                Byte::At => self.variable(start),
                Byte::Dot => self.dot(start),
                Byte::Operator => self.operator(start),
                Byte::Colon => self.colon(start),
                Byte::Junk => self.junk(start),
                Byte::Hash | Byte::Minus | Byte::Slash | Byte::Star => {
                    match self.comment_or_operator(start, byte) {
                        Some(kind) => kind,
                        None => continue,
                    }
                }
            };
            return Token::new(kind, start, self.at);
        }
    }

    /// A comment that is run has no end, or not in this statement.
    fn leave_comment(&mut self) {
        if std::mem::take(&mut self.in_comment) {
            self.raise_trouble();
        }
    }

    /// Ends the text here: unterminated text, or a place where the cut depends on what is not known.
    #[cold]
    fn give_up(&mut self) -> Kind {
        self.raise_trouble();
        self.in_comment = false;
        self.at = self.text.len();
        Kind::End
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn word_end(&self, from: usize) -> usize {
        let rest = self.text.get(from..).unwrap_or_default();
        let length = rest.iter().position(|&byte| !IN_WORD[usize::from(byte)]);
        from + length.unwrap_or(rest.len())
    }

    #[inline]
    fn word(&mut self, start: usize) -> Kind {
        self.at = self.word_end(start + 1);
        if self.at == start + 1 && self.byte(self.at) == b'\'' {
            return self.one_letter(start);
        }
        if self.dialect.charset != Charset::Utf8 {
            return self.word_of_other_charset(start);
        }
        Kind::Word
    }

    /// What a byte beyond ASCII is: a letter, white space, half a character that ends in a quote.
    #[inline(never)]
    fn word_of_other_charset(&mut self, start: usize) -> Kind {
        if self.text[start..self.at].is_ascii() {
            return Kind::Word;
        }
        if self.dialect.charset == Charset::Unsafe {
            return self.give_up();
        }
        self.raise_trouble();
        Kind::Word
    }

    /// A word of one letter may be the prefix of a text; `'` follows.
    #[inline(never)]
    fn one_letter(&mut self, start: usize) -> Kind {
        match self.text[start] | 0x20 {
            b'n' => self.text_until(start + 2, b'\''),
            b'x' => self.digits_until_quote(start + 2, |byte| byte.is_ascii_hexdigit()),
            b'b' => self.digits_until_quote(start + 2, |byte| matches!(byte, b'0' | b'1')),
            _ if self.text[start] >= 0x80 && self.dialect.charset != Charset::Utf8 => {
                self.word_of_other_charset(start)
            }
            _ => Kind::Word,
        }
    }

    fn digits_until_quote(&mut self, from: usize, is_digit: fn(u8) -> bool) -> Kind {
        let mut at = from;
        while is_digit(self.byte(at)) {
            at += 1;
        }
        if self.byte(at) != b'\'' {
            return self.give_up();
        }
        self.at = at + 1;
        Kind::OtherText
    }

    /// The rest of a text after its opening quote.
    fn text_until(&mut self, from: usize, quote: u8) -> Kind {
        let escapes = !self.dialect.modes.no_backslash_escapes;
        let mut at = from;
        loop {
            let rest = self.text.get(at..).unwrap_or_default();
            let found = if escapes {
                memchr2(quote, b'\\', rest)
            } else {
                memchr(quote, rest)
            };
            let Some(offset) = found else {
                return self.give_up();
            };
            at += offset;
            if self.text[at] == b'\\' {
                // This byte may be the second half of a character and escape nothing.
                if self.dialect.charset == Charset::Unsafe && self.text[at - 1] >= 0x80 {
                    return self.give_up();
                }
                at += 2;
            } else if self.byte(at + 1) == quote {
                at += 2;
            } else {
                self.at = at + 1;
                return Kind::Text;
            }
        }
    }

    fn quoted(&mut self, from: usize, quote: u8) -> Kind {
        let mut at = from;
        loop {
            let rest = self.text.get(at..).unwrap_or_default();
            // The server reads no further than to a NUL.
            let Some(offset) = memchr2(quote, 0, rest) else {
                return self.give_up();
            };
            at += offset + 1;
            let half =
                self.dialect.charset == Charset::Unsafe && at >= 2 && self.text[at - 2] >= 0x80;
            if self.text[at - 1] == 0 || half {
                return self.give_up();
            }
            if self.byte(at) != quote {
                break;
            }
            at += 1;
        }
        if at == from + 1 {
            self.raise_trouble(); // a name of no length
        }
        self.at = at;
        Kind::Quoted
    }

    /// `@name`, `@@`.
    fn variable(&mut self, start: usize) -> Kind {
        let next = self.byte(start + 1);
        match next {
            b'@' => {
                self.at = start + 2;
                let named = self.byte(self.at);
                let quoted = named == b'`' || (named == b'"' && self.dialect.modes.ansi_quotes);
                if !quoted && !IN_WORD[usize::from(named)] {
                    self.raise_trouble();
                }
                return Kind::System;
            }
            b'\'' => return self.variable_in(|lexer| lexer.text_until(start + 2, b'\'')),
            b'`' => return self.variable_in(|lexer| lexer.quoted(start + 2, b'`')),
            b'"' if self.dialect.modes.ansi_quotes => {
                return self.variable_in(|lexer| lexer.quoted(start + 2, b'"'));
            }
            b'"' => return self.variable_in(|lexer| lexer.text_until(start + 2, b'"')),
            _ => {}
        }
        let mut at = start + 1;
        while IN_WORD[usize::from(self.byte(at))] || self.byte(at) == b'.' {
            at += 1;
        }
        self.at = at;
        if self.dialect.charset != Charset::Utf8 && self.word_of_other_charset(start) == Kind::End {
            return Kind::End;
        }
        Kind::User
    }

    fn variable_in(&mut self, read: impl FnOnce(&mut Self) -> Kind) -> Kind {
        match read(self) {
            Kind::End => Kind::End,
            _ => Kind::User,
        }
    }

    /// A name that begins with `$`, or text in dollars, of which only newer versions of MySQL know.
    fn dollar(&mut self, start: usize) -> Kind {
        let mut tag_end = start + 1;
        while self.byte(tag_end) != b'$' && IN_WORD[usize::from(self.byte(tag_end))] {
            tag_end += 1;
        }
        if self.dialect.is_mariadb() || self.byte(tag_end) != b'$' {
            return self.word(start);
        }
        if self.dialect.version < 90000 {
            self.raise_trouble();
        }
        let tag = &self.text[start..=tag_end];
        match memmem::find(&self.text[tag_end + 1..], tag) {
            Some(offset) => {
                self.at = tag_end + 1 + offset + tag.len();
                Kind::DollarText
            }
            None => self.give_up(),
        }
    }

    /// A number, or a name that begins with digits.
    fn number(&mut self, start: usize) -> Kind {
        if self.text[start] == b'0' && matches!(self.byte(start + 1), b'x' | b'b') {
            return self.prefixed_number(start);
        }
        let mut at = self.digits_end(start);
        if matches!(self.byte(at), b'e' | b'E') {
            let signed = usize::from(matches!(self.byte(at + 1), b'+' | b'-'));
            if self.byte(at + 1 + signed).is_ascii_digit() {
                self.at = self.digits_end(at + 1 + signed);
                return Kind::Number;
            }
        }
        if IN_WORD[usize::from(self.byte(at))] {
            return self.word(start);
        }
        if self.byte(at) == b'.' {
            at = self.digits_end(at + 1);
        }
        self.at = at;
        self.exponent();
        Kind::Number
    }

    fn prefixed_number(&mut self, start: usize) -> Kind {
        let is_digit: fn(&u8) -> bool = match self.byte(start + 1) {
            b'x' => u8::is_ascii_hexdigit,
            _ => |byte| matches!(byte, b'0' | b'1'),
        };
        let mut at = start + 2;
        while is_digit(&self.byte(at)) {
            at += 1;
        }
        if at == start + 2 || IN_WORD[usize::from(self.byte(at))] {
            return self.word(start);
        }
        self.at = at;
        Kind::Number
    }

    fn digits_end(&self, from: usize) -> usize {
        let mut at = from;
        while self.byte(at).is_ascii_digit() {
            at += 1;
        }
        at
    }

    /// Behind a decimal point; an exponent without digits is an error.
    fn exponent(&mut self) {
        if !matches!(self.byte(self.at), b'e' | b'E') {
            return;
        }
        let signed = usize::from(matches!(self.byte(self.at + 1), b'+' | b'-'));
        if self.byte(self.at + 1 + signed).is_ascii_digit() {
            self.at = self.digits_end(self.at + 1 + signed);
        } else {
            self.raise_trouble();
        }
    }

    fn dot(&mut self, start: usize) -> Kind {
        let behind_name = start > 0 && {
            let before = self.text[start - 1];
            IN_WORD[usize::from(before)] || before == b'`' || before == b'"'
        };
        if !behind_name && self.byte(start + 1).is_ascii_digit() {
            self.at = self.digits_end(start + 1);
            self.exponent();
            return Kind::Number;
        }
        self.at = start + 1;
        Kind::Dot
    }

    fn colon(&mut self, start: usize) -> Kind {
        let assigns = self.byte(start + 1) == b'=';
        self.at = start + 1 + usize::from(assigns);
        if assigns { Kind::Assign } else { Kind::Other }
    }

    fn operator(&mut self, start: usize) -> Kind {
        let rest = &self.text[start..];
        let long = LONG_OPERATORS.iter().find(|long| rest.starts_with(long));
        self.at = start + long.map_or(1, |long| long.len());
        Kind::Operator
    }

    #[cold]
    fn junk(&mut self, start: usize) -> Kind {
        if self.text[start] == b'\\' && self.byte(start + 1) == b'N' && self.dialect.is_mariadb() {
            self.at = start + 2; // NULL
            return Kind::Number;
        }
        self.raise_trouble();
        self.at = start + 1;
        Kind::Other
    }
}
