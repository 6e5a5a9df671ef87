//! Walks one statement and notes what in it may touch the session: calls of functions outside the harmless list, pins,
//! statements that write, `INTO`. Knows grammar only as far as telling a call from whatever else stands before a `(`.
//!
//! The rule for that: two operands never stand side by side in an expression, so a word after an operand (a name, a
//! constant, a closing bracket) is an alias or a keyword, never a function. Every other word before a `(` is a call
//! unless it is a keyword that cannot be one. Doubt makes the statement opaque.

use forebay_core::PinReason;

use super::lexer::{Kind, Lexer, Token};
use super::pins::Pins;
use super::words::{self, keys};

/// Brackets nested deeper than this are not followed.
const DEPTH_MAX: u32 = 64;

/// What a walk over a statement, or over a part of one, has seen.
pub(super) struct Scan {
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
    pub(super) pins: Pins,
}

impl Scan {
    pub(super) fn new() -> Self {
        Scan {
            recent: [Token::NONE; 4],
            count: 0,
            depth: 0,
            expression_follows: 0,
            after_close: false,
            with_list: false,
            definition: false,
            unknown_call: false,
            writes: false,
            pins: Pins::default(),
        }
    }

    /// For statements that define objects: a mention of `pg_temp` makes a temporary one.
    pub(super) fn of_definition() -> Self {
        Scan {
            definition: true,
            ..Scan::new()
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
            keys::INTO => self.into(lexer),
            keys::INSERT | keys::DELETE | keys::MERGE => self.writes = true,
            keys::UPDATE => self.update(lexer),
            keys::SELECT | keys::VALUES | keys::TABLE => {}
            _ => return,
        }
        if self.depth == 0 {
            self.with_list = false;
        }
    }

    #[inline(never)]
    fn word_in_definition(&mut self, lexer: &Lexer<'_>, token: Token) {
        if lexer.key(token) == keys::EXECUTE && self.word_before(lexer, 1) == keys::AS {
            self.pins.add(PinReason::SqlPrepare);
        }
        if is_temporary_schema(lexer.bytes(token)) && self.word_before(lexer, 1) == keys::SCHEMA {
            self.pins.add(PinReason::TemporaryObject);
        }
    }

    /// `pg_temp.name`.
    fn dot_in_definition(&mut self, lexer: &Lexer<'_>) {
        if is_temporary_schema(lexer.bytes(self.before(1))) {
            self.pins.add(PinReason::TemporaryObject);
        }
    }

    /// `SELECT … INTO` makes a table; `INSERT INTO` and `MERGE INTO` do not.
    fn into(&mut self, lexer: &Lexer<'_>) {
        self.writes = true;
        if self.word_before(lexer, 1) == keys::INSERT || self.word_before(lexer, 1) == keys::MERGE {
            return;
        }
        let mut ahead = *lexer;
        loop {
            let token = ahead.next();
            match ahead.key(token) {
                _ if is_temporary_schema(ahead.bytes(token)) => break,
                keys::TEMP | keys::TEMPORARY => break,
                keys::LOCAL | keys::GLOBAL | keys::TABLE => {}
                _ => return,
            }
        }
        self.pins.add(PinReason::TemporaryObject);
    }

