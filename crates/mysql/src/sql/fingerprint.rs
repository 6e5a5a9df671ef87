//! Which statements are one and the same but for their constants: a hash for tables (`fingerprint`) and a text for people
//! (`normalized`). Equal are texts that differ only in
//!
//! - constants: texts, numbers with their sign, bit strings, `?`, and a word behind `SET name =` (else NULL, TRUE and FALSE are words);
//! - white space, comments that are not run, the case of unquoted words, semicolons without a statement;
//! - the length of lists: in `IN (…)` and `VALUES (…), (…)` equal neighbours count once. There NULL, TRUE and FALSE are constants, too.
//!
//! The arguments of functions are no such list, as their number may choose what they do.
//!
//! The hash is the same on every machine and in every version, so that logs of different days and hosts can be joined; so it
//! has no random key, and knows no list of words that grows. It is no defence against someone who looks for collisions: who can
//! choose the statements of a pool can as well let one function do different things. FNV-1a and SipHash read byte by byte, or
//! have to be fed in order from a buffer; words come out of the lexer as numbers of 16 bytes, and one multiplication takes in one.

use std::fmt;

use super::dialect::Dialect;
use super::lexer::{Kind, Lexer, TEXT_BYTES_MAX, Token};
use super::shown::{Nothing, Shown, Sink, Text};
use super::words::{KEY_BYTES, keys, padded};

/// What texts that differ only in constants have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(
    /// The hash; the same on every machine and in every version.
    pub u64,
);

impl fmt::Display for Fingerprint {
    /// 16 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The fingerprint of a statement or of a whole text, read as `dialect` says.
///
/// Reads each byte about once and allocates nothing. No text makes it panic.
pub fn fingerprint(sql: &[u8], dialect: Dialect) -> Fingerprint {
    Fingerprint(Walk::new(sql, dialect, Nothing).run().0)
}

/// `sql` for people: constants as `?`, words in lower case, equal neighbours of a list once, white space as is usual. In at most
/// `bytes_max` bytes; what is cut, or cannot be read, is `…`.
///
/// No constant is ever part of it, since constants may be secrets. Texts with equal fingerprints have the same text.
pub fn normalized(sql: &[u8], dialect: Dialect, bytes_max: usize) -> String {
    Walk::new(sql, dialect, Text::new(bytes_max))
        .run()
        .1
        .finish()
}

/// Lists nested deeper than this keep their length.
const FRAMES_MAX: usize = 4;

/// Arbitrary odd numbers with as many ones as zeros. They are part of every fingerprint ever written to a log.
const SEED: u64 = 0x9ae1_6a3b_2f90_404f;
const KEY: u64 = 0xc949_d7c7_509e_6557;

/// What is not the bytes of a token itself is marked so in its upper half, where a short word of ASCII has no such bit.
const MARK: u64 = 1 << 63;
const CONSTANT: u64 = MARK | 1;
const ELEMENT: u64 = MARK | 2;
const LONG_WORD: u64 = MARK | 4;
const LONG: u64 = MARK | 5;
const UNREADABLE: u64 = MARK | 6;

/// How a list ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// With its closing bracket.
    Bracket,
    /// With whatever is neither a row nor a comma: `VALUES (…), (…)`.
    Rows,
}

/// A list that is being read, whose elements are hashed one by one.
#[derive(Clone, Copy)]
struct Frame {
    extent: Extent,
    /// How many brackets are open around its elements.
    depth: u32,
    /// The hash of what stands before the list and of its elements so far.
    outer: u64,
    /// The hash of the last element.
    last: Option<u64>,
    /// Where that which is shown of the present element begins, its comma included.
    mark: usize,
}

const NO_FRAME: Frame = Frame {
    extent: Extent::Bracket,
    depth: 0,
    outer: 0,
    last: None,
    mark: 0,
};

/// Which statement this is, as far as it matters for constants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Statement {
    Begins,
    /// A word may be a constant, once a value is due.
    Set,
    Other,
}

