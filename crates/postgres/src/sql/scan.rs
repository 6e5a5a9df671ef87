//! Walks one statement and notes what in it may touch the session: calls of functions outside the harmless list, pins,
//! statements that write, `INTO`. Knows grammar only as far as telling a call from whatever else stands before a `(`.
//!
//! The rule for that: two operands never stand side by side in an expression, so a word after an operand (a name, a
//! constant, a closing bracket) is an alias or a keyword, never a function. Every other word before a `(` is a call
//! unless it is a keyword that cannot be one. Doubt makes the statement opaque.

use forebay_core::PinReason;

use super::lexer::{Kind, Lexer, Token};
use super::pins::Pins;
use super::watch::{Unwatched, Watch, What};
use super::words::{self, keys};

/// Brackets nested deeper than this are not followed.
const DEPTH_MAX: u32 = 64;

/// What a walk over a statement, or over a part of one, has seen.
pub(super) struct Scan<W = Unwatched> {
    /// The last four tokens, the newest at `(count - 1) % 4`.
    recent: [Token; 4],
    count: usize,
    depth: u32,
    /// One bit for each open `(`, the innermost lowest: an expression may follow its `)`.
    expression_follows: u64,
    /// The same bit of the `(…)` that was closed last.
    after_close: bool,
    /// Inside the list of common table expressions, where `name (column, …)` is no call.
    with_list: bool,
    /// Look for `pg_temp` and for `AS EXECUTE`.
    definition: bool,
    /// A function was called that is not known to be harmless.
    pub(super) unknown_call: bool,
    /// INSERT, UPDATE, DELETE, MERGE or INTO was seen.
    pub(super) writes: bool,
    /// `pg_notify` was called.
    pub(super) notifies: bool,
    pub(super) pins: Pins,
    /// SELECT was seen: from there on `AS execute` gives a name to something.
    selected: bool,
    /// What stands behind `AS EXECUTE` in a definition.
    pub(super) executed: Option<Token>,
    /// Is told what decides; nothing of it is compiled where nobody asks.
    pub(super) watch: W,
}

impl Scan {
    pub(super) fn new() -> Self {
        Scan::watched(Unwatched, false)
    }

    /// For statements that define objects: a mention of `pg_temp` makes a temporary one.
    pub(super) fn of_definition() -> Self {
        Scan::watched(Unwatched, true)
    }
}

impl<W: Watch> Scan<W> {
    /// As `new` or `of_definition`, and `watch` is told what decides.
    pub(super) fn watched(watch: W, definition: bool) -> Self {
        Scan {
            recent: [Token::NONE; 4],
            count: 0,
            depth: 0,
            expression_follows: 0,
            after_close: false,
            with_list: false,
            definition,
            unknown_call: false,
            writes: false,
            notifies: false,
            pins: Pins::default(),
            selected: false,
            executed: None,
            watch,
        }
    }

    /// Walks from `first` through the end of the statement, its `;` included.
    pub(super) fn statement(&mut self, lexer: &mut Lexer<'_>, first: Token) {
        self.with_list = lexer.key(first) == keys::WITH;
        self.rest_of_statement(lexer, first);
    }

    /// As `statement`, where `first` is known to be SELECT.
    pub(super) fn select(&mut self, lexer: &mut Lexer<'_>, first: Token) {
        self.remember(first);
        let second = lexer.next();
        self.rest_of_statement(lexer, second);
    }

    fn rest_of_statement(&mut self, lexer: &mut Lexer<'_>, first: Token) {
        let mut token = first;
        loop {
            match token.kind {
                Kind::End => break,
                Kind::Semicolon if self.depth == 0 => break,
                _ => self.see(lexer, token),
            }
            token = lexer.next();
        }
        if self.depth > 0 {
            lexer.raise_trouble();
        }
    }

    /// Walks from `first`, a `(`, through its `)`.
    pub(super) fn group(&mut self, lexer: &mut Lexer<'_>, first: Token) {
        let mut token = first;
        loop {
            if token.kind == Kind::End {
                return lexer.raise_trouble();
            }
            self.see(lexer, token);
            if self.depth == 0 {
                return;
            }
            token = lexer.next();
        }
    }