    /// `UPDATE pg_settings` sets; `FOR UPDATE` and `FOR NO KEY UPDATE` lock, no more.
    fn update(&mut self, lexer: &Lexer<'_>) {
        let locks = self.word_before(lexer, 1) == keys::FOR
            || (self.word_before(lexer, 1) == keys::KEY
                && self.word_before(lexer, 2) == keys::NO
                && self.word_before(lexer, 3) == keys::FOR);
        if locks {
            return;
        }
        self.writes = true;
        let mut ahead = *lexer;
        let mut token = ahead.next();
        while token.kind == Kind::Open || ahead.key(token) == keys::ONLY {
            token = ahead.next();
        }
        // Whatever part of the name is called so.
        while matches!(token.kind, Kind::Word | Kind::Quoted) {
            if is_name(ahead.bytes(token), b"pg_settings") {
                self.pins.add(PinReason::SetConfig);
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
        let before_name = self.before(2);
        let mut expression_follows = false;
        let mut in_with_list =
            self.depth == 0 && self.with_list && self.is_part_of_with(lexer, name);
        match name.kind {
            Kind::Word if before_name.kind != Kind::Dot => {
                let facts = lexer.facts(name);
                if facts.never_function {
                    expression_follows = self.word_before(lexer, 1) == keys::ON
                        && self.word_before(lexer, 2) == keys::DISTINCT;
                } else if self.is_operand(lexer, before_name) {
                    expression_follows = self.operator_by_name(lexer, name);
                } else if self.is_column_list(lexer, before_name) {
                    in_with_list = true;
                } else if before_name.kind != Kind::Typecast
                    && !self.is_keyword_here(lexer, name, before_name)
                {
                    self.call(facts);
                }
            }
            Kind::Word | Kind::Quoted | Kind::UnicodeQuoted => {
                self.call_by_other_name(lexer, name, &mut in_with_list)
            }
            _ => {}
        }
        if self.depth == 0 && !in_with_list {
            self.with_list = false;
        }
        self.depth += 1;
        self.unknown_call |= self.depth > DEPTH_MAX;
        self.expression_follows = self.expression_follows << 1 | u64::from(expression_follows);
    }

    /// `AS (` and `AS MATERIALIZED (` in a list of common table expressions.
    fn is_part_of_with(&self, lexer: &Lexer<'_>, name: Token) -> bool {
        matches!(lexer.key(name), keys::AS | keys::MATERIALIZED)
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

    /// Whether the token ends an operand; `token` is the second last one.
    fn is_operand(&self, lexer: &Lexer<'_>, token: Token) -> bool {
        match token.kind {
            Kind::Word => self.before(3).kind == Kind::Dot || !lexer.facts(token).keyword,
            Kind::Close => !self.after_close,
            Kind::Quoted | Kind::Text | Kind::EscapedText | Kind::DollarText => true,
            Kind::Number | Kind::Parameter | Kind::CloseBracket => true,
            _ => false,
        }
    }

    /// `a OPERATOR(schema.+) b`: an operator outside pg_catalog is a function of someone's. True if it is such a form.
    fn operator_by_name(&mut self, lexer: &Lexer<'_>, name: Token) -> bool {
        if lexer.key(name) != keys::OPERATOR {
            return false;
        }
        let mut ahead = *lexer;
        let schema = ahead.next();
        self.unknown_call |=
            schema.kind != Kind::Operator && !is_name(ahead.bytes(schema), b"pg_catalog");
        true
    }

    /// Keywords that may name functions, in places where they do not.
    fn is_keyword_here(&self, lexer: &Lexer<'_>, name: Token, before: Token) -> bool {
        matches!(
            (lexer.key(before), lexer.key(name)),
            (keys::ORDER | keys::GROUP | keys::PARTITION, keys::BY)
                | (
                    keys::LEFT | keys::RIGHT | keys::FULL | keys::OUTER,
                    keys::JOIN
                )
                | (keys::INNER | keys::CROSS | keys::NATURAL, keys::JOIN)
                | (keys::NOT, keys::LIKE | keys::ILIKE | keys::MATERIALIZED)
                | (keys::BY, keys::ROLLUP | keys::CUBE)
                | (keys::GROUPING, keys::SETS)
                | (keys::TABLESAMPLE, keys::SYSTEM | keys::BERNOULLI)
                | (
                    keys::CHARACTER | keys::CHAR | keys::NCHAR | keys::BIT,
                    keys::VARYING
                )
        )
    }

    fn call(&mut self, facts: words::WordFacts) {
        match facts.pins {
            Some(reason) => self.pins.add(reason),
            None => self.unknown_call |= !facts.harmless,
        }
    }

    /// A call by a quoted name or with a schema. What pins by its name pins in any schema.
    fn call_by_other_name(&mut self, lexer: &Lexer<'_>, name: Token, in_with_list: &mut bool) {
        let before = self.before(2);
        if before.kind == Kind::Dot {
            let facts = facts_of_name(lexer, name);
            let schema_is_catalog = is_name(lexer.bytes(self.before(3)), b"pg_catalog")
                && self.before(4).kind != Kind::Dot;
            self.unknown_call |= !schema_is_catalog;
            self.call(facts);
        } else if self.is_column_list(lexer, before) {
            *in_with_list = true;
        } else if before.kind != Kind::Typecast && !self.is_operand(lexer, before) {
            self.call(facts_of_name(lexer, name));
        }
    }
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