struct Walk<'a, S> {
    lexer: Lexer<'a>,
    hash: u64,
    frames: [Frame; FRAMES_MAX],
    frame_count: usize,
    depth: u32,
    statement: Statement,
    /// Semicolons count only before another statement.
    semicolon_due: bool,
    /// Behind `SET name =`: a word that stands alone is a value.
    value_is_due: bool,
    /// A sign which belongs to the number that follows, if one does.
    sign: Option<Token>,
    previous: Kind,
    /// The key of the token before, if that is a word.
    previous_word: u128,
    sink: S,
}

impl<'a, S: Sink> Walk<'a, S> {
    fn new(sql: &'a [u8], dialect: Dialect, sink: S) -> Self {
        // No message is longer.
        let sql = &sql[..sql.len().min(TEXT_BYTES_MAX)];
        Walk {
            lexer: Lexer::new(sql, dialect),
            hash: SEED,
            frames: [NO_FRAME; FRAMES_MAX],
            frame_count: 0,
            depth: 0,
            statement: Statement::Begins,
            semicolon_due: false,
            value_is_due: false,
            sign: None,
            previous: Kind::Semicolon,
            previous_word: 0,
            sink,
        }
    }

    fn run(mut self) -> (u64, S) {
        let mut read = 0;
        loop {
            let token = self.lexer.next();
            if token.kind == Kind::End {
                break;
            }
            if S::SHOWS && (self.lexer.trouble() || self.sink.is_full()) {
                // From here on what we take for a word may be a constant to the server.
                self.sink.cut();
                break;
            }
            read = token.range().end;
            if !(self.is_plain() && self.takes_plainly(token)) {
                self.other(token);
            }
        }
        self.end(read);
        (self.hash, self.sink)
    }

    fn end(&mut self, read: usize) {
        self.release_sign();
        self.end_frames();
        let text = self.lexer.text();
        // The lexer has given up at what it could not tell apart; nor may we then.
        if self.lexer.trouble() {
            self.feed_bytes(UNREADABLE, text.get(read..).unwrap_or_default());
            self.sink.cut();
        }
        self.hash = mixed(self.hash, KEY);
    }