    #[inline(always)]
    fn see(&mut self, lexer: &mut Lexer<'_>, token: Token) {
        match token.kind {
            Kind::Word => self.word(lexer, token),
            Kind::Open => self.open(lexer),
            Kind::Close => self.close(lexer),
            Kind::Dot if self.definition => self.dot_in_definition(lexer),
            _ => {}
        }
        self.remember(token);
    }

    #[inline]
    fn remember(&mut self, token: Token) {
        self.recent[self.count % 4] = token;
        self.count += 1;
    }

    /// The token `back` places before the one being looked at, 1 to 4.
    #[inline]
    fn before(&self, back: usize) -> Token {
        if back > self.count {
            Token::NONE
        } else {
            self.recent[(self.count - back) % 4]
        }
    }

    /// The `words::key` of that token.
    fn word_before(&self, lexer: &Lexer<'_>, back: usize) -> u128 {
        lexer.key(self.before(back))
    }

    #[inline(always)]
    fn word(&mut self, lexer: &Lexer<'_>, token: Token) {
        let length = token.len();
        if matches!(length, 4..=6) && begins_word_of_interest(lexer.bytes(token)[0]) {
            self.word_of_interest(lexer, token);
        } else if self.definition && length > 6 {
            self.word_in_definition(lexer, token);
        }
    }

    #[inline(never)]
    fn word_of_interest(&mut self, lexer: &Lexer<'_>, token: Token) {
        match lexer.key(token) {
            keys::INTO => self.into(lexer, token),
            keys::INSERT | keys::DELETE | keys::MERGE => self.write(token),
            keys::UPDATE => self.update(lexer, token),
            keys::SELECT => self.selected = true,
            keys::VALUES | keys::TABLE => {}
            _ => return,
        }
        if self.depth == 0 {
            self.with_list = false;
        }
    }

    fn write(&mut self, token: Token) {
        self.writes = true;
        self.watch.notice(What::Writes, token, token);
    }

    fn pin(&mut self, reason: PinReason, first: Token, last: Token) {
        self.pins.add(reason);
        self.watch.notice(What::Pins(reason), first, last);
    }

    fn unknown(&mut self, what: What, first: Token, last: Token) {
        self.unknown_call = true;
        self.watch.notice(what, first, last);
    }

    #[inline(never)]
    fn word_in_definition(&mut self, lexer: &Lexer<'_>, token: Token) {
        let names = self.selected || self.depth > 0;
        if !names && lexer.key(token) == keys::EXECUTE && self.word_before(lexer, 1) == keys::AS {
            self.executed = Some({ *lexer }.next());
        }
        if is_temporary_schema(lexer.bytes(token)) && self.word_before(lexer, 1) == keys::SCHEMA {
            self.pin(PinReason::TemporaryObject, token, token);
        }
    }

    /// `pg_temp.name`.
    fn dot_in_definition(&mut self, lexer: &Lexer<'_>) {
        let schema = self.before(1);
        if is_temporary_schema(lexer.bytes(schema)) {
            self.pin(PinReason::TemporaryObject, schema, schema);
        }
    }

    /// `SELECT … INTO` makes a table; `INSERT INTO` and `MERGE INTO` do not.
    fn into(&mut self, lexer: &Lexer<'_>, into: Token) {
        self.writes = true;
        if self.word_before(lexer, 1) == keys::INSERT || self.word_before(lexer, 1) == keys::MERGE {
            return;
        }
        self.watch.notice(What::Writes, into, into);
        let mut ahead = *lexer;
        let temporary = loop {
            let token = ahead.next();
            match ahead.key(token) {
                _ if is_temporary_schema(ahead.bytes(token)) => break token,
                keys::TEMP | keys::TEMPORARY => break token,
                keys::LOCAL | keys::GLOBAL | keys::TABLE => {}
                _ => return,
            }
        };
        self.pin(PinReason::TemporaryObject, temporary, temporary);
    }

