//! Cuts SQL text into tokens exactly where the server's scanner (`src/backend/parser/scan.l`) would cut it, without
//! allocating: what is text, comment, name or code decides whether a `;` ends a statement and whether a `(` is a call.
//! What the tokens mean is left to `scan` and `statement`.
//!
//! Text that the server is sure to refuse, or that could be cut differently under a client encoding which is not safe
//! for ASCII (SJIS, BIG5, GBK, UHC, JOHAB, GB18030), raises `trouble`; where the cut itself is in doubt the text ends there.

use memchr::{memchr, memchr2, memmem};

use super::bytes::{BYTES, Byte, IN_WORD, is_possible_second_byte, without_trailing_sign};
use super::words::{self, WordFacts};

/// Longer texts are not read. The wire allows 1 GiB at most.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 30;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The end of the text, or the place after which it cannot be read.
    End,
    /// An unquoted identifier or keyword.
    Word,
    /// `"…"`.
    Quoted,
    /// `U&"…"`.
    UnicodeQuoted,
    /// `'…'` without backslash escapes, `N'…'` too.
    Text,
    /// `E'…'`, and `'…'` while standard_conforming_strings is off.
    EscapedText,
    /// `$tag$…$tag$`.
    DollarText,
    /// `U&'…'`, `B'…'` and `X'…'`: text whose value nobody here needs.
    OtherText,
    Number,
    /// `$1`.
    Parameter,
    Operator,
    Open,
    Close,
    OpenBracket,
    CloseBracket,
    Comma,
    Dot,
    /// `::`.
    Typecast,
    Semicolon,
    /// `:`, `:=`, and whatever the server has no use for.
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

    /// How many bytes it has.
    #[inline]
    pub(super) fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Its place in the text.
    #[inline]
    pub(super) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Whether a statement ends here.
    pub(super) fn ends_statement(self) -> bool {
        matches!(self.kind, Kind::Semicolon | Kind::End)
    }
}