    /// Outside lists, and where no sign waits for its number, most tokens mean the same whatever stands before them.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        self.frame_count == 0 && self.sign.is_none() && self.statement == Statement::Other
    }

    /// Whether this is one of those tokens; it is then behind us.
    #[inline(always)]
    fn takes_plainly(&mut self, token: Token) -> bool {
        match token.kind {
            Kind::Word => {
                let word = self.lexer.key(token);
                self.feed_word(token, word);
                self.previous_word = word;
            }
            Kind::Quoted | Kind::User | Kind::System | Kind::Dot | Kind::Comma => {
                self.as_written(token);
            }
            Kind::Number | Kind::Parameter => self.constant(),
            Kind::Open if self.previous != Kind::Word || !begins_list(self.previous_word) => {
                self.depth = self.depth.saturating_add(1);
                self.as_written(token);
            }
            Kind::Close => {
                self.depth = self.depth.saturating_sub(1);
                self.as_written(token);
            }
            _ => return false,
        }
        self.previous = token.kind;
        true
    }

    #[inline(never)]
    fn other(&mut self, token: Token) {
        if token.kind == Kind::Semicolon {
            return self.semicolon();
        }
        if self.statement == Statement::Begins {
            self.begin_statement(token);
        }
        if token.kind != Kind::Number {
            self.release_sign();
        }
        if self.frame_count > 0 && !matches!(token.kind, Kind::Open | Kind::Comma) {
            self.end_rows();
        }
        let value_is_due = std::mem::take(&mut self.value_is_due);
        match token.kind {
            Kind::Word => self.word(token, value_is_due),
            Kind::Open => self.open(token),
            Kind::Close => self.close(token),
            Kind::Comma => self.comma(token),
            Kind::Number => {
                self.sign = None;
                self.constant();
            }
            Kind::Parameter | Kind::Text | Kind::OtherText | Kind::DollarText => self.constant(),
            Kind::Operator => self.operator(token),
            Kind::Assign => {
                self.as_written(token);
                self.value_is_due = self.statement == Statement::Set;
            }
            _ => self.as_written(token),
        }
        self.previous = token.kind;
    }

    #[cold]
    fn begin_statement(&mut self, first: Token) {
        if std::mem::take(&mut self.semicolon_due) {
            self.feed(u64::from(b';'), 0);
            self.sink.show(Kind::Semicolon, Shown::Written(b";"));
        }
        self.statement = match self.lexer.key(first) {
            keys::SET => Statement::Set,
            _ => Statement::Other,
        };
    }

    fn semicolon(&mut self) {
        self.release_sign();
        self.end_frames();
        // One before any statement is none.
        self.semicolon_due |= self.statement != Statement::Begins;
        self.statement = Statement::Begins;
        self.depth = 0;
        self.previous = Kind::Semicolon;
    }

    fn word(&mut self, token: Token, value_is_due: bool) {
        let word = self.lexer.key(token);
        let begins_element = matches!(self.previous, Kind::Open | Kind::Comma);
        let is_value = matches!(word, keys::NULL | keys::TRUE | keys::FALSE);
        if self.frame_count > 0 && is_subquery(word) && self.previous == Kind::Open {
            self.forget_frame();
        }
        let constant = value_is_due && word != keys::DEFAULT && self.stands_alone();
        if constant || (self.frame_count > 0 && begins_element && is_value) {
            self.constant();
        } else {
            self.feed_word(token, word);
        }
        self.previous_word = word;
    }

    /// Whether nothing follows that makes the word before part of an expression.
    fn stands_alone(&self) -> bool {
        let next = { self.lexer }.next();
        next.ends_statement() || next.kind == Kind::Comma
    }

    fn operator(&mut self, token: Token) {
        let bytes = self.lexer.bytes(token);
        if matches!(bytes, b"-" | b"+") && self.expects_operand() {
            self.sign = Some(token);
            return;
        }
        self.as_written(token);
        self.value_is_due = bytes == b"=" && self.statement == Statement::Set;
    }

    /// Whether a sign that comes now has no operand before it.
    fn expects_operand(&self) -> bool {
        match self.previous {
            Kind::Open | Kind::Comma | Kind::Operator | Kind::Assign | Kind::Other => true,
            Kind::Word => matches!(
                self.previous_word,
                keys::SELECT
                    | keys::LIMIT
                    | keys::OFFSET
                    | keys::WHEN
                    | keys::THEN
                    | keys::ELSE
                    | keys::BETWEEN
                    | keys::AND
                    | keys::OR
            ),
            _ => false,
        }
    }

    /// A sign without a number is an operator.
    fn release_sign(&mut self) {
        if let Some(token) = self.sign.take() {
            self.as_written(token);
        }
    }

    fn open(&mut self, token: Token) {
        let after_word = self.previous == Kind::Word && begins_list(self.previous_word);
        let values = after_word && self.previous_word == keys::VALUES;
        let row = matches!(self.previous, Kind::Open | Kind::Comma) && self.at_element();
        let list = after_word || row;
        if values {
            self.push(Extent::Rows);
        } else if self.previous != Kind::Comma {
            self.end_rows();
        }
        self.as_written(token);
        self.depth = self.depth.saturating_add(1);
        if list {
            self.push(Extent::Bracket);
        }
    }

    fn close(&mut self, token: Token) {
        if let Some(frame) = self.innermost()
            && frame.extent == Extent::Bracket
            && frame.depth == self.depth
        {
            self.pop();
        }
        self.depth = self.depth.saturating_sub(1);
        self.as_written(token);
    }

    fn comma(&mut self, token: Token) {
        if self.at_element() {
            self.end_element();
            self.sink.show(Kind::Comma, Shown::Written(b","));
        } else {
            self.as_written(token);
        }
    }

    fn constant(&mut self) {
        self.feed(0, CONSTANT);
        self.sink.show(Kind::Number, Shown::Constant);
    }

    /// Whatever counts with all its bytes. They tell what kind of token it is; no word begins as others do, case folded.
    #[inline(always)]
    fn as_written(&mut self, token: Token) {
        match self.lexer.bytes_as_number(token) {
            Some(bytes) => self.feed(bytes as u64, (bytes >> 64) as u64),
            None => self.feed_bytes(LONG, self.lexer.bytes(token)),
        }
        self.sink
            .show(token.kind, Shown::Written(self.lexer.bytes(token)));
    }

    #[inline(always)]
    fn feed_word(&mut self, token: Token, word: u128) {
        let high = (word >> 64) as u64;
        // A byte beyond ASCII does not fold as letters do, and longer words have no key.
        if (word as u64 | high) & 0x8080_8080_8080_8080 == 0 {
            self.feed(word as u64, high);
        } else {
            self.feed_long_word(token);
        }
        self.sink
            .show(Kind::Word, Shown::Word(self.lexer.bytes(token)));
    }

    #[inline(never)]
    fn feed_long_word(&mut self, token: Token) {
        let bytes = self.lexer.bytes(token);
        self.feed(bytes.len() as u64, LONG_WORD);
        for part in bytes.chunks(KEY_BYTES) {
            let mut part = padded(part);
            part.make_ascii_lowercase();
            self.feed_padded(part);
        }
    }

    #[inline(never)]
    fn feed_bytes(&mut self, mark: u64, bytes: &[u8]) {
        self.feed(bytes.len() as u64, mark);
        for part in bytes.chunks(KEY_BYTES) {
            self.feed_padded(padded(part));
        }
    }

    fn feed_padded(&mut self, part: [u8; KEY_BYTES]) {
        let number = u128::from_le_bytes(part);
        self.feed(number as u64, (number >> 64) as u64);
    }

    #[inline(always)]
    fn feed(&mut self, low: u64, high: u64) {
        self.hash = mixed(self.hash ^ low, KEY ^ high);
    }

    fn innermost(&self) -> Option<&Frame> {
        self.frames[..self.frame_count].last()
    }

    /// Whether a comma here parts elements of the innermost list.
    fn at_element(&self) -> bool {
        self.innermost()
            .is_some_and(|frame| frame.depth == self.depth)
    }

    fn push(&mut self, extent: Extent) {
        let Some(place) = self.frames.get_mut(self.frame_count) else {
            return;
        };
        *place = Frame {
            extent,
            depth: self.depth,
            outer: self.hash,
            last: None,
            mark: self.sink.mark(),
        };
        self.frame_count += 1;
        self.hash = SEED;
    }

    /// An element equal to the one before is as good as not there.
    fn end_element(&mut self) {
        let Some(frame) = self.frames[..self.frame_count].last_mut() else {
            return;
        };
        if frame.last == Some(self.hash) {
            self.sink.go_back(frame.mark);
        } else {
            frame.outer = mixed(frame.outer ^ self.hash, KEY ^ ELEMENT);
            frame.last = Some(self.hash);
            frame.mark = self.sink.mark();
        }
        self.hash = SEED;
    }

    fn pop(&mut self) {
        self.end_element();
        if let Some(frame) = self.innermost() {
            self.hash = frame.outer;
            self.frame_count -= 1;
        }
    }

    /// What has just been opened is a query, not a list.
    fn forget_frame(&mut self) {
        if let Some(frame) = self.innermost()
            && frame.extent == Extent::Bracket
            && frame.depth == self.depth
        {
            self.hash = frame.outer;
            self.frame_count -= 1;
        }
    }

    /// Rows of VALUES end with what is none.
    fn end_rows(&mut self) {
        if let Some(frame) = self.innermost()
            && frame.extent == Extent::Rows
            && frame.depth == self.depth
        {
            self.pop();
        }
    }

    fn end_frames(&mut self) {
        while self.frame_count > 0 {
            self.pop();
        }
    }
}

/// The words after which a bracket opens a list.
#[inline(always)]
fn begins_list(word: u128) -> bool {
    word == keys::IN || word == keys::VALUES
}

/// The words that begin a query inside brackets.
fn is_subquery(word: u128) -> bool {
    matches!(word, keys::SELECT | keys::WITH | keys::VALUES | keys::TABLE)
}

/// Both halves of the product: each bit of the factors reaches each bit of the result.
#[inline(always)]
fn mixed(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}