    /// `UPDATE pg_settings` sets; `FOR UPDATE` and `FOR NO KEY UPDATE` lock, no more.
    fn update(&mut self, lexer: &Lexer<'_>, update: Token) {
        let locks = self.word_before(lexer, 1) == keys::FOR
            || (self.word_before(lexer, 1) == keys::KEY
                && self.word_before(lexer, 2) == keys::NO
                && self.word_before(lexer, 3) == keys::FOR);
        if locks {
            return;
        }
        self.write(update);
        let mut ahead = *lexer;
        let mut token = ahead.next();
        while token.kind == Kind::Open || ahead.key(token) == keys::ONLY {
            token = ahead.next();
        }
        // Whatever part of the name is called so.
        while matches!(token.kind, Kind::Word | Kind::Quoted) {
            if is_name(ahead.bytes(token), b"pg_settings") {
                self.pin(PinReason::SetConfig, update, token);
            }
            if ahead.next().kind != Kind::Dot {
                break;
            }
            token = ahead.next();
        }
    }

    fn close(&mut self, lexer: &mut Lexer<'_>) {
        if self.depth == 0 {
            return lexer.raise_trouble();
        }
        self.depth -= 1;
        self.after_close = self.expression_follows & 1 == 1;
        self.expression_follows >>= 1;
    }

    #[inline(never)]
    fn open(&mut self, lexer: &Lexer<'_>) {
        let name = self.before(1);
        let mut expression_follows = false;
        let mut in_with_list = false;
        match name.kind {
            Kind::Word if self.before(2).kind != Kind::Dot => match lexer.key(name) {
                keys::AS => in_with_list = true,
                keys::ON => expression_follows = self.word_before(lexer, 2) == keys::DISTINCT,
                keys::OPERATOR => {
                    expression_follows = true;
                    self.operator_by_name(lexer);
                }
                _ => in_with_list = self.word_before_open(lexer, name),
            },
            Kind::Word | Kind::Quoted | Kind::UnicodeQuoted => {
                in_with_list = self.other_name_before_open(lexer, name);
            }
            _ => {}
        }
        if self.depth == 0 && !in_with_list {
            self.with_list = false;
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            self.unknown(What::Nested, Token::NONE, Token::NONE);
        }
        self.expression_follows = self.expression_follows << 1 | u64::from(expression_follows);
    }

    /// A call, unless the grammar has it otherwise. True if it is the head of a common table expression, or may be.
    fn word_before_open(&mut self, lexer: &Lexer<'_>, name: Token) -> bool {
        let before = self.before(2);
        let facts = lexer.facts(name);
        // Whether a harmless name is called makes no difference outside the list.
        let indifferent = facts.harmless && !facts.notifies && !self.with_list;
        if facts.never_function || indifferent || self.is_operand(lexer, 2) {
            return false;
        }
        if self.is_column_list(lexer, before) {
            return true;
        }
        match (lexer.key(before), lexer.key(name)) {
            (keys::NOT, keys::MATERIALIZED) if self.word_before(lexer, 3) == keys::AS => true,
            (keys::NOT, keys::LIKE | keys::ILIKE) if self.is_operand(lexer, 3) => false,
            (keys::BY, keys::ROLLUP | keys::CUBE) if self.word_before(lexer, 3) == keys::GROUP => {
                false
            }
            pair if is_keyword_after(pair) || before.kind == Kind::Typecast => false,
            _ => {
                self.call(facts, name);
                false
            }
        }
    }

    /// After these a name and a `(` begin a list of columns.
    fn is_column_list(&self, lexer: &Lexer<'_>, before: Token) -> bool {
        match before.kind {
            Kind::Word => matches!(
                lexer.key(before),
                keys::AS | keys::WITH | keys::RECURSIVE | keys::ORDINALITY
            ),
            Kind::Comma => self.with_list && self.depth == 0,
            _ => false,
        }
    }

    /// Whether the token `back` places before, 2 or 3, ends an operand. No bracket may have been closed since.
    fn is_operand(&self, lexer: &Lexer<'_>, back: usize) -> bool {
        let token = self.before(back);
        match token.kind {
            Kind::Word => {
                let value = matches!(
                    lexer.key(token),
                    keys::TRUE | keys::FALSE | keys::NULL | keys::END
                );
                value || self.before(back + 1).kind == Kind::Dot || !lexer.facts(token).keyword
            }
            Kind::Close => !self.after_close,
            Kind::Quoted | Kind::Text | Kind::EscapedText | Kind::DollarText => true,
            Kind::Number | Kind::Parameter | Kind::CloseBracket => true,
            _ => false,
        }
    }