/// A position in a text. Copy it to look ahead.
#[derive(Clone, Copy)]
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    standard_conforming_strings: bool,
    trouble: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8], standard_conforming_strings: bool) -> Self {
        Lexer {
            text,
            at: 0,
            standard_conforming_strings,
            trouble: false,
        }
    }

    /// A lexer of the same text that goes on behind `token`.
    pub(super) fn behind(&self, token: Token) -> Self {
        Lexer {
            at: token.end as usize,
            trouble: false,
            ..*self
        }
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
        self.trouble
    }

    /// Notes that the server will refuse what was read, or may read it otherwise.
    pub(super) fn raise_trouble(&mut self) {
        self.trouble = true;
    }

    /// As `trouble`, and forgets it: called at the end of each statement.
    pub(super) fn take_trouble(&mut self) -> bool {
        std::mem::take(&mut self.trouble)
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
                return Token::new(Kind::End, start, start);
            };
            let kind = match BYTES[usize::from(byte)] {
                Byte::Space => {
                    self.at = start + 1;
                    continue;
                }
                Byte::Punctuation(kind) => {
                    self.at = start + 1;
                    kind
                }
                Byte::Letter => self.word(start),
                Byte::Digit => self.number(start),
                Byte::Operator => match self.operator_or_comment(start) {
                    Some(kind) => kind,
                    None => continue,
                },
                Byte::Quote => self.plain_text(start + 1),
                Byte::DoubleQuote => self.quoted(start + 1, Kind::Quoted),
                Byte::Dot => self.dot(start),
                Byte::Dollar => self.dollar(start),
                Byte::Colon => self.colon(start),
                Byte::Junk => self.junk(start),
            };
            return Token::new(kind, start, self.at);
        }
    }

    /// Ends the text here: unterminated text, a NUL, or a place where the cut depends on the encoding.
    #[cold]
    fn give_up(&mut self) -> Kind {
        self.trouble = true;
        self.at = self.text.len();
        Kind::End
    }

    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    #[inline]
    fn word(&mut self, start: usize) -> Kind {
        let rest = &self.text[start + 1..];
        let length = rest
            .iter()
            .position(|&byte| !IN_WORD[usize::from(byte)])
            .unwrap_or(rest.len());
        let at = start + 1 + length;
        self.at = at;
        if length == 0 {
            return self.one_letter(start);
        }
        if self.text[at - 1] >= 0x80 && is_possible_second_byte(self.byte(at)) {
            return self.give_up();
        }
        Kind::Word
    }

    /// A word of one letter may be the prefix of a text or of a quoted name.
    #[inline(never)]
    fn one_letter(&mut self, start: usize) -> Kind {
        let (first, second) = (self.text[start], self.byte(start + 1));
        match (first | 0x20, second) {
            (b'e', b'\'') => self.text_until_quote(start + 2, Kind::EscapedText),
            (b'b' | b'x', b'\'') => self.bit_text(start + 2),
            (b'n', b'\'') => self.plain_text(start + 2),
            (b'u', b'&') => match self.byte(start + 2) {
                b'\'' => self.text_until_quote(start + 3, Kind::OtherText),
                b'"' => self.quoted(start + 3, Kind::UnicodeQuoted),
                _ => Kind::Word,
            },
            _ if first >= 0x80 && is_possible_second_byte(second) => self.give_up(),
            _ => Kind::Word,
        }
    }

    fn plain_text(&mut self, from: usize) -> Kind {
        let kind = if self.standard_conforming_strings {
            Kind::Text
        } else {
            Kind::EscapedText
        };
        self.text_until_quote(from, kind)
    }

    /// The rest of a text after its opening quote, with the parts that continue it on later lines.
    fn text_until_quote(&mut self, from: usize, kind: Kind) -> Kind {
        let escapes = kind == Kind::EscapedText;
        let mut at = from;
        loop {
            let found = if escapes {
                memchr2(b'\'', b'\\', &self.text[at..])
            } else {
                memchr(b'\'', &self.text[at..])
            };
            let Some(offset) = found else {
                return self.give_up();
            };
            at += offset;
            if self.text[at] == b'\\' {
                // Under SJIS and its kin this byte may be the second half of a character and escape nothing.
                if at + 1 >= self.text.len() || self.text[at - 1] >= 0x80 {
                    return self.give_up();
                }
                at += 2;
            } else if self.byte(at + 1) == b'\'' {
                at += 2;
            } else if let Some(next) = self.continuation(at + 1) {
                at = next;
            } else {
                self.at = at + 1;
                return kind;
            }
        }
    }

    /// `B'…'` and `X'…'` know no doubled quotes.
    fn bit_text(&mut self, from: usize) -> Kind {
        let mut at = from;
        loop {
            let Some(offset) = memchr(b'\'', &self.text[at..]) else {
                return self.give_up();
            };
            match self.continuation(at + offset + 1) {
                Some(next) => at = next,
                None => {
                    self.at = at + offset + 1;
                    return Kind::OtherText;
                }
            }
        }
    }

    /// Where the text goes on, if after its closing quote come white space with a line break (`--` comments allowed)
    /// and another quote.
    #[inline]
    fn continuation(&self, from: usize) -> Option<usize> {
        if !matches!(BYTES[usize::from(self.byte(from))], Byte::Space) && self.byte(from) != b'-' {
            return None;
        }
        let mut at = from;
        let mut line_break = false;
        loop {
            match self.byte(at) {
                b'\n' | b'\r' => {
                    line_break = true;
                    at += 1;
                }
                b' ' | b'\t' | 0x0b | 0x0c => at += 1,
                b'-' if self.byte(at + 1) == b'-' => at = self.line_end(at),
                b'\'' if line_break => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// Where the line ends that `from` is on.
    fn line_end(&self, from: usize) -> usize {
        memchr2(b'\n', b'\r', &self.text[from..]).map_or(self.text.len(), |offset| from + offset)
    }

    fn quoted(&mut self, from: usize, kind: Kind) -> Kind {
        let mut at = from;
        loop {
            let Some(offset) = memchr(b'"', &self.text[at..]) else {
                return self.give_up();
            };
            at += offset + 1;
            if self.byte(at) != b'"' {
                break;
            }
            at += 1;
        }
        if at == from + 1 {
            self.trouble = true; // a name of no length
        }
        self.at = at;
        kind
    }

    /// Parameters and dollar-quoted text.
    fn dollar(&mut self, start: usize) -> Kind {
        let mut at = start + 1;
        if self.byte(at).is_ascii_digit() {
            while self.byte(at).is_ascii_digit() {
                at += 1;
            }
            self.at = at;
            self.refuse_letter_here();
            return Kind::Parameter;
        }
        while BYTES[usize::from(self.byte(at))] == Byte::Letter || self.byte(at).is_ascii_digit() {
            at += 1;
        }
        // A tag may hold characters whose second byte is no letter to us: where such text ends cannot be told.
        if self.byte(at) != b'$' {
            return self.give_up();
        }
        let tag = &self.text[start..=at];
        match memmem::find(&self.text[at + 1..], tag) {
            Some(offset) => {
                self.at = at + 1 + offset + tag.len();
                Kind::DollarText
            }
            None => self.give_up(),
        }
    }

    /// Decimal, hexadecimal, octal and binary numbers, with `_` between digits.
    fn number(&mut self, start: usize) -> Kind {
        let prefixed =
            self.text[start] == b'0' && matches!(self.byte(start + 1) | 0x20, b'x' | b'o' | b'b');
        if prefixed {
            self.at = start + 2;
            self.digits(|byte| byte.is_ascii_hexdigit());
        } else {
            self.at = start;
            self.digits(|byte| byte.is_ascii_digit());
            if self.byte(self.at) == b'.' && self.byte(self.at + 1) != b'.' {
                self.at += 1;
                self.digits(|byte| byte.is_ascii_digit());
            }
            self.exponent();
        }
        self.refuse_letter_here();
        Kind::Number
    }

    fn digits(&mut self, is_digit: fn(u8) -> bool) {
        while is_digit(self.byte(self.at))
            || (self.byte(self.at) == b'_' && is_digit(self.byte(self.at + 1)))
        {
            self.at += 1;
        }
    }

    fn exponent(&mut self) {
        if self.byte(self.at) | 0x20 != b'e' {
            return;
        }
        let signed = usize::from(matches!(self.byte(self.at + 1), b'+' | b'-'));
        if self.byte(self.at + 1 + signed).is_ascii_digit() {
            self.at += 1 + signed;
            self.digits(|byte| byte.is_ascii_digit());
        }
    }

    /// `1and` is two tokens to servers before 15 and an error since: leave the letters to be read as a word, and doubt.
    fn refuse_letter_here(&mut self) {
        if BYTES[usize::from(self.byte(self.at))] == Byte::Letter {
            self.trouble = true;
        }
    }

    fn dot(&mut self, start: usize) -> Kind {
        if self.byte(start + 1).is_ascii_digit() {
            self.at = start + 1;
            self.digits(|byte| byte.is_ascii_digit());
            self.exponent();
            self.refuse_letter_here();
            return Kind::Number;
        }
        if self.byte(start + 1) == b'.' {
            self.trouble = true; // no SQL has two
            self.at = start + 2;
            return Kind::Other;
        }
        self.at = start + 1;
        Kind::Dot
    }

    fn colon(&mut self, start: usize) -> Kind {
        let (length, kind) = match self.byte(start + 1) {
            b':' => (2, Kind::Typecast),
            b'=' => (2, Kind::Other),
            _ => (1, Kind::Other),
        };
        self.at = start + length;
        kind
    }

    #[cold]
    fn junk(&mut self, start: usize) -> Kind {
        if self.text[start] == 0 {
            return self.give_up();
        }
        self.trouble = true;
        self.at = start + 1;
        Kind::Other
    }

    /// An operator ends before a comment; a comment alone gives `None`.
    fn operator_or_comment(&mut self, start: usize) -> Option<Kind> {
        let mut at = start;
        while BYTES[usize::from(self.byte(at))] == Byte::Operator {
            match (self.text[at], self.byte(at + 1)) {
                (b'-', b'-') => {
                    if at == start {
                        self.at = self.line_end(at);
                        return None;
                    }
                    break;
                }
                (b'/', b'*') => {
                    if at == start {
                        return self.block_comment(at + 2);
                    }
                    break;
                }
                _ => at += 1,
            }
        }
        self.at = start + without_trailing_sign(&self.text[start..at]);
        Some(Kind::Operator)
    }

    /// Comments nest.
    fn block_comment(&mut self, from: usize) -> Option<Kind> {
        let mut at = from;
        let mut depth = 1_usize;
        while depth > 0 {
            let Some(offset) = memchr2(b'*', b'/', &self.text[at..]) else {
                return Some(self.give_up());
            };
            at += offset;
            match (self.text[at], self.byte(at + 1)) {
                (b'*', b'/') => {
                    depth -= 1;
                    at += 2;
                }
                (b'/', b'*') => {
                    depth += 1;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        self.at = at;
        None
    }
}