    /// `OPERATOR(schema.+)`: an operator outside pg_catalog is a function of someone's.
    fn operator_by_name(&mut self, lexer: &Lexer<'_>) {
        let mut ahead = *lexer;
        let schema = ahead.next();
        if schema.kind != Kind::Operator && !is_name(ahead.bytes(schema), b"pg_catalog") {
            self.unknown(What::Operator, schema, schema);
        }
    }

    /// A call of what is known so well; `first` is its schema, or else its name.
    fn call(&mut self, facts: words::WordFacts, first: Token) {
        self.notifies |= facts.notifies;
        match facts.pins {
            Some(reason) => self.pin(reason, first, self.before(1)),
            None if facts.harmless => {}
            None => self.unknown(What::Calls, first, self.before(1)),
        }
    }

    /// As `word_before_open`, for a quoted name or one with a schema. What pins by its name pins in any schema.
    fn other_name_before_open(&mut self, lexer: &Lexer<'_>, name: Token) -> bool {
        let before = self.before(2);
        if before.kind == Kind::Dot {
            let in_catalog = is_name(lexer.bytes(self.before(3)), b"pg_catalog")
                && self.before(4).kind != Kind::Dot;
            let mut facts = facts_of_name(lexer, name);
            facts.harmless &= in_catalog;
            self.unknown_call |= !in_catalog;
            self.call(facts, self.before(3));
        } else if self.is_column_list(lexer, before) {
            return true;
        } else if before.kind != Kind::Typecast && !self.is_operand(lexer, 2) {
            self.call(facts_of_name(lexer, name), name);
        }
        false
    }
}

/// Keywords that may name functions, but do not after these words.
fn is_keyword_after((before, name): (u128, u128)) -> bool {
    match name {
        keys::BY => matches!(before, keys::ORDER | keys::GROUP | keys::PARTITION),
        keys::JOIN => is_kind_of_join(before),
        keys::SETS => before == keys::GROUPING,
        keys::SYSTEM | keys::BERNOULLI => before == keys::TABLESAMPLE,
        keys::VARYING => matches!(
            before,
            keys::CHARACTER | keys::CHAR | keys::NCHAR | keys::BIT
        ),
        _ => false,
    }
}

fn is_kind_of_join(word: u128) -> bool {
    const SIDES: [u128; 4] = [keys::LEFT, keys::RIGHT, keys::FULL, keys::OUTER];
    SIDES.contains(&word) || matches!(word, keys::INNER | keys::CROSS | keys::NATURAL)
}

/// Whether a word that begins so may be INTO, INSERT, UPDATE, DELETE, MERGE, SELECT, VALUES or TABLE.
fn begins_word_of_interest(first: u8) -> bool {
    const FIRSTS: u32 = {
        let mut set = 0;
        let mut letters: &[u8] = b"iudmsvt";
        while let [letter, rest @ ..] = letters {
            set |= 1 << (*letter & 31);
            letters = rest;
        }
        set
    };
    FIRSTS >> (first & 31) & 1 == 1
}

/// What is known of a name that may be quoted.
fn facts_of_name(lexer: &Lexer<'_>, name: Token) -> words::WordFacts {
    let written = lexer.bytes(name);
    match name.kind {
        Kind::Word => words::facts(written),
        // All functions of the table are in lower case; with capitals it is another one.
        Kind::Quoted if !written.iter().any(u8::is_ascii_uppercase) => {
            words::facts(&written[1..written.len() - 1])
        }
        _ => words::facts(b""),
    }
}

/// Whether a word or a quoted name, as written, is `name`, capitals aside.
fn is_name(written: &[u8], name: &[u8]) -> bool {
    unquoted(written).eq_ignore_ascii_case(name)
}

/// `pg_temp`, or the schema behind it, `pg_temp_12`.
pub(super) fn is_temporary_schema(written: &[u8]) -> bool {
    unquoted(written)
        .get(..7)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"pg_temp"))
}

fn unquoted(written: &[u8]) -> &[u8] {
    written
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(written)
}
